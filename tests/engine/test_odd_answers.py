"""What no engine should say of a container, through all that shows it: on a simulated engine, for a real one would not take it."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from simulator import Simulated
from stackkit import page

from remora.core.world import NUMBER, SERVICE, STACK

pytestmark = pytest.mark.engine
REMORA = str(Path(sys.executable).with_name("remora"))
OPS = """
stack: shop
environments: {prod: {attach: [net]}}
sidekicks: {net: {kind: container, image: busybox, for: {env: "A*"}, walls: {network: true}}}
"""
HALF = "caf\udce9"  # half of a surrogate pair, which JSON can say and UTF-8 cannot
MEGABYTE = "x" * (1 << 20)
ODD: dict[str, dict[str, Any]] = {
    "lines": {"service": "a\nb", "env": ["A=one\ntwo\n"], "labels": {"x\ny": "z\n\n! not a remark of remora's"}},
    "half": {"service": HALF, "env": [f"A{HALF}={HALF}"], "labels": {HALF: HALF}},
    "latin": {"service": "caf?", "env": ["A=caf?"], "labels": {"caf?": "caf?"}},
    "long": {"service": MEGABYTE, "env": [f"A={MEGABYTE}"], "labels": {"long": MEGABYTE}},
    "nul": {"service": "a\0b\x1b[31m", "env": ["A=\0"], "labels": {"\0": "\0"}},
    "nothing": {"service": "", "env": ["=", "A", "A="], "labels": {"": ""}},
}


class Machine:
    """A simulated engine, and `remora` on it."""

    def __init__(self, engine: Simulated, folder: Path) -> None:
        self.engine, self.folder = engine, folder
        self.env = {**os.environ, "REMORA_ENVIRONMENT": "prod", "REMORA_STATE": str(folder / "state"), "DOCKER_HOST": engine.url}

    def call(self, method: str, path: str, body: Any = None) -> Any:
        with closing(http.client.HTTPConnection("simulated")) as connection:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(self.engine.path)
            connection.request(method, path, json.dumps(body) if body else None)
            answer = connection.getresponse().read()
        return json.loads(answer) if answer else None

    def run(self, suffix: str, service: str, env: list[str], labels: dict[str, str]) -> None:
        body = {"Image": "shop/app:1", "Env": env, "Labels": {STACK: "shop", SERVICE: service, NUMBER: "1", **labels}}
        self.call("POST", f"/containers/{self.call('POST', f'/containers/create?name=shop-{suffix}-1', body)['Id']}/start")

    def remora(self, *words: str) -> str:
        done = subprocess.run([REMORA, *words], cwd=self.folder, env=self.env, capture_output=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, b""), done.stderr[-2000:]
        return done.stdout.decode()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    (tmp_path / "remora.yaml").write_text(OPS)
    with Simulated(tmp_path) as engine:
        yield Machine(engine, tmp_path)


def until(what: Any, why: Any) -> None:
    end = time.monotonic() + 30
    while not what():
        assert time.monotonic() < end, why()
        time.sleep(0.05)


@pytest.mark.parametrize("odd", ODD)
def test_odd_names_env_and_labels_trouble_nobody(machine: Machine, odd: str) -> None:
    if odd == "latin":
        machine.engine.ask("fail", how="latin", times=10**6)
    machine.run("web", "web", ["A=1"], {})
    machine.run(odd, **ODD[odd])
    plan = json.loads(machine.remora("plan", "--json"))
    assert {each["name"] for each in plan["actions"]} == {"shop-web-1.net", f"shop-{odd}-1.net"}
    said = machine.folder / "said"
    with said.open("wb") as out, subprocess.Popen([REMORA, "watch"], cwd=machine.folder, env=machine.env, stderr=out) as watcher:
        try:
            until(lambda: said.read_text().count("+ attach") == 2, said.read_text)  # and not while one is being started
            machine.engine.ask("happen", what="new_life", name=f"shop-{odd}-1")
            until(lambda: machine.engine.ask("seen")["lags"], said.read_text)
            until(lambda: "app.restarted" in machine.remora("events"), said.read_text)
            metrics = page(machine.folder / "state/shop.prod.sock", "/metrics")
        finally:
            watcher.terminate()
            assert watcher.wait(30) == 0
    assert 'remora_app_containers{state="running"} 2.0' in metrics
    known = ("watching shop", "+ attach shop-", "~ restart shop-")
    assert [line for line in said.read_text().splitlines() if not line.startswith(known)] == []
    status = json.loads(machine.remora("status", "--json"))
    assert [each["state"] for each in status["sidekicks"]] == ["running"] * 2
    assert {each["beside"] for each in status["sidekicks"]} == {"shop-web-1", f"shop-{odd}-1"}
    assert len(machine.remora("status").splitlines()) == 4
    told = machine.remora("explain", f"shop-{odd}-1")
    assert (len(told.splitlines()), max(map(len, told.splitlines())) < 400 or odd == "long") == (4, True), told[:2000]
    events = machine.remora("events")
    assert all(line[:2] == "20" for line in events.splitlines()), events[:2000]
    assert [json.loads(line)["name"] for line in machine.remora("events", "--json").splitlines()].count("app.restarted") == 1


@pytest.mark.parametrize("how", ["500", "garbage", "refuse", "cut"])
def test_an_engine_that_fails_at_the_start_or_later_is_one_sentence(machine: Machine, how: str) -> None:
    """Whatever the first, second, … call of `status` is answered."""
    machine.run("web", "web", ["A=1"], {})
    machine.engine.ask("watch")
    machine.remora("status")
    for number in range(len(machine.engine.ask("seen")["calls"])):
        machine.engine.ask("fail", how=how, after=number)
        done = subprocess.run([REMORA, "status"], cwd=machine.folder, env=machine.env, capture_output=True, text=True, timeout=60)
        machine.engine.ask("fail")
        assert (done.returncode, done.stderr.count("\n"), done.stderr[:8]) in ((0, 0, ""), (1, 1, "remora: ")), (number, done.stderr)
