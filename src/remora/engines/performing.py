"""Doing a plan: stage by stage, side by side within a stage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby

from remora.core.engine import Engine, Say
from remora.core.plan import Action, Attach, Detach
from remora.errors import RemoraError

SIDE_BY_SIDE = 8  # starting a container is the engine's work, and it does several at once

Done = Callable[[Action, RemoraError | None], None]


def perform(engine: Engine, actions: Sequence[Action], say: Say, done: Done) -> list[RemoraError]:
    """Do `actions` in their order; `done` hears of each. A failed one does not stop the others, but the stages after it.

    Gives what failed. What was done stays and is right as it is: the next plan goes on from there.
    """
    failed: list[RemoraError] = []
    for _, stage in groupby(actions, key=rank):
        if failed:
            break
        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            failed += [error for error in pool.map(lambda action: attempt(engine, action, say, done), list(stage)) if error]
    return failed


def rank(action: Action) -> tuple[int, int]:
    """Actions of one rank do not wait for each other."""
    match action:
        case Attach(spec=spec):
            return (action.stage, spec.first)
        case Detach(last=last):
            return (action.stage, last)
    return (action.stage, 0)


def attempt(engine: Engine, action: Action, say: Say, done: Done) -> RemoraError | None:
    try:
        engine.perform(action, say)
    except RemoraError as error:
        done(action, error)
        return error
    done(action, None)
    return None
