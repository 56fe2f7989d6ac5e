"""What attaching costs beyond the bare engine calls, for one sidekick and for forty side by side."""

from __future__ import annotations

import statistics
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from _figures import figure, seconds

from remora.core.plan import Attach
from remora.core.sidekick import Context, Spec
from remora.engines.docker import Docker
from remora.engines.host import find
from remora.engines.inspection import creation
from remora.engines.performing import SIDE_BY_SIDE, perform

IMAGE = "debian:trixie-slim"


def specs(count: int, parent: str) -> list[Spec]:
    """Network sidekicks of one container."""
    context = Context("remora-bench-attach", "prod", "bench")
    base = context.spec(
        "s", "container", image=IMAGE, command=("sleep", "infinity"), walls=("network",), network="", init=True, parent=parent
    )
    return [replace(base, name=f"remora-bench-attach.{n}") for n in range(count)]


def by_hand(engine: Docker, spec: Spec) -> str:
    """The two calls that cannot be saved."""
    container = engine.client.create_container_from_config(creation(spec, engine.id), spec.name)["Id"]
    engine.client.start(container)
    return str(container)


def ours(engine: Docker, wanted: list[Spec]) -> None:
    failed = perform(engine, [Attach(spec) for spec in wanted], lambda text: None, lambda *_: None)
    assert not failed, failed


def loop(engine: Docker, wanted: list[Spec]) -> None:
    """The plain loop with the same concurrency."""
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        list(pool.map(lambda spec: by_hand(engine, spec), wanted))


def clear(engine: Docker) -> None:
    for each in engine.client.containers(all=True, filters={"label": "remora.stack=remora-bench-attach"}):
        engine.client.remove_container(each["Id"], force=True)


def timed(engine: Docker, work, wanted: list[Spec]) -> float:
    """Seconds of `work`, with a clean slate before and after."""
    took = seconds(lambda: work(engine, wanted))
    clear(engine)
    return took


def compare(engine: Docker, parent: str, count: int, rounds: int) -> tuple[float, float]:
    wanted = specs(count, parent)
    pairs = [(timed(engine, ours, wanted), timed(engine, loop, wanted)) for _ in range(rounds)]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


def main() -> None:
    engine = Docker(find(None))
    clear(engine)
    host = engine.client.create_container(IMAGE, ["sleep", "infinity"], host_config=engine.client.create_host_config(init=True))["Id"]
    engine.client.start(host)
    try:
        for count, rounds in ((1, 15), (40, 3)):
            mine, bare = compare(engine, host, count, rounds)
            figure(f"attach-{count}", mine / bare, 1.15, "x", remark=f"{mine * 1000:.0f} ms, bare calls {bare * 1000:.0f} ms")
    finally:
        clear(engine)
        engine.client.remove_container(host, force=True)


if __name__ == "__main__":
    main()
