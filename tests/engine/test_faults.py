"""Whatever call goes wrong, and wherever the watcher is killed: in the end there is what is wanted, and nothing is left over."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from simulator import Simulated
from watching import watch

from remora.errors import RemoraError

pytestmark = [pytest.mark.engine, pytest.mark.soak]

SOAK = bool(os.environ.get("REMORA_SOAK"))
SEED = int(os.environ.get("REMORA_SEED") or random.randrange(10**6))
SAMPLE = 20  # of all the ways, where not all are tried
PATIENCE, RESYNC = 0.4, 1.0
WAYS = ("kill-before", "kill-after", "500", "garbage", "hang", "lost", "refuse", "trickle", "cut")
SIDEKICKS = {
    "net": "{kind: container, image: busybox, for: '*', walls: {network: true}}",
    "proc": "{kind: container, image: busybox, for: s0, walls: {processes: true}}",
    "keyed": "{kind: container, image: busybox, for: '*', secrets: {token: 'file:token'}}",
    "old": "{kind: container, image: busybox, for: '*', walls: {network: true}, secrets: {token: 'file:token'}}",
}
WANTED = {"shop-s0-1.net", "shop-s0-1.proc", "shop-s0-1.keyed", "shop-s1-1.net", "shop-s1-1.keyed"}
SECRETS = {f"remora_{name}_secrets" for name in WANTED if name.endswith("keyed")}


def ops(*attach: str) -> str:
    sidekicks = "\n".join(f"  {name}: {settings}" for name, settings in SIDEKICKS.items())
    return f"stack: shop\nenvironments: {{prod: {{attach: [{', '.join(attach)}]}}}}\nsidekicks:\n{sidekicks}\n"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulated]:
    folder = tmp_path_factory.mktemp("engine")
    (folder / "remora.yaml").write_text(ops("net", "proc", "keyed"))
    (folder / "token").write_text("secret")
    with Simulated(folder) as made:
        yield made


@contextmanager
def watcher(engine: Simulated) -> Iterator[int]:
    """A watcher in a process of its own; a service manager starts it again where it ends by itself, but not where it is killed."""
    process = os.fork()
    if not process:
        with suppress(BaseException):
            said = os.open(f"{engine.path}.said", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
            os.dup2(said, 1)
            os.dup2(said, 2)
            while True:
                with suppress(RemoraError):
                    watch(str(Path(engine.path).with_name("remora.yaml")), engine.url, PATIENCE, RESYNC, 1)
                time.sleep(0.1)
        os._exit(1)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(process, 0)


def begin(engine: Simulated) -> None:
    """Two app containers, one of them new under its old name, with sidekicks of an ops file of yesterday."""
    engine.ask("reset")
    engine.ask("fill", apps=2)
    engine.ask("attach", ops=ops("net", "old"), owner=str(Path(engine.path).with_name("remora.yaml").resolve()))
    engine.ask("happen", what="recreate", name="shop-s1-1")
    engine.ask("watch")


def wrong(engine: Simulated) -> str:
    """What is not as it should be; "" where all is."""
    seen, boxes = engine.ask("seen"), list(engine.boxes())
    ids = {box["Name"].lstrip("/"): box["Id"] for box in boxes}
    beside = {box["Name"].lstrip("/"): box for box in boxes if "remora.sidekick" in box["Config"]["Labels"]}
    lost = [name for name, box in beside.items() if box["Config"]["Labels"].get("remora.parent") != ids.get(name.rpartition(".")[0])]
    still = [name for name, box in beside.items() if not box["State"]["Running"]]
    volumes = set(seen["volumes"])
    return " ".join(
        f"{words}: {found}"
        for words, found in {
            "sidekicks": sorted(beside.keys() ^ WANTED),
            "apps": sorted({"shop-s0-1", "shop-s1-1"} - ids.keys()),
            "of others": lost,
            "not running": still,
            "misplaced": seen["misplaced"],
            "volumes": sorted(volumes ^ SECRETS),
        }.items()
        if found
    )


def until(what: Callable[[], bool], why: Callable[[], str], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, why()
        time.sleep(0.03)


def settled(engine: Simulated) -> None:
    """All is right, at the latest when what was left behind is old enough to be known as that."""
    until(lambda: not wrong(engine) or aged(engine), lambda: f"{wrong(engine)}\n{Path(engine.path + '.said').read_text()[-2000:]}")


def aged(engine: Simulated) -> bool:
    engine.ask("age", seconds=3600)
    return False


def calls(engine: Simulated) -> int:
    """How many calls a run takes in which all goes well."""
    begin(engine)
    with watcher(engine):
        settled(engine)
        return len(engine.ask("seen")["calls"])


def test_the_law_holds_whatever_call_goes_wrong_and_wherever_the_watcher_is_killed(engine: Simulated) -> None:
    total = calls(engine)
    every = [(how, number) for number in range(total + 3) for how in WAYS]
    chosen = every if SOAK else random.Random(SEED).sample(every, SAMPLE)
    print(f"{len(chosen)} of {len(every)} ways for {total} calls; REMORA_SEED={SEED}")
    failures = []
    for how, number in chosen:
        try:
            goes_wrong(engine, how, number)
        except AssertionError as error:
            failures.append(f"{how} at call {number}, {called(engine, number)}: {error}")
    assert not failures, "\n".join([f"REMORA_SEED={SEED}", *failures])


def called(engine: Simulated, number: int) -> str:
    seen = engine.ask("seen")["calls"]
    return seen[number] if number < len(seen) else "-"


def goes_wrong(engine: Simulated, how: str, number: int) -> None:
    begin(engine)
    engine.ask("fail", how=how, after=number)
    with watcher(engine) as process:
        if how.startswith("kill"):
            until(lambda: os.waitpid(process, os.WNOHANG)[0] != 0 or not wrong(engine), lambda: "neither killed nor done")
        else:
            settled(engine)
    with watcher(engine):
        settled(engine)
