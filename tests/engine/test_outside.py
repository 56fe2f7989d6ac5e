"""What is seen of a real watcher on a real engine: its journal, its figures in a real Prometheus, and what its hooks do."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from stackkit import IDLE, LIMIT, Stack, until

from remora.journal import Reader

pytestmark = pytest.mark.engine

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "contrib/prometheus/alerts.yml"
WEB = f"services: {{web: {{{IDLE}, restart: always}}}}"
PROBE = "for: web, walls: {network: true}"


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with Stack(tmp_path) as made:
        made.developers(WEB)
        made.attached(probe=PROBE)
        yield made


def tool(name: str) -> str:
    """A program of Debian's package prometheus, installed or fetched by tools/test-tools."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:{ROOT}/.engine/prometheus/usr/bin")
    assert found, f"no {name}: run tools/test-tools"
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


@contextmanager
def watching(stack: Stack, *words: str) -> Iterator[None]:
    """`remora watch` with these options, until it has looked; it ends well when it is told to."""
    watcher = stack.start("watch", *words)
    until(lambda: stack.paired(1, probe="network"), stack.why)
    yield
    watcher.terminate()
    assert watcher.wait(LIMIT) == 0, stack.said


def told(stack: Stack) -> list[dict[str, Any]]:
    """What the journal says."""
    return list(Reader(stack.folder / f"state/{stack.name}.prod.events").more())


def names(found: list[dict[str, Any]], *begin: str) -> list[str]:
    return [each["name"] for each in found if each["name"].startswith(begin)]


def wait_for(stack: Stack, *wanted: str, since: int = 0) -> list[dict[str, Any]]:
    """The news of these names, as soon as all are there."""
    until(lambda: set(wanted) <= set(names(told(stack)[since:], "")), lambda: f"{wanted} of {names(told(stack), '')}\n{stack.why()}")
    return [each for each in told(stack)[since:] if each["name"] in wanted]


# ---- the journal ----


def connected(stack: Stack) -> tuple[str, ...]:
    stack.api.create_network(f"{stack.name}_more")
    stack.api.connect_container_to_network(f"{stack.name}-web-1", f"{stack.name}_more")
    return ("app.network",)


def frozen(stack: Stack) -> tuple[str, ...]:
    stack.api.pause(f"{stack.name}-web-1")
    return ("app.paused",)


def thawed(stack: Stack) -> tuple[str, ...]:
    stack.api.unpause(f"{stack.name}-web-1")
    return ("app.unpaused",)


def restarted(stack: Stack) -> tuple[str, ...]:
    stack.api.restart(f"{stack.name}-web-1")
    return ("app.stopped", "app.restarted", "sidekick.restarted")


def crashed(stack: Stack) -> tuple[str, ...]:
    stack.signal("web-1", signal.SIGKILL)
    return ("app.died", "app.restarted", "sidekick.restarted")


def stopped(stack: Stack) -> tuple[str, ...]:
    """With an exit code that says nothing: 137, for it does not listen to SIGTERM."""
    stack.api.update_container(f"{stack.name}-web-1", restart_policy={"Name": "no"})
    stack.api.stop(f"{stack.name}-web-1", timeout=0)
    return ("app.stopped",)


def started(stack: Stack) -> tuple[str, ...]:
    stack.api.start(f"{stack.name}-web-1")
    return ("app.restarted", "sidekick.restarted")


def recreated(stack: Stack) -> tuple[str, ...]:
    stack.compose("up", "-d", "--force-recreate")
    return ("app.stopped", "app.recreated", "app.started", "sidekick.detached", "sidekick.attached")


def renamed(stack: Stack) -> tuple[str, ...]:
    stack.api.rename(f"{stack.name}-web-1", f"{stack.name}-blue")
    return ("app.renamed", "sidekick.detached", "sidekick.attached")


def removed(stack: Stack) -> tuple[str, ...]:
    stack.api.remove_container(f"{stack.name}-blue", force=True)
    return ("app.stopped", "app.gone", "sidekick.detached")


def refused(stack: Stack) -> tuple[str, ...]:
    stack.ops("nonsense: {}\n")
    return ("ops.refused",)


LIVES = [connected, frozen, thawed, restarted, crashed, stopped, started, recreated, renamed, removed, refused]


def test_what_happens_is_told_and_each_thing_once(stack: Stack) -> None:
    stack.compose("up", "-d")
    expected: list[str] = []
    with watching(stack, "--listen", "none"):
        wait_for(stack, "sidekick.attached", "plan.done")
        for happens in LIVES:
            before = len(told(stack))
            news = happens(stack)
            wait_for(stack, *news, since=before)
            expected += [name for name in news if name.startswith(("app", "ops"))]
        assert names(told(stack), "app", "ops") == expected
    assert names(told(stack), "sidekick.failed", "sidekick.given_up", "engine", "hook") == []
    said = "nonsense: no such setting; there is `environments`, `on`, `sidekicks`, `stack`; going on with the ops file as it was"
    assert said in stack.remora("events")  # though the ops file cannot be read


GREEDY = """
    environments: {prod: {attach: [probe]}}
    sidekicks:
      probe:
        kind: container
        for: web
        image: debian:trixie-slim
        command: [perl, -e, "$SIG{USR1} = sub { $x = 'x'; $x .= $x while 1 }; print STDERR 'ready', $/; sleep 1 while 1"]
        walls: {network: true}
        limits: {memory: 16m}
        on_failure: page
"""


def test_a_sidekick_that_runs_out_of_memory_is_named_with_its_cap(stack: Stack) -> None:
    stack.ops(GREEDY)
    stack.compose("up", "-d")
    with watching(stack, "--listen", "none"):
        wait_for(stack, "sidekick.attached")
        until(lambda: stack.api.logs(f"{stack.name}-web-1.probe"), stack.why)
        stack.api.kill(f"{stack.name}-web-1.probe", "USR1")
        [failed] = wait_for(stack, "sidekick.failed")
    reason = "killed at 16 MiB; the app was not affected"
    assert failed["words"] == f"probe beside {stack.name}-web-1 was {reason}"
    assert failed["facts"] == {"beside": f"{stack.name}-web-1", "reason": reason, "exit_code": 137, "on_failure": "page"}
    assert failed["engine"]["Actor"]["Attributes"]["name"] == f"{stack.name}-web-1.probe"


def test_the_journal_is_followed_and_goes_back_as_far_as_it_is_told(stack: Stack) -> None:
    stack.compose("up", "-d")
    follower = stack.start("events", "--follow")
    with watching(stack, "--listen", "none"):
        until(lambda: f"sidekick.attached   probe beside {stack.name}-web-1 was attached" in stack.said, stack.why)
    follower.kill()
    assert stack.remora("events", "--since", "1h") == stack.remora("events")
    assert [json.loads(line) for line in stack.remora("events", "--json").splitlines()] == told(stack)
    assert stack.remora("events", "--since", "0s") == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_a_watcher_that_can_write_nothing_still_watches(stack: Stack) -> None:
    state = stack.folder / "state"
    state.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "remora-test", str(state)], check=True)
    try:
        stack.compose("up", "-d")
        with watching(stack):
            restarted(stack)
            until(lambda: stack.paired(1, probe="network"), stack.why)
            until(lambda: "cannot be written" in stack.said, stack.why)
    finally:
        subprocess.run(["umount", str(state)], check=True)
    path = state / f"{stack.name}.prod.events"
    assert stack.said.count("! the journal ") == stack.said.count("! cannot listen on ") == 1
    assert f"! the journal {path} cannot be written (Read-only file system): what happens is not kept" in stack.said
    assert f"! cannot listen on unix://{path.with_suffix('.sock')} (Read-only file system)" in stack.said


def test_remarks_are_json_where_that_is_asked_for(stack: Stack) -> None:
    stack.compose("up", "-d")
    with watching(stack, "--listen", "none", "--log", "json"):
        until(lambda: "+ attach" in stack.said, stack.why)
    remarks = [json.loads(line) for line in stack.said.splitlines()]
    assert [each["level"] for each in remarks] == ["info"] * len(remarks)
    assert remarks[0]["words"] == f"watching {stack.name} in prod"
    [attached] = [each for each in remarks if each["words"].startswith("+ attach")]
    assert (attached["facts"]["action"], attached["facts"]["sidekick"]) == ("attach", "probe")


def test_an_error_at_the_start_is_json_too(stack: Stack) -> None:
    stack.ops("environments: {prod: {attach: [lgs]}}\n")
    said = json.loads(stack.refused("watch", "--log", "json"))
    assert (said["level"], said["words"]) == ("error", "remora.yaml:1: environments.prod.attach.0: no sidekick `lgs`; there is none")


# ---- Prometheus ----

CONFIG = """\
global: {{scrape_interval: 500ms, evaluation_interval: 500ms}}
rule_files: ["{alerts}"]
scrape_configs:
  - job_name: remora
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


def asked(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.load(answer)


@contextmanager
def prometheus(folder: Path, port: int) -> Iterator[str]:
    """A Prometheus that reads what is at `port`; the address of its API."""
    (folder / "prometheus.yml").write_text(CONFIG.format(alerts=ALERTS, port=port))
    own = f"127.0.0.1:{free_port()}"
    with (folder / "prometheus.log").open("wb") as log:
        words = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address={own}"]
        started = subprocess.Popen([tool("prometheus"), *words], cwd=folder, stdout=log, stderr=log)
    try:
        yield f"http://{own}/api/v1"
    finally:
        started.terminate()
        started.wait(LIMIT)


def test_a_real_prometheus_reads_the_figures(stack: Stack, tmp_path: Path) -> None:
    stack.compose("up", "-d")
    port = free_port()
    with prometheus(tmp_path, port) as api, watching(stack, "--listen", f"127.0.0.1:{port}"):

        def up() -> bool:
            try:
                return [each["health"] for each in asked(f"{api}/targets")["data"]["activeTargets"]] == ["up"]
            except OSError:
                return False

        def running() -> list[str]:
            found = asked(f"{api}/query?query=remora_sidekicks{{state=%22running%22}}")["data"]["result"]
            return [each["value"][1] for each in found]

        until(up, lambda: (tmp_path / "prometheus.log").read_text())
        until(lambda: running() == ["1"], stack.why)
        rules = [rule["health"] for group in asked(f"{api}/rules")["data"]["groups"] for rule in group["rules"]]
        assert set(rules) == {"ok"}
        page = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read()
        assert urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5).read() == b"ok\n"
    checked = subprocess.run([tool("promtool"), "check", "metrics"], input=page, capture_output=True)
    assert (checked.returncode, checked.stderr) == (0, b"")


@pytest.mark.parametrize(
    "words", [["check", "rules", str(ALERTS)], ["test", "rules", "alerts.test.yml"]], ids=["are rules", "do as they should"]
)
def test_the_alerts(words: list[str]) -> None:
    done = subprocess.run([tool("promtool"), *words], cwd=Path(__file__).parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_by_default_there_is_a_socket_that_others_cannot_use(stack: Stack) -> None:
    stack.compose("up", "-d")
    path = stack.folder / f"state/{stack.name}.prod.sock"
    with watching(stack):
        until(path.exists, stack.why)
        connection = http.client.HTTPConnection("remora")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(os.path.relpath(path))
        connection.request("GET", "/healthz")
        assert (connection.getresponse().read(), path.stat().st_mode & 0o777) == (b"ok\n", 0o600)
        connection.close()
    assert not path.exists()


# ---- hooks ----

HOOKED = """
    environments: {prod: {attach: [probe]}}
    sidekicks:
      probe: {kind: container, for: web, image: "debian:trixie-slim", command: sleep infinity, walls: {network: true}}
      look: {kind: container, for: web, image: "debian:trixie-slim", command: "sh -c 'cat /run/secrets/word; exit 3'",
             walls: {processes: true}, user: "0", secrets: {word: "env:WORD"}}
    on:
      - {event: app.restarted, do: {webhook: {url: "env:HOOK", secret: "env:KEY"}}}
      - {event: app.restarted, do: {run: [sh, -c, "cat > got.json"]}}
      - {event: app.restarted, do: {job: look}}
"""


@contextmanager
def receiver() -> Iterator[tuple[str, queue.Queue[Any]]]:
    """A web server that fails once, and then takes what comes; its address, and what came."""
    got: queue.Queue[Any] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.put((self.headers["X-Remora-Signature"], self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(503 if got.qsize() == 1 else 204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hunter2", got
        server.shutdown()


def test_hooks_do_what_they_are_told(stack: Stack) -> None:
    with receiver() as (url, got):
        stack.env |= {"HOOK": url, "KEY": "hunter2", "WORD": "hunter2"}
        stack.ops(HOOKED)
        stack.compose("up", "-d")
        with watching(stack, "--listen", "none"):
            wait_for(stack, "sidekick.attached")
            restarted(stack)
            until(lambda: got.qsize() == 2, stack.why)
            until(lambda: (stack.folder / "got.json").exists(), stack.why)
            until(lambda: any("the job is over: it ended with exit code 3" in each["words"] for each in told(stack)), stack.why)
    signature, body = [got.get() for _ in range(2)][1]
    assert signature == "sha256=" + hmac.new(b"hunter2", body, hashlib.sha256).hexdigest()
    assert (json.loads(body)["name"], json.loads(body)["container"]) == ("app.restarted", f"{stack.name}-web-1")
    assert json.loads((stack.folder / "got.json").read_text()) == json.loads(body)
    jobs = [each for each in told(stack) if each.get("facts", {}).get("job")]
    assert [each["name"] for each in jobs] == ["sidekick.failed", "sidekick.detached"]
    assert jobs[0]["words"] == f"look.job beside {stack.name}-web-1 ended with exit code 3; the app was not affected"
    assert stack.paired(1, probe="network"), stack.why()
    assert [each.name for each in stack.client.volumes.list(filters={"name": stack.run})] == []
    assert "hunter2" not in stack.said + json.dumps(told(stack))
