"""The guard before a real engine: remora does its work through it, and nobody does anything else."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import APIError, ImageNotFound
from stackkit import BESIDE, DEBIAN, IDLE, REMORA, Stack, until

from remora.core.sidekick import Spec
from remora.engines import inspection, recipes

pytestmark = pytest.mark.engine


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with Stack(tmp_path) as made:
        yield made


class Guarded:
    """A guard before the engine, for one test."""

    def __init__(self, stack: Stack, *options: str) -> None:
        self.path = stack.folder / "guard.sock"
        self.url = f"unix://{self.path}"
        self.log = stack.folder / "guard.txt"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([REMORA, "guard", "--listen", str(self.path), *options], stderr=log)
        stack.background.append(self.process)
        until(lambda: "guarding" in self.said, lambda: self.said)
        self.api = docker.APIClient(self.url, version="auto")

    @property
    def said(self) -> str:
        return self.log.read_text()

    def end(self) -> None:
        if self.process.poll() is not None:
            return
        self.api.close()
        self.process.terminate()
        assert self.process.wait(10) == 0
        assert not self.path.exists()


@pytest.fixture
def guarded(stack: Stack) -> Iterator[Callable[..., Guarded]]:
    made: list[Guarded] = []

    def start(*options: str) -> Guarded:
        made.append(Guarded(stack, *options))
        return made[-1]

    yield start
    for each in made:
        each.end()


# ---- what goes through ----


def test_remora_does_all_its_work_through_the_guard(stack: Stack, guarded: Callable[..., Guarded]) -> None:
    stack.developers(f"services: {{web: {{{IDLE}, user: '1234', volumes: ['data:/data']}}}}\nvolumes: {{data: }}")
    stack.ops(f"""
        environments: {{prod: {{attach: [all, printed, files]}}}}
        sidekicks:
          all: {{{BESIDE}, for: web, walls: {{network: true, processes: true, files: data}}, user: same, secrets: {{token: env:TOKEN}}}}
          printed: {{kind: logs, for: web, to: 'file://{stack.folder}/logs'}}
          files: {{kind: logs, for: web, from: /data, to: 'file://{stack.folder}/logs'}}
    """)
    stack.env["TOKEN"] = "5318008"
    guard = guarded("--allow-path", f"{stack.folder}/logs:rw", "--allow-capability", "DAC_READ_SEARCH")
    through = ("-H", guard.url)
    stack.compose("up", "-d")
    before = stack.lives()
    stack.remora("attach", *through)
    assert len(stack.sidekicks()) == 5, stack.why()
    assert stack.inside("web-1.all", "sh", "-c", "id -u; cat /run/secrets/token") == "1234\n5318008"
    status = stack.json("status", *through)
    assert {each["state"] for each in status["sidekicks"]} == {"running"} and status["pending"] == []
    stack.signal("web-1.all", 9)
    until(lambda: stack.container("web-1.all")["RestartCount"], stack.why)
    stack.remora("logs", "all", *through)
    stack.compose("up", "-d", "--scale", "web=2")
    stack.remora("watch", "--once", *through)
    assert len(stack.sidekicks()) == 7, stack.why()
    stack.remora("plan", "--exit-code", *through)
    stack.remora("detach", "--volumes", *through)
    assert (stack.sidekicks(), {key: life for key, life in stack.lives().items() if key in before}) == ([], before)
    assert [each.name for each in stack.client.volumes.list(filters={"name": stack.run})] == [f"{stack.name}_data"]
    assert "refuses" not in guard.said


def test_the_watcher_follows_through_the_guard(stack: Stack, guarded: Callable[..., Guarded]) -> None:
    stack.developers(f"services: {{web: {{{IDLE}}}}}")
    stack.attached(net="for: web, walls: {network: true}")
    guard = guarded()
    stack.compose("up", "-d")
    with stack.watched("-H", guard.url):
        until(lambda: stack.paired(1, net="network"), stack.why)
        stack.compose("up", "-d", "--scale", "web=3")
        until(lambda: stack.paired(3, net="network"), stack.why)
        stack.compose("restart", "-t", "0", "web")
        until(lambda: stack.paired(3, net="network"), stack.why)
    assert "refuses" not in guard.said


def test_a_reader_of_what_has_no_file_gets_the_guards_socket(stack: Stack, guarded: Callable[..., Guarded]) -> None:
    """With what is allowed, and without."""
    app = f"image: {DEBIAN}, init: true, command: sh -c 'echo hello-5318008; sleep infinity', logging: {{driver: local}}"
    stack.developers(f"services: {{web: {{{app}}}}}")
    stack.ops(f"""
        environments: {{prod: {{attach: [printed]}}}}
        sidekicks: {{printed: {{kind: logs, for: web, to: 'file://{stack.folder}/logs'}}}}
    """)
    logs = ("--allow-path", f"{stack.folder}/logs:rw")
    guard = guarded(*logs, "--allow-logs", "--allow-path", f"{stack.folder}/guard.sock")
    stack.compose("up", "-d")
    stack.remora("attach", "-H", guard.url)
    file = stack.folder / f"logs/{stack.name}/web.log"
    until(
        lambda: file.exists() and "hello-5318008" in file.read_text(),
        lambda: stack.docker("logs", f"{stack.name}.printed.api-reader") + guard.said,
    )
    assert stack.api.inspect_container(f"{stack.name}.printed.api-reader")["HostConfig"]["Mounts"][0]["Source"] == str(guard.path)
    stack.remora("detach", "-H", guard.url)
    guard.end()
    said = stack.refused("attach", "-H", guarded(*logs).url)
    assert f"HostConfig.Mounts: the host path `{guard.path}` is not allowed" in said


def test_images_are_built_and_saved_through_the_guard(stack: Stack, guarded: Callable[..., Guarded]) -> None:
    """On a base of its own: a tag of its own, out of the engine's cache."""
    base = f"remora-test-base-{stack.run}:1"
    stack.client.images.get(DEBIAN).tag(base)
    image, file = recipes.tagged("logs", base), stack.folder / "images.tar"
    guard = guarded()
    try:
        stack.remora("images", "save", str(file), "--only", "logs", "-H", guard.url, REMORA_BASE=base)
        with tarfile.open(file) as tar:
            assert image in json.dumps(json.load(tar.extractfile("manifest.json") or pytest.fail()))
    finally:
        for each in (image, base):
            with suppress(ImageNotFound):
                stack.client.images.remove(each)
    assert "refuses" not in guard.said


def test_twenty_clients_are_served_at_once(stack: Stack, guarded: Callable[..., Guarded]) -> None:
    stack.developers(f"services: {{web: {{{IDLE}}}}}")
    stack.compose("up", "-d")
    guard = guarded()
    together = ThreadPoolExecutor(20)

    def one(number: int) -> tuple[str, int, str]:
        api = docker.APIClient(guard.url, version="1.44")
        try:
            shown = [api.inspect_container(f"{stack.name}-web-1")["Id"] for _ in range(10)]
            refused = sum(not_let_through(lambda: api.kill(f"{stack.name}-web-1")) for _ in range(5))
            return shown[-1], refused, api.version()["ApiVersion"]
        finally:
            api.close()

    found = set(together.map(one, range(20)))
    together.shutdown()
    assert found == {(stack.container("web-1")["Id"], 5, stack.client.version()["ApiVersion"])}


def not_let_through(attack: Callable[[], Any]) -> bool:
    """Whether the guard itself refuses it."""
    try:
        attack()
    except APIError as error:
        return error.status_code == 403 and str(error.explanation).startswith("the guard refuses ")
    return False


# ---- attacks ----


def body(stack: Stack, **host: Any) -> tuple[dict[str, Any], str]:
    """A sidekick beside web, as remora makes it but for these options."""
    name = f"{stack.name}-web-1.evil"
    spec = Spec(name, "evil", "container", stack.name, "prod", "/x", DEBIAN, command=("sleep", "infinity"))
    made = inspection.creation(spec, stack.client.info()["ID"])
    made["HostConfig"] |= host
    return {key: value for key, value in made.items() if value is not None}, name


def bind(source: str) -> dict[str, Any]:
    return {"Mounts": [{"Type": "bind", "Source": source, "Target": "/host", "ReadOnly": True}]}


DISK = {"DriverConfig": {"Name": "local", "Options": {"type": "none", "o": "bind", "device": "/"}}}
CONTAINERS: dict[str, dict[str, Any]] = {
    "privileged": {"Privileged": True},
    "in small letters": {"privileged": True},
    "the host in a bind": bind("/"),
    "the host in a bind of old": {"Binds": ["/:/host"]},
    "the engine's socket": bind("/var/run/docker.sock"),
    "the host in a volume": {
        "Mounts": [
            {"Type": "volume", "Source": "remora_evil", "Target": "/host", "VolumeOptions": {**DISK, "Labels": {"remora.stack": "x"}}}
        ]
    },
    "another's volumes": {"VolumesFrom": ["web"]},
    "a disk": {"Devices": [{"PathOnHost": "/dev/sda", "PathInContainer": "/dev/sda", "CgroupPermissions": "rwm"}]},
    "the host's network": {"NetworkMode": "host"},
    "the host's processes": {"PidMode": "host"},
    "the host's processes beside one that has them": {"PidMode": "container:{hosted}"},
    "the host's network beside one that has it": {"NetworkMode": "container:{hosted}"},
    "the host's IPC": {"IpcMode": "host"},
    "the host's users": {"UsernsMode": "host"},
    "no seccomp": {"SecurityOpt": ["no-new-privileges", "seccomp=unconfined"]},
    "a capability": {"CapAdd": ["SYS_ADMIN"]},
    "no caps": {"Memory": 0, "MemorySwap": 0},
    "a runtime": {"Runtime": "x"},
}


@pytest.fixture(scope="module")
def besieged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, Guarded]]:
    """A stack with an app, a container on the host's namespaces, and a guard."""
    with Stack(tmp_path_factory.mktemp("s")) as stack:
        stack.developers(f"services: {{web: {{{IDLE}}}, hosted: {{{IDLE}, network_mode: host, pid: host}}}}")
        stack.compose("up", "-d")
        guard = Guarded(stack)
        yield stack, guard
        guard.end()


@pytest.mark.parametrize("attack", CONTAINERS)
def test_no_container_gets_out_through_the_guard(besieged: tuple[Stack, Guarded], attack: str) -> None:
    stack, guard = besieged
    host = json.loads(json.dumps(CONTAINERS[attack]).replace("{hosted}", f"{stack.name}-hosted-1"))
    assert not_let_through(lambda: guard.api.create_container_from_config(*body(stack, **host)))
    assert stack.sidekicks() == []


def test_what_is_attacked_would_have_been_let_through_as_it_was(besieged: tuple[Stack, Guarded]) -> None:
    stack, guard = besieged
    made = guard.api.create_container_from_config(*body(stack))["Id"]
    guard.api.start(made)
    guard.api.update_container(made, restart_policy={"Name": "no"})
    for attack in ("kill", "pause", "export", "commit", "exec", "attached terminal", "rename", "update", "files put"):
        assert not_let_through(lambda attack=attack: CALLS[attack](guard.api, made)), attack
    guard.api.remove_container(made, force=True)


Attack = Callable[[docker.APIClient, str], Any]
CALLS: dict[str, Attack] = {
    "docker run --privileged": lambda api, web: api.create_container(DEBIAN, host_config=api.create_host_config(privileged=True)),
    "exec": lambda api, web: api.exec_create(web, "id"),
    "kill": lambda api, web: api.kill(web),
    "stop": lambda api, web: api.stop(web),
    "restart": lambda api, web: api.restart(web),
    "start": lambda api, web: api.start(web),
    "remove": lambda api, web: api.remove_container(web, force=True),
    "remove by id": lambda api, web: api.remove_container(api.inspect_container(web)["Id"], force=True),
    "pause": lambda api, web: api.pause(web),
    "rename": lambda api, web: api.rename(web, "remora-test-evil"),
    "update": lambda api, web: api.update_container(web, mem_limit="6m"),
    "what it prints": lambda api, web: api.logs(web),
    "shadow": lambda api, web: api.get_archive(web, "/etc/shadow"),
    "shadow by a way up": lambda api, web: api.get_archive(web, "/etc/passwd/../shadow"),
    "files put": lambda api, web: api.put_archive(web, "/", b""),
    "export": lambda api, web: list(api.export(web)),
    "commit": lambda api, web: api.commit(web, "remora-test-evil"),
    "tag": lambda api, web: api.tag(DEBIAN, "remora-test-evil"),
    "load": lambda api, web: list(api.load_image(b"")),
    "remove an image": lambda api, web: api.remove_image(DEBIAN),
    "swarm": lambda api, web: api.init_swarm("127.0.0.1"),
    "a network": lambda api, web: api.create_network("remora-test-evil"),
    "join a network": lambda api, web: api.connect_container_to_network(web, "bridge"),
    "prune": lambda api, web: api.prune_containers({"label": "remora-test-none"}),
    "a volume of the host": lambda api, web: api.create_volume(
        "remora_evil", driver_opts={"type": "none", "o": "bind", "device": "/"}, labels={"remora.stack": "x"}
    ),
    "an app's volume": lambda api, web: api.create_volume("remora-test-evil"),
    "a build": lambda api, web: list(api.build(fileobj=recipes.context("logs"), custom_context=True, tag="remora-test-evil")),
    "a build on the host's network": lambda api, web: list(
        api.build(
            fileobj=recipes.context("logs"),
            custom_context=True,
            tag=recipes.tag("logs"),
            buildargs={"BASE": recipes.base()},
            network_mode="host",
        )
    ),
    "a plugin": lambda api, web: list(api.pull_plugin("x", [])),
    "attached terminal": lambda api, web: api.attach_socket(web),
}  # fmt: skip


@pytest.mark.parametrize("attack", CALLS)
def test_no_call_touches_an_app_through_the_guard(besieged: tuple[Stack, Guarded], attack: str) -> None:
    stack, guard = besieged
    before = stack.lives(), stack.leftovers()
    assert not_let_through(lambda: CALLS[attack](guard.api, f"{stack.name}-web-1"))
    assert (stack.lives(), stack.leftovers()) == before
    assert "the guard refuses " in guard.said.splitlines()[-1]


def test_names_with_tricks_reach_nothing(besieged: tuple[Stack, Guarded]) -> None:
    """As bytes, for a client would tidy them up."""
    stack, guard = besieged
    web = f"{stack.name}-web-1"
    for target in (
        f"/v1.45/containers/{web}/../{web}/kill",
        f"/v1.45/containers/{web}%2fkill",
        f"/v1.45//containers/{web}/kill",
        f"/v1.24/containers/{web}/start",
        f"/containers/{web}/kill?x=/v1.45/containers/x/stop",
        "/libpod/containers/create",
    ):
        connection = http.client.HTTPConnection("x")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(guard.path))
        connection.request("POST", target)
        assert connection.getresponse().status == 403, target
        connection.close()
    assert len(stack.lives()) == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may do less")
def test_the_socket_is_for_its_group(stack: Stack, guarded: Callable[..., Guarded]) -> None:
    guard = guarded("--group", "users")
    for folder in [stack.folder, *stack.folder.parents][:3]:
        folder.chmod(0o755)
    ping = f"import socket; s = socket.socket(socket.AF_UNIX); s.connect({str(guard.path)!r})"
    found = [
        subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", f"--groups={group}", "/usr/bin/python3", "-Sc", ping]).returncode
        for group in (guard.path.stat().st_gid, 65534)
    ]
    assert found == [0, 1]


def test_a_guard_whose_engine_is_away_says_so(stack: Stack) -> None:
    """And serves again when it is back."""
    path, engine = stack.folder / "guard.sock", stack.folder / "engine.sock"
    real = os.environ["DOCKER_HOST"].removeprefix("unix://")
    engine.symlink_to(real)
    guard = subprocess.Popen([REMORA, "guard", "--listen", str(path), "-q", "-H", f"unix://{engine}"], stderr=sys.stderr)
    stack.background.append(guard)
    until(path.exists)
    time.sleep(0.1)
    engine.unlink()
    assert "it says 502 Bad Gateway" in stack.refused("images", "list", "-H", f"unix://{path}")
    engine.symlink_to(real)
    stack.remora("images", "list", "-H", f"unix://{path}")
