"""The lives that are recorded: a stack, and what happens to it, step by step.

A life yields the name of each step when it is done; one that ends with `…` is a state that does not last.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from enginekit import Private
from stackkit import DEBIAN, IDLE, Stack, until

PODMAN = Path(__file__).parents[2] / "tools/podman"
GREEDY = "$$x = q(x); $$x .= $$x while 1"  # perl that takes all memory there is


@dataclass(frozen=True)
class Life:
    """One life: the developers' file, and what happens."""

    name: str
    compose: str
    drive: Callable[[Stack], Iterator[str]]
    docker_alone: bool = False


LIVES: list[Life] = []
IDLER = f"services: {{web: {{{IDLE}}}}}"
KEPT_UP = f"services: {{web: {{{IDLE}, restart: always}}}}"


def life(compose: str = IDLER, docker_alone: bool = False) -> Callable[[Callable[[Stack], Iterator[str]]], None]:
    def noted(drive: Callable[[Stack], Iterator[str]]) -> None:
        LIVES.append(Life(drive.__name__.replace("_", "-"), compose, drive, docker_alone))

    return noted


def web(stack: Stack, number: int = 1) -> str:
    return f"{stack.name}-web-{number}"


def up(stack: Stack) -> str:
    stack.compose("up", "-d")
    return "up"


def state(stack: Stack, suffix: str = "web-1") -> str:
    return str(stack.container(suffix)["State"]["Status"])


def restarts(stack: Stack) -> int:
    return int(stack.container("web-1")["RestartCount"])


@life()
def start(stack: Stack) -> Iterator[str]:
    stack.compose("create")
    yield "made"
    stack.compose("start")
    yield "started"


@life()
def stop(stack: Stack) -> Iterator[str]:
    yield up(stack)
    stack.api.stop(web(stack))
    yield "stopped"
    stack.api.start(web(stack))
    yield "started again"


@life()
def crash(stack: Stack) -> Iterator[str]:
    yield up(stack)
    stack.signal("web-1", signal.SIGKILL)
    yield "crashed"
    stack.api.start(web(stack))
    yield "started again"


@life(KEPT_UP)
def crash_and_come_back(stack: Stack) -> Iterator[str]:
    yield up(stack)
    stack.signal("web-1", signal.SIGKILL)
    until(lambda: restarts(stack) == 1 and state(stack) == "running")
    yield "crashed, and came back"


@life(f"""
    services:
      web:
        image: {DEBIAN}
        restart: always
        command: [sh, -c, "printf . >> /lives; case $$(cat /lives) in ..|...|....) exit 3;; esac; exec sleep infinity"]
        init: true
""")
def back_off(stack: Stack) -> Iterator[str]:
    yield up(stack)
    stack.signal("web-1", signal.SIGKILL)
    if not stack.podman:  # it waits for nothing
        until(lambda: restarts(stack) >= 3 and state(stack) == "restarting")
        yield "the engine waits…"
    until(lambda: restarts(stack) == 4 and state(stack) == "running")
    yield "came back"


@life(f"""
    services: {{web: {{image: {DEBIAN}, restart: always, init: true, command: sh -c "sleep 1; exit 3"}}}}
""")
def exits_for_ever(stack: Stack) -> Iterator[str]:
    up(stack)
    time.sleep(0.3)
    yield "up…"
    until(lambda: restarts(stack) >= 3 and state(stack) in ("restarting", "exited", "stopped"))
    yield "exited again and again…"
    if stack.podman:  # which starts what is stopped between two lives
        until(lambda: state(stack) == "running")
    stack.api.stop(web(stack), timeout=1)
    yield "stopped"


@life()
def restart(stack: Stack) -> Iterator[str]:
    yield up(stack)
    stack.api.restart(web(stack))
    yield "restarted"


@life(KEPT_UP)
def kill(stack: Stack) -> Iterator[str]:
    yield up(stack)
    stack.api.kill(web(stack))
    yield "killed"


@life()
def recreate(stack: Stack) -> Iterator[str]:
    yield up(stack)
    stack.compose("up", "-d", "--force-recreate")
    yield "recreated"


@life()
def rename(stack: Stack) -> Iterator[str]:
    yield up(stack)
    stack.api.rename(web(stack), f"{stack.name}-front")
    yield "renamed"
    stack.api.restart(f"{stack.name}-front")
    yield "restarted"


@life()
def pause(stack: Stack) -> Iterator[str]:
    yield up(stack)
    stack.api.pause(web(stack))
    yield "paused"
    stack.api.unpause(web(stack))
    yield "unpaused"


@life(f"""
    services:
      web:
        image: {DEBIAN}
        command: [perl, -e, "$$SIG{{USR1}} = sub {{ {GREEDY} }}; sleep 1 while 1"]
        mem_limit: 32m
        memswap_limit: 32m
""")
def oom(stack: Stack) -> Iterator[str]:
    yield up(stack)
    stack.signal("web-1", signal.SIGUSR1)
    until(lambda: state(stack) == "exited")
    yield "out of memory"


@life(f"""
    services:
      web:
        image: {DEBIAN}
        command: [sh, -c, "trap 'tail /dev/zero' USR1; while :; do sleep 0.2; done"]
        mem_limit: 32m
        memswap_limit: 32m
        stop_grace_period: 1s
""")
def oom_of_a_child(stack: Stack) -> Iterator[str]:
    yield up(stack)
    stack.signal("web-1", signal.SIGUSR1)
    until(lambda: stack.podman or stack.container("web-1")["State"]["OOMKilled"])
    yield "a child out of memory"


@life(f"""
    services:
      web:
        image: {DEBIAN}
        command: [sh, -c, "trap 'touch /tmp/ill' USR1; trap 'rm /tmp/ill' USR2; while :; do sleep 0.2; done"]
        healthcheck: {{test: "test ! -e /tmp/ill", interval: 1s, retries: 1}}
        stop_grace_period: 1s
""")
def health(stack: Stack) -> Iterator[str]:
    up(stack)
    probed(stack, "healthy")
    yield "healthy"
    stack.signal("web-1", signal.SIGUSR1)
    probed(stack, "unhealthy")
    yield "unhealthy"
    stack.signal("web-1", signal.SIGUSR2)
    probed(stack, "healthy")
    yield "healthy again"


def probed(stack: Stack, found: str) -> None:
    """Wait until the probes find that, and for one probe more; without systemd, Podman runs none by itself."""
    until(lambda: probe(stack) == found)
    probe(stack)


def probe(stack: Stack) -> str:
    if stack.podman:
        subprocess.run([PODMAN, "run", "healthcheck", "run", web(stack)], capture_output=True)
    return str(stack.container("web-1")["State"]["Health"]["Status"])


@life()
def network(stack: Stack) -> Iterator[str]:
    yield up(stack)
    made = stack.api.create_network(f"{stack.name}_back")["Id"]
    stack.api.connect_container_to_network(web(stack), made)
    yield "connected"
    stack.api.disconnect_container_from_network(web(stack), made)
    yield "disconnected"


@life()
def scale(stack: Stack) -> Iterator[str]:
    yield up(stack)
    stack.compose("up", "-d", "--scale", "web=3")
    yield "scaled up"
    stack.compose("up", "-d", "--scale", "web=1")
    yield "scaled down"


@life()
def down_and_up(stack: Stack) -> Iterator[str]:
    yield up(stack)
    stack.compose("down")
    yield "down"
    yield f"{up(stack)} again"


@life()
def removed(stack: Stack) -> Iterator[str]:
    yield up(stack)
    stack.api.remove_container(web(stack), force=True)
    yield "removed"


# ---- lives of the engine itself ----

OF_ENGINE = ("engine-restart", "engine-restart-live", "host-reboot")
TWO = f"services: {{web: {{{IDLE}, restart: always}}, once: {{{IDLE}, depends_on: [web]}}}}"  # one after the other


def restarted(engine: Private) -> Callable[[Stack], Iterator[str]]:
    def drive(stack: Stack) -> Iterator[str]:
        yield up(stack)
        engine.restart()
        until(lambda: state(stack) == "running")
        yield "the engine is back"

    return drive


def rebooted(engine: Private) -> Callable[[Stack], Iterator[str]]:
    def drive(stack: Stack) -> Iterator[str]:
        yield up(stack)
        engine.reboot()
        until(lambda: state(stack) == "running")
        yield "the host is back"

    return drive


def of_engine(engine: Private) -> Iterator[Life]:
    """The lives for which an engine of one's own is needed."""
    yield Life("engine-restart", TWO, restarted(engine))
    yield Life("host-reboot", TWO, rebooted(engine))
    engine.restart(live_restore=True)
    yield Life("engine-restart-live", TWO, restarted(engine))
