"""Doing a plan: stage by stage, side by side within a stage."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby

from remora.core.engine import Engine, Say
from remora.core.plan import Action, Attach, Detach, Prepare, attached
from remora.errors import RemoraError

SIDE_BY_SIDE = 8  # starting a container is the engine's work, and it does several at once

Done = Callable[[Action, RemoraError | None, float], None]  # the action, what went wrong, and the seconds that it took


def perform(engine: Engine, actions: Sequence[Action], say: Say, done: Done, go_on: bool = False) -> list[RemoraError]:
    """Do `actions` in their order; `done` hears of each. A failed one does not stop the others, but the stages after it.

    With `go_on`, only what needs the failed one is left out: a sidekick whose image could not be had keeps running as it is.
    Gives what failed. What was done stays and is right as it is: the next plan goes on from there.
    """
    failed: list[RemoraError] = []
    lacking: set[str] = set()
    for _, stage in groupby(actions, key=rank):
        if failed and not go_on:
            break
        todo = [action for action in stage if not spared(action, actions, lacking)]
        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            for action, error in zip(todo, pool.map(lambda action: attempt(engine, action, say, done), todo), strict=True):
                if error:
                    failed.append(error)
                    lacking |= {action.image} if isinstance(action, Prepare) else set()
    return failed


def spared(action: Action, actions: Sequence[Action], lacking: set[str]) -> bool:
    """Whether it attaches, or makes room for, a sidekick whose image is lacking."""
    names = {each.name for each in attached(actions) if each.image in lacking} if lacking else set()
    return bool(names) and (action.spec.name if isinstance(action, Attach) else getattr(action, "name", "")) in names


def rank(action: Action) -> tuple[int, int, int]:
    """Actions of one rank do not wait for each other."""
    match action:
        case Attach(spec=spec):
            return (action.stage, spec.first, spec.depth)
        case Detach(last=last):
            return (action.stage, last, 0)
    return (action.stage, 0, 0)


def attempt(engine: Engine, action: Action, say: Say, done: Done) -> RemoraError | None:
    began, error = time.monotonic(), None
    try:
        engine.perform(action, say)
    except RemoraError as caught:
        error = caught
    done(action, error, time.monotonic() - began)
    return error
