"""Ten thousand app containers with a sidekick each, and a storm among them: on a simulated engine, for no machine has so many.

`make test` has a tenth of them, `make soak` all. The figures themselves are measured by `bench/watch.py`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from simulator import Simulated

pytestmark = [pytest.mark.engine, pytest.mark.soak]

SOAK = bool(os.environ.get("REMORA_SOAK"))
APPS = 10_000 if SOAK else 1000
STORM = 60 if SOAK else 6  # seconds
MIB = 1 << 20
OPS = """
stack: shop
environments: {prod: {attach: [net]}}
sidekicks: {net: {kind: container, image: busybox, for: "*", walls: {network: true}}}
"""


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Simulated]:
    (tmp_path / "remora.yaml").write_text(OPS)
    with Simulated(tmp_path) as made:
        yield made


class Watcher:
    """A watcher in a process of its own, and what it costs."""

    def __init__(self, engine: Simulated, resync: float) -> None:
        self.ops = Path(engine.path).with_name("remora.yaml")
        self.said = self.ops.with_name("said.txt")
        script = Path(__file__).with_name("watching.py")
        with self.said.open("w") as said:
            words = [sys.executable, script, self.ops, engine.url, "20", str(resync)]
            self.process = subprocess.Popen(words, stdout=said, stderr=said)

    @property
    def cpu(self) -> float:
        return processor(self.process.pid)

    @property
    def memory(self) -> int:
        return memory(self.process.pid)


def processor(process: int) -> float:
    """Seconds of a core that it took so far."""
    words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def memory(process: int) -> int:
    """Bytes that it had at the most."""
    return int(Path(f"/proc/{process}/status").read_text().partition("VmHWM:")[2].split()[0]) << 10


@contextmanager
def watched(engine: Simulated, resync: float = 30) -> Iterator[Watcher]:
    watcher = Watcher(engine, resync)
    try:
        yield watcher
    finally:
        watcher.process.kill()
        watcher.process.wait()


def until(what: Callable[[], object], seconds: float = 60) -> float:
    """Wait for it; gives the seconds that it took."""
    began = time.monotonic()
    while not what():
        assert time.monotonic() - began < seconds
        time.sleep(0.05)
    return time.monotonic() - began


def filled(engine: Simulated, apps: int) -> None:
    """App containers whose sidekicks are there already, but for the last one: with its sidekick the first pass is over."""
    engine.ask("fill", apps=apps)
    engine.ask("attach", ops=OPS, owner=str(Path(engine.path).with_name("remora.yaml").resolve()))
    engine.ask("watch")
    engine.ask("happen", what="new_life", name="shop-s0-1")


def answered(engine: Simulated, before: int = 0) -> bool:
    """Whether more new lives than `before` were answered, and none waits."""
    seen = engine.ask("seen")
    return len(seen["lags"]) > before and not seen["waiting"]


def test_the_first_pass_one_change_idleness_and_a_storm(engine: Simulated) -> None:
    filled(engine, APPS)
    with watched(engine) as watcher:
        assert until(lambda: answered(engine)) < 20  # 10 s where nothing else runs
        time.sleep(3)
        for number in range(1, 6):
            engine.ask("happen", what="new_life", name=f"shop-s{number}-1")
            until(lambda n=number: answered(engine, n))
            time.sleep(0.5)
        assert sorted(engine.ask("seen")["lags"][1:])[2] < 0.1
        time.sleep(1)
        before = watcher.cpu
        time.sleep(5)
        assert watcher.cpu - before <= 0.1
        before, known = watcher.cpu, len(engine.ask("seen")["lags"])
        engine.ask("storm", rate=1000, seconds=STORM)
        time.sleep(STORM)
        until(lambda: not engine.ask("seen")["storming"] and answered(engine))
        lags = sorted(engine.ask("seen")["lags"][known:])
        assert lags[int(len(lags) * 0.99)] < 2  # 1 s where nothing else runs
        assert watcher.cpu - before < 0.8 * STORM
        assert engine.ask("seen")["misplaced"] == []
        assert watcher.memory < 150 * MIB


def test_a_stream_that_drops_half_of_its_events_is_healed_by_the_resync(engine: Simulated) -> None:
    filled(engine, 300)
    with watched(engine, resync=2):
        until(lambda: answered(engine))
        engine.ask("lose", share=0.5)
        engine.ask("storm", rate=300, seconds=3, share=0.3)
        until(lambda: not engine.ask("seen")["storming"] and answered(engine))
        assert engine.ask("seen")["misplaced"] == []


def test_two_thousand_containers_that_start_at_once(engine: Simulated) -> None:
    engine.ask("watch")
    with watched(engine):
        until(lambda: engine.ask("seen")["listeners"])
        time.sleep(1)
        engine.ask("fill", apps=2000)
        until(lambda: len(list(engine.boxes())) == 4000, 120)
        assert engine.ask("seen")["misplaced"] == []
        assert engine.ask("seen")["counted"]["POST /containers/create"] == 2000


@pytest.mark.parametrize("how", ["500", "garbage", "hang", "refuse", "cut"])
def test_an_engine_that_fails_for_a_while_is_waited_for(engine: Simulated, how: str) -> None:
    filled(engine, 10)
    with watched(engine) as watcher:
        until(lambda: answered(engine))
        time.sleep(1)
        engine.ask("fail", how=how, times=1000 if how != "hang" else 40)
        engine.ask("happen", what="new_life", name="shop-s1-1")
        time.sleep(5)
        assert sum(engine.ask("seen")["counted"].values()) < 200, "it insists too much"
        assert watcher.process.poll() is None
        engine.ask("fail")
        until(lambda: answered(engine, 1), 90)


def test_a_container_that_vanishes_between_list_and_inspection_is_no_harm(engine: Simulated) -> None:
    filled(engine, 10)
    engine.ask("fail", how="vanish", match=r"GET /containers/.*/json", after=4)
    with watched(engine):
        until(lambda: answered(engine))
        until(lambda: len(list(engine.boxes())) in (18, 20))  # an app container and its sidekick, or a sidekick that came again


def test_an_engine_that_begins_again_without_anything_is_followed(engine: Simulated) -> None:
    filled(engine, 5)
    with watched(engine):
        until(lambda: answered(engine))
        engine.process.kill()
        engine.process.wait()
        engine.begin()
        engine.ask("fill", apps=7)
        until(lambda: len(list(engine.boxes())) == 14, 90)
