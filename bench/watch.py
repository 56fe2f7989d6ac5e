"""The watcher among ten thousand app containers, on a simulated engine, and beside one, on the real one; next to the naive loop.

The naive loop is what docker-gen and registrator do: each event has everything inspected again, and what is missing is made. The naive loop
has no journal, no metrics and no hooks to look after.
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
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import chain
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
from test_scale import OPS, Watcher, answered, filled, memory, processor, watched

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
            figure("idle", share(watcher.process.pid, 60) * 100, 0.5, "%", remark="of a core, for a minute")
            storm(engine, watcher)
            figure("memory", watcher.memory / (1 << 20), 150, "MiB", remark="at the most")


def changes(engine: Simulated, count: int) -> list[float]:
    """Restart app containers one by one; gives the seconds until the sidekick of each is started again."""
    known = len(engine.ask("seen")["lags"])
    for number in range(1, count + 1):
        engine.ask("happen", what="new_life", name=f"shop-s{number}-1")
        time.sleep(1)
    return list(engine.ask("seen")["lags"][known:])


def share(process: int, seconds: float) -> float:
    """How much of a core it takes."""
    before = processor(process)
    time.sleep(seconds)
    return (processor(process) - before) / seconds


def storm(engine: Simulated, watcher: Watcher) -> None:
    known = len(engine.ask("seen")["lags"])
    engine.ask("storm", rate=1000, seconds=STORM)
    busy = share(watcher.process.pid, STORM)
    time.sleep(3)
    lags = sorted(engine.ask("seen")["lags"][known:])
    p50, p99 = lags[len(lags) // 2], lags[int(len(lags) * 0.99)]
    figure("storm-1000-behind", lags[-1], 1, "s", remark=f"at the most; p50 {p50:.2f} s, p99 {p99:.2f} s, {len(lags)} restarts answered")
    figure("storm-1000-cpu", busy * 100, 80, "%", remark="of a core")


# ---- the naive loop ----


def naive() -> None:
    """The same for both among a tenth of the containers, for the naive loop takes so long; and a tenth of the storm."""
    apps, rate = APPS // 10, 100
    theirs, ours = (among(apps, rate, way) for way in (loop, watched_by))
    for name, goal in (("first-pass", 1.2), ("one-change", 0.5), ("storm-behind", 0.5), ("storm-cpu", 1), ("memory", 2)):
        remark = f"{ours[name]:.3g}, the naive loop {theirs[name]:.3g} {UNITS[name]}; {apps} containers"
        if name.startswith("storm"):
            remark += f", {rate} changes a second"
        figure(f"{name}-beside-naive", ours[name] / theirs[name], goal, "x", remark=remark)


UNITS = {"first-pass": "s", "one-change": "s", "storm-behind": "s", "storm-cpu": "of a core", "memory": "MiB"}
Way = Callable[[Simulated], AbstractContextManager[int]]


def among(apps: int, rate: int, way: Way, seconds: int = 10) -> dict[str, float]:
    """What one of the two takes."""
    with tempfile.TemporaryDirectory(prefix="remora-bench-") as folder, Simulated(Path(folder)) as engine:
        (Path(folder) / "remora.yaml").write_text(OPS)
        filled(engine, apps)
        with way(engine) as process:
            found = {"first-pass": until(lambda: answered(engine), 300, pause=0.1)}
            idle(process)
            found["one-change"] = statistics.median(one(engine, process, number) for number in range(1, 4))
            known = len(engine.ask("seen")["lags"])
            engine.ask("storm", rate=rate, seconds=seconds)
            found["storm-cpu"] = share(process, seconds)
            seen = engine.ask("seen")
            found["storm-behind"] = max([*seen["lags"][known:], *seen["waiting"].values()])
            found["memory"] = memory(process) / (1 << 20)
    return found


def one(engine: Simulated, process: int, number: int) -> float:
    """An app container begins a new life; gives the seconds until its sidekick follows."""
    known = len(engine.ask("seen")["lags"])
    engine.ask("happen", what="new_life", name=f"shop-s{number}-1")
    until(lambda: answered(engine, known), 300, pause=0.1)
    idle(process)
    return float(engine.ask("seen")["lags"][known])


def idle(process: int) -> None:
    """Wait until it has nothing more to do."""
    while share(process, 1) > 0.05:
        pass


@contextmanager
def watched_by(engine: Simulated) -> Iterator[int]:
    with watched(engine) as watcher:
        yield watcher.process.pid


@contextmanager
def loop(engine: Simulated) -> Iterator[int]:
    with looping(engine.url) as process:
        yield process


@contextmanager
def looping(url: str) -> Iterator[int]:
    process = subprocess.Popen([sys.executable, __file__, "naive", url])
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def naively(url: str) -> None:
    """At first and on each event list and inspect all, make each sidekick that is not there, and restart each that is too old."""
    import docker

    client = docker.APIClient(url, version="1.44")
    for _ in chain([None], client.events(filters={"type": "container"})):
        with suppress(docker.errors.NotFound):  # one that is gone meanwhile; the next event tells
            look_naively(client)


def look_naively(client: Any) -> None:
    found = {row["Id"]: client.inspect_container(row["Id"]) for row in client.containers(all=True)}
    beside = {each["Config"]["Labels"].get("remora.parent", ""): each for each in found.values()}
    for id, app in found.items():
        there = beside.get(id)
        if there and app["State"]["StartedAt"] > there["State"]["StartedAt"]:
            client.restart(there["Id"], timeout=1)
        elif not there and app["Config"]["Labels"].get(STACK) == STACK_NAME and app["State"]["Running"]:
            host = client.create_host_config(network_mode=f"container:{id}", init=True)
            labels = {"remora.parent": id, "remora.sidekick": "net"}
            made = client.create_container(IMAGE, "sleep infinity", name=f"{app['Name'][1:]}.net", labels=labels, host_config=host)
            client.start(made["Id"])


# ---- one, on the real engine ----


def real() -> None:
    engine = Docker(find(None))
    ops = OPS.replace("stack: shop", f"stack: {STACK_NAME}").replace("busybox", f"'{IMAGE}', command: sleep infinity")
    with tempfile.TemporaryDirectory(prefix="remora-bench-") as folder:
        (Path(folder) / "remora.yaml").write_text(ops)
        clear(engine)
        with looping(engine.host.url):
            time.sleep(2)
            naive_start, naive_restart = beside(engine)[0], restarts(engine, 20)
        clear(engine)
        first = start(folder, engine)
        try:
            time.sleep(2)
            tell_start(*beside(engine), naive_start)
            tell_restarts(restarts(engine, 100), naive_restart)
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


def beside(engine: Docker, rounds: int = 25) -> tuple[float, float]:
    """From the start of an app container, as the engine has it, to that of its sidekick; and the two calls by hand, in turns: p50.

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
    return statistics.median(ours), statistics.median(bare)


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


def tell_start(ours: float, bare: float, naive: float) -> None:
    remark = f"{ours * 1000:.0f} ms, bare create and start {bare * 1000:.0f} ms, the naive loop {naive * 1000:.0f} ms"
    figure("start-to-sidekick", ours / bare, 1.2, "x", remark=remark)
    figure("start-to-sidekick-own", (ours - bare) * 1000, 50, "ms", remark="p50")


def tell_restarts(ours: list[float], naive: list[float]) -> None:
    p50, theirs = statistics.median(ours) * 1000, statistics.median(naive) * 1000
    remark = f"p99 of {len(ours)}; p50 {p50:.0f} ms, the naive loop {theirs:.0f} ms"
    figure("restart-to-new-namespace", sorted(ours)[int(len(ours) * 0.99) - 1], 1, "s", remark=remark)


def restarts(engine: Docker, rounds: int) -> list[float]:
    """From the new life of an app container to its sidekick's, in seconds."""
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
    return took


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
