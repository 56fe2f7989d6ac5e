"""Containers for the proof of the log pipeline: apps that print, readers, senders, and real rsyslog receivers.

All carry a label of their own and a prefix in their names, and `close` removes every one of them.
"""

from __future__ import annotations

import io
import json
import tarfile
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import docker
import trustme
from docker.types import LogConfig, Mount

from remora.engines import recipes
from remora.sidekicks.logs import SMALL_SOCKET

LIMIT = 60.0

RECEIVER = """\
global(workDirectory="/tmp" maxMessageSize="4m" parser.escapeControlCharactersOnReceive="off"
  defaultNetstreamDriverCAFile="/tls/ca.pem" defaultNetstreamDriverCertFile="/tls/cert.pem" defaultNetstreamDriverKeyFile="/tls/key.pem")
main_queue(queue.type="Direct")
template(name="line" type="string" string="{line}\\n")
ruleset(name="keep" queue.type="Direct") {{ action(type="omfile" file="/received.log" template="line") }}
{inputs}
"""
INPUTS = {
    "relp": 'module(load="imrelp")\ninput(type="imrelp" port="2514" ruleset="keep" maxDataSize="4m")',
    "udp": 'module(load="imudp")\ninput(type="imudp" port="514" ruleset="keep")',
    "tcp": 'module(load="imtcp")\ninput(type="imtcp" port="514" ruleset="keep")',
    "tls": 'module(load="imtcp" StreamDriver.Name="ossl" StreamDriver.Mode="1" StreamDriver.AuthMode="{auth}")\n'
    'input(type="imtcp" port="6514" ruleset="keep")',
}
SHORT = "%app-name% %msg%"
WHOLE = "%pri%|%timestamp:::date-rfc3339%|%hostname%|%app-name%|%procid%|%structured-data%|%msg%"

# Prints numbered lines at full speed, a part of them to standard error.
PRINTER = """
import sys
name, count, every = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for i in range(count):
    out = sys.stderr if every and i % every == 0 else sys.stdout
    print(f"{name} {i:07d} ................................................", file=out)
"""


class Kit:
    """One test's containers."""

    def __init__(self) -> None:
        self.client = docker.from_env(timeout=120)
        self.api = self.client.api
        self.run = uuid.uuid4().hex[:8]
        self.labels = {"test.remora": self.run}
        self.image = image(self.client)
        self.root = f"{self.client.info()['DockerRootDir']}/containers"
        self.network = self.name("net")
        self.client.networks.create(self.network, labels=self.labels)
        self.spool = self.volume("spool")

    def name(self, word: str) -> str:
        return f"remora-test-{self.run}-{word}"

    def volume(self, word: str, **options: str) -> str:
        return self.client.volumes.create(self.name(word), labels=self.labels, driver_opts=options or None).name

    def close(self) -> None:
        """Remove everything of this run."""
        mine = {"label": f"test.remora={self.run}"}
        for each in self.client.containers.list(all=True, filters=mine):
            each.remove(force=True, v=True)
        for network in self.client.networks.list(filters=mine):
            network.remove()
        for volume in self.client.volumes.list(filters=mine):
            volume.remove(force=True)

    # ---- containers ----

    def create(self, word: str, command: list[str], files: dict[str, bytes] | None = None, start: bool = True, **more: Any) -> str:
        """A container of the image; its name."""
        name = self.name(word)
        more["labels"] = {**self.labels, **more.get("labels", {})}
        made = self.client.containers.create(self.image, command, name=name, **more)
        for path, content in (files or {}).items():
            made.put_archive("/", packed(path, content))
        if start:
            made.start()
        return name

    def app(
        self, service: str, code: str, *words: str, driver: str = "json-file", options: dict[str, str] | None = None, **more: Any
    ) -> str:
        """An app container that runs Python."""
        labels = {"com.docker.compose.project": f"stack-{self.run}", "com.docker.compose.service": service}
        return self.create(
            more.pop("word", service),
            ["python3", "-uc" if more.pop("unbuffered", False) else "-c", code, *words],
            labels=labels,
            log_config=LogConfig(type=driver, config=options or {}),
            **more,
        )

    def printer(self, service: str, count: int, every: int = 0, **more: Any) -> str:
        return self.app(service, PRINTER, service, str(count), str(every), **more)

    def capped(self, word: str, command: str, settings: dict[str, Any], mounts: list[Mount], **more: Any) -> str:
        """A sidekick as remora creates it: read-only, without capabilities, in little memory."""
        return self.create(
            word,
            [command],
            labels={"remora.sidekick": "logs"},
            environment={"REMORA_LOGS": json.dumps(settings), "HOSTNAME_OF_ENGINE": "whale"},
            mounts=[Mount("/spool", self.spool, type="volume"), *mounts],
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            user="0:0",
            mem_limit="64m",
            memswap_limit="64m",
            pids_limit=64,
            tmpfs={"/run": "rw,nosuid,nodev,size=64m", "/tmp": "rw,nosuid,nodev,size=64m"},
            **more,
        )

    def reader(self, source: str = "engine", destinations: tuple[str, ...] = ("d-1",), word: str = "reader", **more: Any) -> str:
        """A reader without any network."""
        select = {"stack": f"stack-{self.run}", "selectors": [{}]}
        settings = {**self.ours, "source": source, "select": select, "reader": word, "destinations": list(destinations)}
        settings |= {"spool": more.pop("spool", {}), **more.pop("settings", {})}
        socket = self.api.base_url if self.api.base_url.startswith("unix") else "/var/run/docker.sock"
        mounts = {
            "engine": [Mount("/engine", self.root, type="bind", read_only=True)],
            "api": [Mount("/var/run/docker.sock", unix(socket), type="bind", read_only=True)],
            "files": [],
        }[source]
        return self.capped(word, "read", settings, [*mounts, *more.pop("mounts", [])], network_mode="none", **more)

    def sender(self, destination: str, id: str = "d-1", word: str = "sender", **more: Any) -> str:
        settings = {**self.ours, "destination": destination, "id": id, "tls": {}, "drain_seconds": 10}
        settings |= {"file": {"rotate": 100 << 20, "keep": 7, "compress": True}, **more.pop("settings", {})}
        if destination.startswith("syslog+tls"):
            more["sysctls"] = dict(SMALL_SOCKET)
        return self.capped(word, "send", settings, more.pop("mounts", []), network=self.network, **more)

    def receiver(
        self, kind: str, line: str = SHORT, auth: str = "anon", files: dict[str, bytes] | None = None, word: str = "receiver"
    ) -> str:
        """A real rsyslog; its name is its host name, too."""
        conf = RECEIVER.format(line=line, inputs=INPUTS[kind].format(auth=auth))
        if kind != "tls":
            conf = "\n".join(row for row in conf.splitlines() if "defaultNetstream" not in row).replace('"off"\n', '"off")\n')
        given = {"/etc/receiver.conf": conf.encode(), **(files or {})}
        command = ["rsyslogd", "-n", "-iNONE", "-f", "/etc/receiver.conf"]
        return self.create(word, command, files=given, network=self.network)

    @property
    def ours(self) -> dict[str, str]:
        return {"stack": f"stack-{self.run}", "environment": "prod", "sidekick": "logs"}

    # ---- what happens to them ----

    def kill(self, name: str, away: float = 0.0) -> None:
        """SIGKILL, and back after a while, as the engine's restart policy brings it back."""
        self.api.kill(name, "SIGKILL")
        self.api.wait(name)
        time.sleep(away)
        self.api.start(name)

    def wait(self, name: str) -> int:
        return int(self.api.wait(name, timeout=900)["StatusCode"])

    def stop(self, name: str, seconds: int = 15) -> int:
        self.api.stop(name, seconds)
        return int(self.api.inspect_container(name)["State"]["ExitCode"])

    def said(self, name: str) -> str:
        return str(self.api.logs(name).decode(errors="replace"))

    # ---- what there is ----

    def files(self, name: str, path: str) -> dict[str, bytes]:
        """The files under a path of a container; one that changed while the engine packed it tears the archive, so look again."""
        while True:
            try:
                stream, _ = self.api.get_archive(name, path)
                with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
                    return {each.name: tar.extractfile(each).read() for each in tar if each.isfile()}  # type: ignore[union-attr]
            except docker.errors.NotFound:
                return {}
            except tarfile.ReadError:
                time.sleep(0.1)

    def received(self, word: str = "receiver") -> list[str]:
        found = self.files(self.name(word), "/received.log")
        return found.get("received.log", b"").decode(errors="replace").split("\n")[:-1]

    def count(self, word: str = "receiver") -> int:
        """How many lines a receiver has."""
        made = self.api.exec_create(self.name(word), ["sh", "-c", "wc -l < /received.log || echo 0"], stderr=False)
        said = self.api.exec_start(made["Id"]).decode().split()
        return int(said[0]) if said and said[0].isdigit() else 0

    def status(self, reader: str = "reader") -> dict[str, Any]:
        found = self.files(self.name(reader), f"/spool/status/{reader}.json")
        return json.loads(found[f"{reader}.json"]) if found else {}


def unix(address: str) -> str:
    """The path of the engine's socket, from DOCKER_HOST or as usual."""
    import os

    return os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://") if address else address


def image(client: docker.DockerClient) -> str:
    """The pipeline's image, built where it is not there yet."""
    tag = recipes.tag("logs")
    try:
        client.images.get(tag)
    except docker.errors.ImageNotFound:
        client.images.build(fileobj=recipes.context("logs"), custom_context=True, tag=tag, buildargs={"BASE": recipes.base()}, rm=True)
    return tag


def authority(name: str) -> dict[str, bytes]:
    """A certificate authority, a certificate by it for `name`, and one for our side."""
    ca = trustme.CA()
    found = {"ca.pem": ca.cert_pem.bytes()}
    for who, common in (("server", name), ("client", "sender")):
        issued = ca.issue_cert(common, common_name=common)
        found |= {f"{who}.pem": issued.cert_chain_pems[0].bytes(), f"{who}.key": issued.private_key_pem.bytes()}
    return found


def packed(path: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo(path.lstrip("/"))
        info.size, info.mode = len(content), 0o600
        tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def until(what: Callable[[], bool], seconds: float = LIMIT) -> bool:
    """Whether it became true in time."""
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True


def numbers(lines: list[str], service: str) -> Iterator[int]:
    """The numbers of a service's lines as they arrived."""
    return (int(parts[2]) for parts in map(str.split, lines) if len(parts) > 2 and parts[1] == service)


def account(lines: list[str], counts: dict[str, int]) -> tuple[int, int]:
    """How many of the numbered lines are lost, and how many came more than once."""
    lost = again = 0
    for service, count in counts.items():
        seen = list(numbers(lines, service))
        lost += len(set(range(count)).difference(seen))
        again += len(seen) - len(set(seen))
    return lost, again
