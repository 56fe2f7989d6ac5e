"""The two files of one test in a folder, the real commands that work on them, and what the engine shows of it all.

Everything that a test makes has `remora-test-`, a number of its own, in its name, and `close` removes all of that.
"""

from __future__ import annotations

import http.client
import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from textwrap import dedent
from typing import Any

import docker
import pytest
from docker.errors import APIError
from enginekit import Private

REMORA = str(Path(sys.executable).with_name("remora"))
DEBIAN = "debian:trixie-slim"
LIMIT = 30.0
PROC = Path("/proc")

# An app that does nothing, and ends at once when it is told to.
IDLE = f"image: {DEBIAN}, init: true, command: sleep infinity"
# A sidekick that does nothing either, but for the walls.
BESIDE = f"kind: container, image: {DEBIAN}, command: sleep infinity"

NAMESPACES = {"network": "net", "processes": "pid", "ipc": "ipc"}


class Stack:
    """One test's stack."""

    def __init__(self, folder: Path, private: Private | None = None) -> None:
        """In an empty folder, on the engine of the environment unless one of one's own is given."""
        self.run = uuid.uuid4().hex[:8]
        self.name = f"remora-test-{self.run}"
        self.began = int(time.time())
        self.folder = folder
        self.private = private
        self.client = docker.DockerClient(private.url, timeout=120) if private else docker.from_env(timeout=120)
        self.api = self.client.api
        self.podman = "Podman" in str(self.api.version().get("Components"))
        self.background: list[subprocess.Popen[bytes]] = []
        self.env = {
            **os.environ,
            **({"DOCKER_HOST": private.url} if private else {}),
            "REMORA_ENVIRONMENT": "prod",
            "REMORA_STATE": str(folder / "state"),
        }

    def __enter__(self) -> Stack:
        return self

    def __exit__(self, *_: object) -> None:
        """End and remove everything of this run, whoever made it."""
        for each in self.background:
            each.kill()
            each.wait()
        until(self.cleared, lambda: str(self.leftovers()))
        self.client.close()

    def cleared(self) -> bool:
        """Remove what there is; whether nothing is left, which can take a second look while Compose is still ending."""
        mine = {"name": self.run}
        carriers = self.api.containers(all=True, filters={"label": "remora.carrier"})
        ids = [each["Id"] for each in self.api.containers(all=True, filters=mine)]
        ids += [each["Id"] for each in carriers if self.run in each["Labels"]["remora.carrier"]]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(self.remove, ids))
        for network in self.client.networks.list(filters=mine):
            with suppress(APIError):
                network.remove()
        for volume in self.client.volumes.list(filters=mine):
            with suppress(APIError):
                volume.remove(force=True)
        for image in self.client.images.list(name=self.name):
            self.client.images.remove(image.id, force=True)
        return not self.leftovers()

    def remove(self, container: str) -> None:
        with suppress(APIError):  # gone, or going
            self.api.remove_container(container, force=True, v=True)

    # ---- the two files, and the commands ----

    def developers(self, text: str) -> None:
        """Write the developers' file."""
        (self.folder / "compose.yaml").write_text(f"name: {self.name}\n{dedent(text)}")

    def ops(self, text: str, file: str = "remora.yaml") -> None:
        (self.folder / file).write_text(dedent(text))

    def attached(self, **sidekicks: str) -> None:
        """An ops file with these sidekicks: NAME="for: web, walls: {…}" and so on."""
        lines = [f"  {name}: {{{BESIDE}, {settings}}}" for name, settings in sidekicks.items()]
        self.ops("\n".join([f"environments: {{dev: {{}}, prod: {{attach: [{', '.join(sidekicks)}]}}}}", "sidekicks:", *lines]))

    def remora(self, *words: str, code: int = 0, **env: str) -> str:
        """What `remora` prints; it must end with `code`."""
        return self.command([REMORA, *words], code, env).stdout

    def refused(self, *words: str, **env: str) -> str:
        """What `remora` says on standard error when it cannot do as it is told."""
        return self.command([REMORA, *words], 1, env).stderr

    def compose(self, *words: str) -> str:
        return self.docker("compose", *words)

    def docker_alone(self, why: str) -> None:
        """Skip the test on Podman; docs/podman.md has the reason."""
        if self.podman:
            pytest.skip(f"not on Podman: {why}")

    def build(self, text: str) -> None:
        """The image NAME:1 of this test out of a Dockerfile; by the API, for `docker build` wants BuildKit."""
        self.client.images.build(fileobj=io.BytesIO(text.encode()), tag=f"{self.name}:1", rm=True)

    def docker(self, *words: str, given: str = "") -> str:
        """What `docker` prints, which gets to read what is `given`."""
        return self.command(["docker", *words], 0, {}, given).stdout

    def command(self, words: list[str], code: int, env: dict[str, str], given: str = "") -> subprocess.CompletedProcess[str]:
        env = {**self.env, **env}
        done = subprocess.run(words, cwd=self.folder, env=env, input=given, capture_output=True, text=True, timeout=120)
        assert done.returncode == code, f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done

    def json(self, *words: str, code: int = 0) -> Any:
        return json.loads(self.remora(*words, "--json", code=code))

    def start(self, *words: str, **env: str) -> subprocess.Popen[bytes]:
        """`remora` in the background, as the leader of its own process group: a terminal's Ctrl-C goes to all of that."""
        with (self.folder / "said.txt").open("ab") as said:
            started = subprocess.Popen(
                [REMORA, *words], cwd=self.folder, env={**self.env, **env}, stdout=said, stderr=said, process_group=0
            )
        self.background.append(started)
        return started

    @property
    def said(self) -> str:
        """What the commands in the background have printed."""
        file = self.folder / "said.txt"
        return file.read_text() if file.exists() else ""

    @contextmanager
    def watched(self, *words: str, **env: str) -> Iterator[None]:
        """`remora watch` runs meanwhile, and ends well when it is told to."""
        watchers = self.said.count("watching")
        watcher = self.start("watch", *words, **env)
        until(lambda: self.said.count("watching") > watchers and self.ready(), self.why)
        yield
        watcher.terminate()
        assert watcher.wait(LIMIT) == 0, self.said

    def ready(self) -> bool:
        """Whether the watcher has seen what there is: what happens from now on, it tells."""
        try:
            return all(page(path, "/readyz") == "ok\n" for path in (self.folder / "state").glob("*.sock"))
        except OSError:
            return False

    # ---- what the engine shows ----

    def leftovers(self) -> list[str]:
        """Whatever of this test there still is."""
        mine = {"name": self.run}
        found = [*self.client.networks.list(filters=mine), *self.client.volumes.list(filters=mine)]
        return [name(each) for each in self.containers()] + [each.name for each in found]

    def containers(self) -> list[dict[str, Any]]:
        """Every container of this test, as inspected, in order of names."""
        found = []
        for each in self.api.containers(all=True, filters={"name": self.run}):
            try:
                found.append(self.api.inspect_container(each["Id"]))
            except APIError:  # gone; Podman has no word of its own for one that is just going
                continue
        return sorted(found, key=lambda each: each["Name"])

    def apps(self) -> list[dict[str, Any]]:
        return [each for each in self.containers() if not label(each, "sidekick")]

    def sidekicks(self) -> list[dict[str, Any]]:
        return [each for each in self.containers() if label(each, "sidekick")]

    def container(self, suffix: str) -> dict[str, Any]:
        """The container whose name is the stack's and `suffix`: `web-1`, `web-1.probe`."""
        return self.api.inspect_container(f"{self.name}-{suffix}")

    def lives(self) -> dict[str, tuple[str, str]]:
        """Which life each app container is in: no sidekick may end one, or begin another."""
        return {name(each): (each["Id"], each["State"]["StartedAt"]) for each in self.apps()}

    def inside(self, suffix: str, *words: str) -> str:
        """What a command prints that runs in a container; it must go well."""
        made = self.api.exec_create(f"{self.name}-{suffix}", list(words))["Id"]
        out = self.api.exec_start(made).decode()
        assert self.api.exec_inspect(made)["ExitCode"] == 0, out
        return out

    def seen(self, event: str, **labels: str) -> list[str]:
        """The containers of this test that an event told of so far."""
        filters = {"event": event, "label": [f"remora.{key}={value}" for key, value in labels.items()]}
        news = self.api.events(since=self.began, until=f"{time.time():.3f}", filters=filters, decode=True)
        names = [each["Actor"]["Attributes"]["name"] for each in news]
        return [each for each in names if self.run in each]

    def signal(self, suffix: str, number: int) -> None:
        """Send a signal to a container's first process from outside, behind the engine's back."""
        pid = self.container(suffix)["State"]["Pid"]
        assert pid, f"{suffix} does not run:\n{self.why()}"
        os.kill(pid, number)

    def paired(self, apps: int, **walls: str) -> bool:
        """Whether `apps` app containers run, each has just these sidekicks, each in its namespace of now, and there are no others.

        `walls` says which wall each sidekick shares.
        """
        found = self.containers()
        running = {each["Id"]: each for each in found if each["State"]["Running"] and not label(each, "sidekick")}
        beside = [(label(each, "parent"), label(each, "sidekick"), each) for each in found if label(each, "sidekick")]
        return (
            len(running) == apps
            and sorted(pair[:2] for pair in beside) == sorted((app, sidekick) for app in running for sidekick in walls)
            and all(self.together(each, running[app], walls[sidekick]) for app, sidekick, each in beside)
        )

    def together(self, one: dict[str, Any], other: dict[str, Any], wall: str) -> bool:
        """Whether two containers run in one namespace."""
        return together(one, other, wall, self.private.proc if self.private else PROC)

    def why(self) -> str:
        """How things stand, for a test that waited in vain."""
        rows = [
            (name(c), c["State"]["Status"], c["State"]["StartedAt"], namespace(c, "network"), c["State"]["Error"])
            for c in self.containers()
        ]
        return "\n".join([*map(str, rows), self.said])


def name(container: dict[str, Any]) -> str:
    return str(container["Name"].lstrip("/"))


def label(container: dict[str, Any], word: str) -> str:
    """One of remora's labels, "" where there is none."""
    return str(container["Config"]["Labels"].get(f"remora.{word}", ""))


def together(one: dict[str, Any], other: dict[str, Any], wall: str, proc: Path = PROC) -> bool:
    """Whether two containers run in one namespace."""
    return namespace(one, wall, proc) == namespace(other, wall, proc) != ""


def namespace(container: dict[str, Any], wall: str, proc: Path = PROC) -> str:
    """The namespace that a container is in right now, as the kernel names it: `net:[4026532281]`; "" for one that does not run."""
    try:
        pid = container["State"]["Pid"]
        return str((proc / f"{pid}/ns/{NAMESPACES[wall]}").readlink()) if pid else ""
    except FileNotFoundError:
        return ""


def page(path: Path, what: str) -> str:
    """What the watcher shows of itself."""
    with closing(http.client.HTTPConnection("remora")) as connection:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(path))
        connection.request("GET", what)
        return connection.getresponse().read().decode()


def until(what: Callable[[], object], why: Callable[[], str] = str, seconds: float = LIMIT) -> None:
    """Wait for it to become true; fails with `why` when it does not in time."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, f"not within {seconds:g} s:\n{why()}"
        time.sleep(0.05)


class Visitor(threading.Thread):
    """Somebody who asks an HTTP app for a page, one request after the other, and counts those that are not answered."""

    def __init__(self, host: str, port: int = 80) -> None:
        super().__init__(daemon=True)
        self.host, self.port = host, port
        self.answered = 0
        self.failures: list[str] = []
        self.enough = threading.Event()

    def run(self) -> None:
        while not self.enough.is_set():
            try:
                self.visit()
                self.answered += 1
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))

    def more(self, count: int = 50) -> None:
        """Wait until that many requests more were answered."""
        goal = self.answered + count
        until(lambda: self.answered >= goal or self.failures)

    def visit(self) -> None:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=2)
        try:
            connection.request("GET", "/")
            assert connection.getresponse().read()
        finally:
            connection.close()

    def __enter__(self) -> Visitor:
        until(self.welcome)
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.enough.set()
        self.join()

    def welcome(self) -> bool:
        """Whether the app is up."""
        try:
            self.visit()
        except OSError:
            return False
        return True
