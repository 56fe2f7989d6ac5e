"""Sidekicks follow their app on a real engine, and nothing that happens to a sidekick happens to its app."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

import pytest
from logkit import image
from stackkit import IDLE, Stack, Visitor, name, until

pytestmark = pytest.mark.engine

WALLS = {"net": "network", "proc": "processes"}
BOTH = {"net": "for: web, walls: {network: true}", "proc": "for: web, walls: {processes: true, may_hold: true}"}


@pytest.mark.podman
def test_scaling_is_followed(stack: Stack) -> None:
    stack.developers(f"services: {{web: {{{IDLE}, scale: 3}}}}")
    stack.attached(net="for: web, walls: {network: true}")
    stack.remora("up")
    assert stack.paired(3, net="network"), stack.why()
    with stack.watched():
        stack.compose("up", "-d", "--scale", "web=5")
        until(lambda: stack.paired(5, net="network"), stack.why)
        stack.compose("up", "-d", "--scale", "web=1")
        until(lambda: stack.paired(1, net="network"), stack.why)


def restart(stack: Stack) -> None:
    stack.api.restart(f"{stack.name}-web-1")


def crash(stack: Stack) -> None:
    stack.signal("web-1", signal.SIGKILL)


def recreate(stack: Stack) -> None:
    stack.compose("up", "-d", "--force-recreate")


def stop_and_start(stack: Stack) -> None:
    stack.compose("stop")
    until(lambda: not any(each["State"]["Running"] for each in stack.containers()), stack.why)
    stack.compose("start")


@pytest.mark.podman
@pytest.mark.parametrize("happens", [restart, crash, recreate, stop_and_start])
def test_a_new_life_of_the_app_is_followed(stack: Stack, happens) -> None:
    stack.developers(f"services: {{web: {{{IDLE}, restart: always}}}}")
    names = ["net"] if stack.podman and happens is recreate else list(WALLS)  # Podman removes no container whose processes are shared
    stack.attached(**{name: BOTH[name] for name in names})
    stack.remora("up")
    with stack.watched():
        before = stack.lives()
        happens(stack)
        until(lambda: stack.lives() != before and stack.paired(1, **{name: WALLS[name] for name in names}), stack.why)


def test_an_app_that_crashes_again_and_again_gets_its_sidekicks_when_it_stays(stack: Stack) -> None:
    stack.developers("""
        services:
          web:
            image: debian:trixie-slim
            init: true
            restart: always
            command: [sh, -c, "printf . >> /lives; case $$(cat /lives) in ..|...|....) exit 1;; esac; exec sleep infinity"]
    """)
    stack.attached(**BOTH)
    stack.remora("up")
    with stack.watched():
        crash(stack)
        until(lambda: stack.container("web-1")["RestartCount"] == 4 and stack.container("web-1")["State"]["Running"], stack.why)
        # A watcher that is annoyed by the joins that failed meanwhile comes late.
        until(lambda: stack.paired(1, **WALLS), stack.why, 4)


def test_a_second_watcher_stands_by_and_takes_over(stack: Stack) -> None:
    stack.developers(f"services: {{web: {{{IDLE}, scale: 2}}}}")
    stack.attached(**BOTH)
    stack.compose("up", "-d")
    first = stack.start("watch")
    until(lambda: stack.paired(2, **WALLS), stack.why)
    second = stack.start("watch")
    try:
        until(lambda: "is at work; standing by" in stack.said, stack.why)
        first.kill()
        until(lambda: stack.said.count("watching") == 2, stack.why, 5)
        stack.compose("up", "-d", "--scale", "web=3", "--no-recreate")
        until(lambda: stack.paired(3, **WALLS), stack.why)
        assert "failed" not in stack.said
    finally:
        for each in (first, second):
            each.kill()
            each.wait()


def test_two_ops_files_watch_side_by_side_and_a_true_conflict_is_named(stack: Stack) -> None:
    stack.developers(f"services: {{web: {{{IDLE}}}}}")
    stack.attached(**BOTH)
    stack.remora("up")
    (stack.folder / "other.yaml").write_text((stack.folder / "remora.yaml").read_text())
    other = stack.start("watch", "--ops", "other.yaml", "--listen", "none")
    until(lambda: "watching" in stack.said, stack.why)  # or the word would be taken for the other watcher's
    try:
        with stack.watched():
            conflict = f"the sidekicks of `{stack.name}` belong to the ops file {stack.folder}/remora.yaml"
            until(lambda: conflict in stack.said, stack.why)
            assert stack.paired(1, **WALLS), stack.why()
    finally:
        other.kill()
        other.wait()


def test_a_container_that_compose_only_prepares_gets_no_sidekick(stack: Stack) -> None:
    """While the old container ends, Compose has the new one ready under a name for the meantime."""
    stack.developers("""
        services:
          web: {image: debian:trixie-slim, command: sleep infinity, stop_grace_period: 1s, volumes: [logs:/logs]}
        volumes: {logs: }
    """)
    stack.attached(files="for: web, walls: {files: logs}")
    stack.remora("up")
    with stack.watched():
        old = stack.container("web-1.files")["Id"]
        recreate(stack)
        until(lambda: [name(each) for each in stack.sidekicks() if each["Id"] != old] == [f"{stack.name}-web-1.files"], stack.why)
    stack.docker_alone("its events are not found by labels")
    assert stack.seen("create", sidekick="files") == [f"{stack.name}-web-1.files"] * 2


# What happens to a sidekick, and what must become of it then.


def out_of_memory(stack: Stack) -> None:
    stack.docker_alone("it tells of no lack of memory")
    stack.api.kill(f"{stack.name}-web-1.greedy", "USR1")
    until(lambda: stack.seen("oom"))


def killed(stack: Stack) -> None:
    stack.api.kill(f"{stack.name}-web-1.greedy", "KILL")


def killed_from_outside(stack: Stack) -> None:
    stack.signal("web-1.greedy", signal.SIGKILL)


SERVED = """
    services:
      web:
        image: {image}
        entrypoint: python3
        command: [-c, "from http.server import *; ThreadingHTTPServer(('', 80), SimpleHTTPRequestHandler).serve_forever()"]
        init: true
"""
GREEDY = """
    environments: {prod: {attach: [greedy]}}
    sidekicks:
      greedy:  # takes more memory than it may have, as soon as somebody says so
        kind: container
        for: web
        image: debian:trixie-slim
        command: [perl, -e, "$SIG{USR1} = sub { $x = 'x'; $x .= $x while 1 }; sleep 1 while 1"]
        walls: {network: true, processes: true, may_hold: true}
        limits: {memory: 16m}
        stop_grace: 1
"""


@pytest.fixture
def visitor(stack: Stack) -> Iterator[Visitor]:
    """A real HTTP app with a sidekick in its walls, under `watch`; and somebody who visits it all the time."""
    stack.developers(SERVED.format(image=image(stack.client)))
    stack.ops(GREEDY)
    stack.remora("up")
    networks = stack.container("web-1")["NetworkSettings"]["Networks"]
    with stack.watched(), Visitor(next(iter(networks.values()))["IPAddress"]) as coming:
        yield coming


@pytest.mark.podman
@pytest.mark.parametrize("happens", [out_of_memory, killed, killed_from_outside])
def test_a_sidekick_that_dies_costs_the_app_nothing_and_comes_back(stack: Stack, visitor: Visitor, happens) -> None:
    before, old = stack.lives(), stack.container("web-1.greedy")["State"]["StartedAt"]
    happens(stack)
    until(lambda: stack.container("web-1.greedy")["State"]["StartedAt"] != old and stack.paired(1, greedy="network"), stack.why)
    visitor.more()
    assert (visitor.failures, stack.lives()) == ([], before)


def frozen(stack: Stack) -> None:
    stack.api.pause(f"{stack.name}-web-1.greedy")


def stopped(stack: Stack) -> None:
    stack.signal("web-1.greedy", signal.SIGSTOP)


@pytest.mark.podman
@pytest.mark.parametrize("hangs", [frozen, stopped])
def test_a_sidekick_that_hangs_costs_the_app_nothing(stack: Stack, visitor: Visitor, hangs) -> None:
    before = stack.lives()
    hangs(stack)
    visitor.more()
    old = stack.container("web-1.greedy")["Id"]
    stack.remora("detach")  # and the watcher puts another in its place
    until(lambda: stack.paired(1, greedy="network") and stack.container("web-1.greedy")["Id"] != old, stack.why)
    visitor.more()
    assert (visitor.failures, stack.lives()) == ([], before)


def test_what_happened_stands_in_the_journal(stack: Stack) -> None:
    stack.developers(f"services: {{web: {{{IDLE}}}}}")
    stack.attached(net="for: web, walls: {network: true}")
    stack.remora("up")

    def told() -> list[tuple[str, str]]:
        return [(each["name"], each.get("container", "")) for each in map(json.loads, stack.remora("events", "--json").splitlines())]

    with stack.watched():
        until(lambda: stack.paired(1, net="network"), stack.why)
        restart(stack)
        until(lambda: stack.paired(1, net="network"), stack.why)
        until(lambda: ("app.restarted", f"{stack.name}-web-1") in told(), stack.why)
        until(lambda: ("sidekick.restarted", f"{stack.name}-web-1.net") in told(), lambda: f"{told()}\n{stack.why()}")
    assert "app.restarted" in stack.remora("events", "--since", "10m")
