"""Three hundred app containers with a sidekick each, all real, on an engine of their own. `make test` has thirty, `make soak` all."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from countkit import Counted
from stackkit import BESIDE, DEBIAN, Stack, label, name, until

from remora.core.world import NUMBER, SERVICE, STACK

pytestmark = [pytest.mark.engine, pytest.mark.soak]

SOAK = bool(os.environ.get("REMORA_SOAK"))
SEED = int(os.environ.get("REMORA_SEED") or random.randrange(10**6))
APPS, RESTARTED = (300, 20) if SOAK else (30, 5)
RESYNC = 30.0


@pytest.fixture
def engine() -> Iterator[Counted]:
    with Counted() as made:
        yield made


def run(stack: Stack, number: int) -> str:
    """An app container, as Compose would start it."""
    labels = {STACK: stack.name, SERVICE: "web", NUMBER: str(number)}
    host = stack.api.create_host_config(init=True)
    made = stack.api.create_container(DEBIAN, ["sleep", "infinity"], name=f"{stack.name}-web-{number}", labels=labels, host_config=host)
    stack.api.start(made["Id"])
    return str(made["Id"])


def unpaired(stack: Stack, engine: Counted) -> list[str]:
    """App containers that lack their sidekick, and sidekicks that are elsewhere than in an app container's network of now."""
    found = stack.containers()
    running = [each for each in found if each["State"]["Running"]]
    spaces = {each["Id"]: engine.space(each["State"]["Pid"], "net") for each in running}
    beside = {label(each, "parent"): each for each in running if label(each, "sidekick")}
    apps = [each for each in found if not label(each, "sidekick")]
    faults = [name(app) for app in apps if app["Id"] not in beside or spaces[beside[app["Id"]]["Id"]] != spaces.get(app["Id"])]
    return faults + (["too many"] if len(found) != 2 * len(apps) else [])


def measured(what: str, work: Callable[[], object]) -> None:
    began = time.monotonic()
    work()
    print(f"{what}: {time.monotonic() - began:.1f} s")


def test_hundreds_of_real_containers_have_their_sidekicks_and_keep_them(tmp_path: Path, engine: Counted) -> None:
    before, pool = engine.left(), ThreadPoolExecutor(4)
    with Stack(tmp_path, engine) as stack:
        stack.ops(f"""
            stack: {stack.name}
            environments: {{prod: {{attach: [net]}}}}
            sidekicks: {{net: {{{BESIDE}, for: "*", walls: {{network: true}}}}}}
        """)
        apps: list[str] = []
        measured(f"{APPS} app containers started", lambda: apps.extend(pool.map(lambda number: run(stack, number), range(1, APPS + 1))))
        lives = stack.lives()
        with stack.watched():
            measured(f"{APPS} sidekicks attached", lambda: until(lambda: not unpaired(stack, engine), stack.why, 2 * APPS))
            assert "nothing to do" in stack.remora("plan", "--exit-code")
            assert stack.lives() == lives
            chosen = random.Random(SEED).sample(apps, RESTARTED)
            measured(f"{RESTARTED} of them restarted", lambda: list(pool.map(stack.api.restart, chosen)))
            measured("followed", lambda: until(lambda: not unpaired(stack, engine), lambda: f"REMORA_SEED={SEED}\n{stack.why()}", RESYNC))
            assert {each for each, life in stack.lives().items() if lives[each] != life} == {name_of(stack, each) for each in chosen}
        measured(f"{APPS} sidekicks detached", lambda: stack.remora("detach"))
        assert stack.sidekicks() == []
        measured("all removed", lambda: list(pool.map(stack.remove, apps)))
        until(lambda: engine.left() == before, lambda: f"before: {before}\n now: {engine.left()}")
    pool.shutdown()


def name_of(stack: Stack, container: str) -> str:
    return name(stack.api.inspect_container(container))
