"""The watcher among ten thousand app containers, on a simulated engine, and beside one, on the real one; next to the naive loop.

The naive loop is what docker-gen and registrator do: each event has everything inspected again, and what is missing started.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from _figures import ROOT, figure

from remora.core.sidekick import Context
from remora.core.world import STACK
from remora.engines.docker import Docker
from remora.engines.host import find
from remora.engines.inspection import creation

sys.path.insert(0, str(ROOT / "tests/engine"))
from simulator import Simulated
from test_scale import OPS, Watcher, filled, watched

APPS = int(os.environ.get("APPS", "10000"))
STORM = int(os.environ.get("STORM", "60"))  # seconds
IMAGE = "debian:trixie-slim"
STACK_NAME = "remora-bench-watch"
REST = 0.7  # seconds in which the engine is left alone while something is measured


def until(what: Callable[[], Any], seconds: float = 60, pause: float = 0.001) -> float:
    """Wait for it, looking every now and then; gives the seconds that it took."""
    began = time.perf_counter()
    while not what():
        if time.perf_counter() - began > seconds:
            raise SystemExit(f"nothing came within {seconds} s")
        time.sleep(pause)
    return time.perf_counter() - began


# ---- ten thousand, simulated ----


def many() -> None:
    with tempfile.TemporaryDirectory(prefix="remora-bench-") as folder, Simulated(Path(folder)) as engine:
        (Path(folder) / "remora.yaml").write_text(OPS)
        filled(engine, APPS)
        with watched(engine) as watcher:
            figure(
                f"first-pass-{APPS}",
                until(lambda: engine.ask("seen")["lags"], pause=0.2),
                10,
                "s",
                remark=f"{2 * APPS} containers inspected",
            )
            time.sleep(8)
            figure("one-change", statistics.median(changes(engine, 20)) * 1000, 100, "ms", remark="event to action, p50 of 20")
            time.sleep(2)
            figure("idle", share(watcher, 60) * 100, 0.5, "%", remark="of a core, for a minute")
            storm(engine, watcher)
            figure("memory", watcher.memory / (1 << 20), 150, "MiB", remark="at the most")


def changes(engine: Simulated, count: int) -> list[float]:
    """Restart app containers one by one; gives the seconds until the sidekick of each is started again."""
    known = len(engine.ask("seen")["lags"])
    for number in range(1, count + 1):
        engine.ask("happen", what="new_life", name=f"shop-s{number}-1")
        time.sleep(1)
    return list(engine.ask("seen")["lags"][known:])


def share(watcher: Watcher, seconds: float) -> float:
    """How much of a core it takes."""
    before = watcher.cpu
    time.sleep(seconds)
    return (watcher.cpu - before) / seconds


def storm(engine: Simulated, watcher: Watcher) -> None:
    known = len(engine.ask("seen")["lags"])
    engine.ask("storm", rate=1000, seconds=STORM)
    busy = share(watcher, STORM)
    time.sleep(3)
    lags = sorted(engine.ask("seen")["lags"][known:])
    p50, p99 = lags[len(lags) // 2], lags[int(len(lags) * 0.99)]
    figure("storm-1000-behind", lags[-1], 1, "s", remark=f"at the most; p50 {p50:.2f} s, p99 {p99:.2f} s, {len(lags)} restarts answered")
    figure("storm-1000-cpu", busy * 100, 80, "%", remark="of a core")


# ---- the naive loop ----


def naive() -> None:
    """Restarts answered while everything is inspected again for each event: how far that falls behind a tenth of the storm."""
    apps, rate, seconds = 1000, 100, 10
    behind = {}
    for name in ("naive", "remora"):
        with tempfile.TemporaryDirectory(prefix="remora-bench-") as folder, Simulated(Path(folder)) as engine:
            (Path(folder) / "remora.yaml").write_text(OPS)
            filled(engine, apps)
            with loop(engine) if name == "naive" else watched(engine):
                until(lambda engine=engine: engine.ask("seen")["listeners"], pause=0.1)
                time.sleep(2)
                engine.ask("happen", what="new_life", name="shop-s0-1")  # the naive loop looks when it hears of something
                until(lambda engine=engine: engine.ask("seen")["lags"], pause=0.1)
                engine.ask("storm", rate=rate, seconds=seconds)
                time.sleep(seconds)
                seen = engine.ask("seen")
                behind[name] = max([*seen["lags"][1:], *seen["waiting"].values()])
    remark = f"{behind['remora']:.2f} s behind, the naive loop {behind['naive']:.1f} s; {rate} changes a second, {apps} containers"
    figure("storm-beside-naive", behind["remora"] / behind["naive"], 0.5, "x", remark=remark)


@contextmanager
def loop(engine: Simulated) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, __file__, "naive", engine.url])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def naively(url: str) -> None:
    """On each event list and inspect all, and restart each sidekick that is older than its app container."""
    import docker

    client = docker.APIClient(url, version="1.45")
    for _ in client.events(filters={"type": "container"}):
        found = {row["Id"]: client.inspect_container(row["Id"]) for row in client.containers(all=True)}
        for each in found.values():
            parent = found.get(each["Config"]["Labels"].get("remora.parent", ""))
            if parent and parent["State"]["StartedAt"] > each["State"]["StartedAt"]:
                client.restart(each["Id"])


# ---- one, on the real engine ----


def real() -> None:
    engine = Docker(find(None))
    ops = OPS.replace("stack: shop", f"stack: {STACK_NAME}").replace("busybox", f"'{IMAGE}', command: sleep infinity")
    with tempfile.TemporaryDirectory(prefix="remora-bench-") as folder:
        (Path(folder) / "remora.yaml").write_text(ops)
        clear(engine)
        first = start(folder, engine)
        try:
            time.sleep(2)
            beside(engine)
            restarts(engine, 100)
            second = start(folder, engine)
            time.sleep(2)
            first.kill()
            app = run(engine, "late")
            figure(
                "stand-by", until(lambda: running(engine, "late.net")), 5, "s", remark="first watcher killed to the second's first sidekick"
            )
            engine.client.remove_container(app, force=True)
            second.kill()
        finally:
            first.kill()
            clear(engine)


def start(folder: str, engine: Docker) -> subprocess.Popen[bytes]:
    script = ROOT / "tests/engine/watching.py"
    with Path(folder, "said.txt").open("ab") as said:
        return subprocess.Popen([sys.executable, script, f"{folder}/remora.yaml", engine.host.url], stdout=said, stderr=said)


def run(engine: Docker, name: str, stack: str = STACK_NAME) -> str:
    """Create an app container of `stack` and start it."""
    host = engine.client.create_host_config(init=True)
    labels = {STACK: stack}
    made = engine.client.create_container(IMAGE, ["sleep", "infinity"], name=f"{STACK_NAME}-{name}", labels=labels, host_config=host)["Id"]
    engine.client.start(made)
    return str(made)


def inspected(engine: Docker, name: str) -> Any:
    found = engine.client.containers(all=True, filters={"name": f"^/{STACK_NAME}-{name}$"})
    return engine.client.inspect_container(found[0]["Id"]) if found else None


def running(engine: Docker, name: str) -> bool:
    found = inspected(engine, name)
    return bool(found and found["State"]["Running"])


def seconds_of(stamp: str) -> float:
    from remora.core.uptime import seconds

    return seconds(stamp)


def beside(engine: Docker, rounds: int = 25) -> None:
    """From the start of an app container, as the engine has it, to that of its sidekick; and the two calls by hand, in turns.

    Both begin while the engine is still busy with the app container, and nobody asks it anything meanwhile: one that looks every
    millisecond whether the sidekick is there takes the engine as much time as the sidekick does.
    """
    ours, bare = [], []
    for number in range(rounds):
        app = run(engine, f"a{number}")
        time.sleep(REST)
        ours.append(apart(engine, f"a{number}"))
        engine.client.remove_container(app, force=True)
        time.sleep(REST)
        bare.append(by_hand(engine))
        time.sleep(REST)
    mine, theirs = statistics.median(ours), statistics.median(bare)
    remark = f"{mine * 1000:.0f} ms, bare create and start {theirs * 1000:.0f} ms"
    figure("start-to-sidekick", mine / theirs, 1.2, "x", remark=remark)
    figure("start-to-sidekick-own", (mine - theirs) * 1000, 50, "ms", remark=f"p50 of {rounds}")


def by_hand(engine: Docker) -> float:
    """The seconds that the same container takes, from the first call to its start, beside an app container that has just started."""
    context = Context(f"{STACK_NAME}-hand", "prod", "bench")
    app = run(engine, "alone", context.stack)
    spec = context.spec(
        "hand", "container", image=IMAGE, command=("sleep", "infinity"), walls=("network",), network="", init=True, parent=app
    )
    before = time.time()
    made = engine.client.create_container_from_config(creation(spec, engine.id), f"{STACK_NAME}-hand")["Id"]
    engine.client.start(made)
    took = seconds_of(engine.client.inspect_container(made)["State"]["StartedAt"]) - before
    for container in (made, app):
        engine.client.remove_container(container, force=True)
    return took


def apart(engine: Docker, name: str) -> float:
    """The seconds between the starts of an app container and of its sidekick."""
    for each in (name, f"{name}.net"):
        until(lambda each=each: running(engine, each), pause=REST)
    began, joined = (seconds_of(inspected(engine, each)["State"]["StartedAt"]) for each in (name, f"{name}.net"))
    return joined - began


def restarts(engine: Docker, rounds: int) -> None:
    """From the new life of an app container to its sidekick's."""
    app = run(engine, "again")
    until(lambda: running(engine, "again.net"))
    time.sleep(1)
    took = []
    for _ in range(rounds):
        engine.client.restart(app)
        time.sleep(REST)
        until(lambda: apart(engine, "again") > 0, pause=REST)
        took.append(apart(engine, "again"))
    engine.client.remove_container(app, force=True)
    remark = f"p99 of {rounds}; p50 {statistics.median(took) * 1000:.0f} ms"
    figure("restart-to-new-namespace", sorted(took)[int(rounds * 0.99) - 1], 1, "s", remark=remark)


def clear(engine: Docker) -> None:
    found = engine.client.containers(all=True, filters={"name": f"^/{STACK_NAME}"})
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda each: engine.client.remove_container(each["Id"], force=True), found))


if __name__ == "__main__":
    if len(sys.argv) > 2:
        naively(sys.argv[2])
    else:
        for part in (many, naive, real):
            if sys.argv[1:] in ([], [part.__name__]):
                part()
