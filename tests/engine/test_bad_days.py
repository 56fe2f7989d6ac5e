"""Bad days of a watcher on a real engine: odd containers, no state, no image, many at once, nobody who reads what it says."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from stackkit import BESIDE, DEBIAN, IDLE, REMORA, Stack, name, until

pytestmark = pytest.mark.engine
root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount, and become somebody else")
MANY = 100 if os.environ.get("REMORA_SOAK") else 25
PROBE = "for: '*', walls: {network: true}"


def run(stack: Stack, suffix: str, labels: dict[str, str] | None = None, image: str = DEBIAN, **more: Any) -> str:
    """A container that nobody's Compose started, and that runs."""
    host = stack.api.create_host_config(init=True)
    made = stack.api.create_container(image, "sleep infinity", labels=labels, name=f"{stack.name}-{suffix}", host_config=host, **more)["Id"]
    stack.api.start(made)
    return str(made)


# ---- odd containers ----


def odd(stack: Stack) -> None:
    """What a real engine takes: a megabyte in a label, 100 KiB in a variable, lines, and what is no UTF-8, which it mends."""
    labels = {
        "com.docker.compose.project": stack.name,
        "com.docker.compose.service": "a\nb\x1b[31m",
        "one\ntwo": "three\n! four",
        "long": "x" * (1 << 20),
        "half": "caf\udce9",
    }
    run(stack, "odd", labels, environment=["A=one\ntwo\n", f"LONG={'x' * 100_000}", "HALF=caf\udce9"])


def page(stack: Stack, path: str) -> str:
    """What the watcher shows of itself."""
    connection = http.client.HTTPConnection("remora")
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.connect(f"{stack.folder}/state/{stack.name}.prod.sock")
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def test_odd_env_and_labels_trouble_nobody(stack: Stack) -> None:
    stack.developers(f"services: {{web: {{{IDLE}}}}}")
    stack.ops(f"""
        stack: {stack.name}
        environments: {{prod: {{attach: [probe]}}}}
        sidekicks: {{probe: {{{BESIDE}, for: {{env: "HALF=caf?"}}, walls: {{network: true}}}}}}
    """)
    odd(stack)
    assert [each["name"] for each in stack.json("plan")["actions"]] == [f"{stack.name}-odd.probe"]
    with stack.watched():
        until(lambda: stack.paired(1, probe="network"), stack.why)
        stack.api.restart(f"{stack.name}-odd")
        until(lambda: "app.restarted" in stack.remora("events"), stack.why)
        until(lambda: stack.paired(1, probe="network"), stack.why)
        assert 'remora_app_containers{state="running"} 1.0' in page(stack, "/metrics")
    assert [each["beside"] for each in stack.json("status")["sidekicks"]] == [f"{stack.name}-odd"]
    assert len(stack.remora("status").splitlines()) == 3
    told = stack.remora("explain", f"{stack.name}-odd").splitlines()
    assert (len(told), told[0]) == (4, f"{stack.name}-odd (a?b?[31m of {stack.name}, running) in prod")
    assert {line[:2] for line in stack.remora("events").splitlines()} == {"20"}
    assert "app.restarted" in [json.loads(line)["name"] for line in stack.remora("events", "--json").splitlines()]
    assert "x" * 1000 not in stack.said


# ---- the whole host ----


def test_every_condition_decides_and_is_explained_on_a_whole_host(stack: Stack) -> None:
    """Containers that Compose did not make, by image in any spelling, env, label, port and name."""
    tag = f"registry.internal:5000/{stack.name}/web:1.2"
    stack.api.tag(DEBIAN, f"registry.internal:5000/{stack.name}/web", "1.2")
    host = f"{stack.name}-*"
    conditions = {  # for → whether it is for `front`, and why
        f"image: '{stack.name}/web'": (True, f"its image `{tag}` fits `{stack.name}/web`, written as `{stack.name}/web`"),
        f"image: '{tag}'": (True, f"its image is `{tag}`"),
        f"image: 'registry.*/{stack.name}/*:1.*'": (True, f"its image `{tag}` fits `registry.*/{stack.name}/*:1.*`"),
        f"image: '{stack.name}/web:1.3'": (False, f"its image `{tag}` is not `{stack.name}/web:1.3`, in no spelling: "),
        f"image: '{tag}@sha256:{'0' * 64}'": (False, f"its image `{tag}` is not "),
        "env: ROLE": (True, "its env is `ROLE`"),
        "env: ROLE=front": (True, "its env `ROLE` fits `ROLE=front`"),
        "env: {ROLE: 'fr*'}": (True, "its env `ROLE` fits `ROLE=fr*`"),
        "env: ROLE=back": (False, "its env `ROLE` has another value, not `ROLE=back`"),
        "env: RULE": (False, "it has no env `RULE`"),
        "label: {tier: front}": (True, "its label `tier` fits `tier=front`"),
        "label: tier=b*": (False, "its label `tier` has another value, not `tier=b*`"),
        "port: 8000-8100": (True, "its port `8080` fits `8000-8100`"),
        "port: 80": (False, "its ports are `8080`, not `80`"),
        f"name: '*-{stack.run}-fr*'": (True, f"its name `{stack.name}-front` fits `*-{stack.run}-fr*`"),
        "name: front": (False, f"its name is `{stack.name}-front`, not `front`"),
    }
    lines = [
        f"  c{number}:\n    {BESIDE.replace(', ', chr(10) + '    ')}\n    for:\n      {text}\n      service: '{host}'"
        for number, text in enumerate(conditions)
    ]
    names = ", ".join(f"c{number}" for number in range(len(conditions)))
    stack.ops(f"stack: '*'\nenvironments: {{prod: {{attach: [{names}]}}}}\nsidekicks:\n" + "\n".join(lines))
    try:
        run(stack, "front", {"tier": "front"}, tag, environment=["ROLE=front"], ports=[8080])
        run(stack, "other")
        stack.remora("attach")
        wanted = sorted(f"{stack.name}-front.c{number}" for number, (fits, _) in enumerate(conditions.values()) if fits)
        assert sorted(name(each) for each in stack.sidekicks()) == wanted
        found = stack.json("explain", f"{stack.name}-front")[0]["sidekicks"]
        text = (stack.folder / "remora.yaml").read_text().splitlines()
        for each, (condition, (fits, why)) in zip(found, conditions.items(), strict=True):
            reason = next(one for one in each["reasons"] if one["condition"] != "service")
            assert (each["selected"], reason["holds"]) == (fits, fits)
            assert reason["words"].startswith(why)
            assert text[int(reason["line"].partition(":")[2]) - 1].strip() == condition
        assert all(not each["selected"] for each in stack.json("explain", f"{stack.name}-other")[0]["sidekicks"])
    finally:
        stack.remora("detach")
        stack.api.remove_image(tag, force=True)


def test_many_containers_that_start_at_once(stack: Stack) -> None:
    stack.ops(
        f"stack: '*'\nenvironments: {{prod: {{attach: [probe]}}}}\nsidekicks: {{probe: {{{BESIDE}, for: {{name: '{stack.name}-*'}}}}}}"
    )
    with stack.watched():
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda number: run(stack, f"app-{number}"), range(MANY)))
        until(lambda: len([each for each in stack.sidekicks() if each["State"]["Running"]]) == MANY, stack.why, 60 + MANY)
        assert sorted(name(each) for each in stack.sidekicks()) == sorted(f"{name(each)}.probe" for each in stack.apps())
    assert "failed" not in stack.said
    assert stack.said.count("+ attach") == MANY


# ---- images ----


class Registry(ThreadingHTTPServer):
    """A registry that has nothing, and counts who asks for what."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Nothing)
        self.asked: Counter[str] = Counter()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def pulls(self) -> int:
        return self.asked["/v2/"]


class Nothing(BaseHTTPRequestHandler):
    server: Registry

    def do_GET(self) -> None:
        self.server.asked[self.path] += 1
        there = self.path == "/v2/"
        body = b"{}" if there else b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}'
        self.send_response(200 if there else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass


def test_an_image_that_cannot_be_pulled_is_tried_less_and_less(stack: Stack) -> None:
    """After 1, 2, 4, … seconds, once for all that need it, whatever else happens meanwhile; and what can be had is had."""
    registry = Registry()
    image = f"127.0.0.1:{registry.server_address[1]}/nothing:1"
    stack.developers(f"services: {{web: {{{IDLE}, scale: 3}}}}")
    stack.ops(f"""
        environments: {{prod: {{attach: [lacking, probe]}}}}
        sidekicks:
          lacking: {{kind: container, for: web, image: "{image}"}}
          probe: {{{BESIDE}, {PROBE.replace("'*'", "web")}}}
    """)
    stack.compose("up", "-d")
    try:
        with stack.watched():
            until(lambda: stack.paired(3, probe="network"), stack.why)
            for _ in range(3):
                stack.api.restart(f"{stack.name}-web-1")
            until(lambda: stack.paired(3, probe="network"), stack.why)
            until(lambda: stack.said.count(f"remora: remora.yaml:4: the image `{image}` is not here and cannot be pulled") >= 3, stack.why)
            first = registry.pulls
            until(lambda: registry.pulls > first, stack.why, 60)
        assert stack.said.count("! failed: + pull image") <= 7, stack.said
        assert registry.pulls <= 2 * 7
        assert "sidekick.failed" in stack.remora("events")
        missing = [each for each in stack.json("status")["sidekicks"] if each["state"] == "missing"]
        assert [each["sidekick"] for each in missing] == ["lacking"] * 3
    finally:
        registry.shutdown()
        registry.server_close()


def test_a_sidekick_that_ends_at_once_for_ever_leaves_no_pile(stack: Stack) -> None:
    """Never given up, with a secret: one container, one volume, no image more; and it is started less and less often."""
    stack.developers(f"services: {{web: {{{IDLE}}}}}")
    stack.ops("""
        environments: {prod: {attach: [bad]}}
        sidekicks:
          bad: {kind: container, for: web, image: "debian:trixie-slim", command: "false", give_up_after: 0, secrets: {a: env:HOME}}
    """)
    stack.remora("up")
    images, before = {each["Id"] for each in stack.api.images(all=True)}, stack.lives()
    with stack.watched():
        until(lambda: stack.container("web-1.bad")["RestartCount"] >= 7, stack.why, 60)
        stack.api.restart(f"{stack.name}-web-1")
        until(lambda: stack.lives() != before, stack.why)
    assert sorted(stack.leftovers()) == sorted(
        [f"{stack.name}-web-1", f"{stack.name}-web-1.bad", f"remora_{stack.name}-web-1.bad_secrets", f"{stack.name}_default"]
    )
    assert {each["Id"] for each in stack.api.images(all=True)} <= images
    assert stack.said.count("~ restart") + stack.said.count("+ attach") <= 3, stack.said
    stack.remora("down")
    assert stack.leftovers() == []


# ---- the state folder, and standard error ----


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """A disk of 64 KiB that is full."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "remora-test", folder], check=True)
    try:
        (folder / "filled").write_bytes(bytes(64 << 10))
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@contextmanager
def nothing_to_write(stack: Stack) -> Iterator[None]:
    """The watcher follows, and what it cannot write it says once."""
    path = stack.folder / f"state/{stack.name}.prod.events"
    yield
    until(lambda: f"! the journal {path} cannot be written (" in stack.said, stack.why)
    for _ in range(2):
        stack.api.restart(f"{stack.name}-web-1")
        until(lambda: stack.paired(1, probe="network"), stack.why)
    assert stack.said.count("! the journal ") == 1, stack.said


@pytest.fixture
def web(stack: Stack) -> Stack:
    stack.developers(f"services: {{web: {{{IDLE}}}}}")
    stack.compose("up", "-d")
    stack.ops(f"stack: {stack.name}\nenvironments: {{prod: {{attach: [probe]}}}}\nsidekicks: {{probe: {{{BESIDE}, {PROBE}}}}}\n")
    return stack


@root
def test_a_disk_that_is_full_costs_history_alone(web: Stack) -> None:
    with full(web.folder / "state"), web.watched():
        with nothing_to_write(web):
            pass
        assert "remora_journal_failing 1.0" in page(web, "/metrics")
    assert "Traceback" not in web.said


@root
def test_a_folder_of_somebody_else_costs_history_and_the_socket(web: Stack) -> None:
    """As a user who may use the engine, and nothing else."""
    place = Path(os.environ["DOCKER_HOST"].removeprefix("unix://"))
    if not place.stat().st_mode & 0o020 or not place.stat().st_gid:
        pytest.skip("the engine's socket is root's alone")
    (web.folder / "state").mkdir(mode=0o755)
    reader = "-all,+dac_read_search"  # the interpreter may lie where nobody may look
    become = [
        "setpriv",
        "--reuid=65534",
        f"--regid={place.stat().st_gid}",
        "--clear-groups",
        f"--inh-caps={reader}",
        f"--ambient-caps={reader}",
    ]
    with (web.folder / "said.txt").open("ab") as said:
        watcher = subprocess.Popen([*become, REMORA, "watch"], cwd=web.folder, env=web.env, stderr=said)
    try:
        with nothing_to_write(web):
            pass
        assert web.said.count("! cannot listen on ") == 1
        assert list((web.folder / "state").iterdir()) == []
    finally:
        watcher.terminate()
        assert watcher.wait(30) == 0
    assert "Traceback" not in web.said


def test_nobody_reads_what_is_said(web: Stack) -> None:
    """A disk that is full under standard error, and a reader of it who has gone, stop neither `attach` nor the watcher."""
    for lost in ("2>/dev/full", "2>&1 | true"):
        web.remora("detach")
        script = f'trap "" PIPE; "$0" attach {lost}; exit ${{PIPESTATUS[0]}}'
        subprocess.run(["bash", "-c", script, REMORA], cwd=web.folder, env=web.env, check=True)
        assert web.paired(1, probe="network"), web.why()
    for lost in ("2>/dev/full", "2> >(true)"):
        watcher = subprocess.Popen(["bash", "-c", f'exec "$0" watch {lost}', REMORA], cwd=web.folder, env=web.env)
        try:
            web.remora("detach")
            until(lambda: web.paired(1, probe="network"), web.why)
            web.api.restart(f"{web.name}-web-1")
            until(lambda: web.paired(1, probe="network"), web.why)
        finally:
            watcher.terminate()
            assert watcher.wait(30) == 0


def test_a_reader_who_has_seen_enough(web: Stack) -> None:
    with web.watched():
        until(lambda: web.paired(1, probe="network"), web.why)
        until(lambda: "sidekick" in web.remora("events"), web.why)
    for words in ("events", "plan", "status", "diff", "explain web", "kinds", "--help"):
        script = f'"$0" {words} | head -1; exit ${{PIPESTATUS[0]}}'
        done = subprocess.run(["bash", "-c", script, REMORA], cwd=web.folder, env=web.env, capture_output=True)
        assert (done.returncode, done.stderr, done.stdout.count(b"\n")) == (0, b"", 1), words
