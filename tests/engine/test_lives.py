"""Lives of an app on a real engine that `test_following.py` does not have, and lives of the engine itself, under `remora watch`.

At the end of each, every sidekick runs in the namespaces that its app has now, and the app containers are in the lives that they would be
in without remora.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from enginekit import Private, missing
from stackkit import DEBIAN, IDLE, Stack, name, until

pytestmark = pytest.mark.engine

ROOT = Path(__file__).parents[2]
SOAK = os.environ.get("REMORA_SOAK") == "1"
NET = "for: web, walls: {network: true}"


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A container that touches a file or takes all memory when it is told to, with a sidekick in its network, under `remora watch`.

    One for all lives, which leave it as it was but for its name.
    """
    with Stack(tmp_path_factory.mktemp("stack")) as stack:
        stack.developers(f"""
            services:
              web:
                image: {DEBIAN}
                command: [sh, -c, "trap 'touch /tmp/ill' USR1; trap 'tail /dev/zero' USR2; while :; do sleep 0.1; done"]
                healthcheck: {{test: "test ! -e /tmp/ill", interval: 1s, retries: 1}}
                mem_limit: 32m
                memswap_limit: 32m
                stop_grace_period: 0s
        """)
        stack.attached(net=NET)
        stack.remora("up")
        with stack.watched():
            yield stack


def told(stack: Stack) -> list[str]:
    """The names of what the journal has of app containers; there is none before something happened."""
    if not list(stack.folder.glob("state/*.events")):
        return []
    return [each["name"] for each in map(json.loads, stack.remora("events", "--json").splitlines()) if each["name"].startswith("app.")]


def untouched(stack: Stack, before: dict[str, tuple[str, str]], *news: str) -> None:
    """The watcher told of what happened, and all is as it was: the app, and the sidekick in its network."""
    until(lambda: set(news) <= set(told(stack)), lambda: f"{told(stack)}\n{stack.why()}")
    assert stack.paired(1, net="network") and stack.lives() == before, stack.why()


@pytest.mark.podman
def test_a_pause_is_told_and_changes_nothing(watched: Stack) -> None:
    before = watched.lives()
    watched.api.pause(f"{watched.name}-web-1")
    until(lambda: "app.paused" in told(watched), watched.why)
    watched.api.unpause(f"{watched.name}-web-1")
    untouched(watched, before, "app.unpaused")


@pytest.mark.podman
def test_networks_that_come_and_go_are_told_and_change_nothing(watched: Stack) -> None:
    before = watched.lives()
    made = watched.api.create_network(f"{watched.name}_back")["Id"]
    watched.api.connect_container_to_network(f"{watched.name}-web-1", made)
    until(lambda: "app.network" in told(watched), watched.why)
    watched.api.disconnect_container_from_network(f"{watched.name}-web-1", made)
    until(lambda: told(watched).count("app.network") == 2, watched.why)
    untouched(watched, before)


def test_a_child_without_memory_is_told_and_changes_nothing(watched: Stack) -> None:
    before = watched.lives()
    watched.signal("web-1", signal.SIGUSR2)
    untouched(watched, before, "app.oom_child")


@pytest.mark.podman
def test_down_and_up_again_is_followed(watched: Stack) -> None:
    watched.compose("down")
    until(lambda: not watched.containers(), watched.why)
    watched.compose("up", "-d")
    until(lambda: watched.paired(1, net="network"), watched.why)


def test_health_is_told_and_changes_nothing(watched: Stack) -> None:
    until(lambda: watched.container("web-1")["State"]["Health"]["Status"] == "healthy", watched.why)
    before = watched.lives()
    watched.signal("web-1", signal.SIGUSR1)
    untouched(watched, before, "app.unhealthy")


@pytest.mark.podman
def test_an_app_that_is_renamed_gets_a_sidekick_under_its_new_name(watched: Stack) -> None:
    [before] = watched.lives().values()
    watched.api.rename(f"{watched.name}-web-1", f"{watched.name}-front")
    until(lambda: [name(each) for each in watched.sidekicks()] == [f"{watched.name}-front.net"], watched.why)
    until(lambda: watched.paired(1, net="network"), watched.why)
    assert watched.lives() == {f"{watched.name}-front": before}
    until(lambda: "app.renamed" in told(watched), watched.why)


# ---- the clock ----


@pytest.mark.soak
@pytest.mark.parametrize("jump", ["-3d", "+3d"] if SOAK else ["-3d"])
def test_a_watcher_whose_clock_jumps_follows(stack: Stack, jump: str) -> None:
    """libfaketime moves the watcher's clock while it watches; the machine keeps its own."""
    stack.developers(f"services: {{web: {{{IDLE}}}}}")
    stack.attached(net=NET)
    stack.remora("up")
    clock = stack.folder / "clock"
    clock.write_text("+0d")
    faked = {"LD_PRELOAD": faketime(), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    stack.env |= faked
    watching = stack.watched()
    with watching:
        stack.env = {key: value for key, value in stack.env.items() if key not in faked}
        before = stack.container("web-1")["Id"]
        for number in (1, 2):
            stack.api.restart(f"{stack.name}-web-1")
            until(lambda: stack.paired(1, net="network"), stack.why)
            until(lambda number=number: told(stack).count("app.restarted") == number, stack.why)
            clock.write_text(jump)
        assert stack.container("web-1")["Id"] == before and len(stack.containers()) == 2
    first, second = (datetime.fromisoformat(each) for each in restarts(stack))
    assert abs(second - first) > timedelta(days=2)  # it jumped indeed


def restarts(stack: Stack) -> list[str]:
    """When each restart was told, by the watcher's clock."""
    found = map(json.loads, stack.remora("events", "--json").splitlines())
    return [each["time"].replace("Z", "+00:00") for each in found if each["name"] == "app.restarted"]


def faketime() -> str:
    """The library, as `tools/test-tools` brings it or as it is installed."""
    places = [*ROOT.glob(".engine/libfaketime/usr/lib/*/faketime"), *Path("/usr/lib").glob("*/faketime")]
    assert places, "no libfaketime: run tools/test-tools"
    return str(places[0] / "libfaketime.so.1")


# ---- the engine itself ----


@pytest.fixture(scope="module")
def engine() -> Iterator[Private]:
    """One that may be killed."""
    if lacks := missing():
        pytest.skip(f"an engine of one's own needs {lacks}")
    with Private() as made:
        yield made


def restarted(engine: Private) -> None:
    engine.restart()


def restarted_with_live_restore(engine: Private) -> None:
    engine.restart()


def rebooted(engine: Private) -> None:
    engine.reboot()


@pytest.mark.parametrize("happens", [restarted, rebooted, restarted_with_live_restore])
def test_an_engine_that_is_killed_and_comes_back_is_followed(engine: Private, tmp_path: Path, happens: Callable[[Private], None]) -> None:
    """An app that the engine brings back has its sidekick in its new life; one that it does not is left as it is."""
    stays = happens is restarted_with_live_restore
    if stays:
        engine.restart(live_restore=True)
    with Stack(tmp_path, engine) as stack:
        stack.developers(f"services: {{web: {{{IDLE}, restart: always, scale: 2}}, once: {{{IDLE}}}}}")
        stack.attached(net="for: '*', walls: {network: true}")
        stack.remora("up")
        with stack.watched():
            until(lambda: stack.paired(3, net="network"), stack.why)
            before = stack.lives()
            happens(engine)
            until(lambda: stack.paired(3 if stays else 2, net="network") if stays else followed(stack), stack.why, 60)
            assert (stack.lives() == before) == stays
            assert {id for id, _ in stack.lives().values()} == {id for id, _ in before.values()}
            assert stack.container("web-1")["RestartCount"] == 0


def followed(stack: Stack) -> bool:
    """Whether both of `web` are in new lives with their sidekicks, and `once` and its sidekick stand still."""
    still = [name(each) for each in stack.containers() if not each["State"]["Running"]]
    return still == [f"{stack.name}-once-1", f"{stack.name}-once-1.net"] and beside(stack)


def beside(stack: Stack) -> bool:
    return all(stack.together(stack.container(f"web-{number}"), stack.container(f"web-{number}.net"), "network") for number in (1, 2))
