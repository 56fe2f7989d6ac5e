"""`remora detach`: the sidekicks go, the app stays as it is."""

from __future__ import annotations

from collections.abc import Sequence

from remora.cli import DONE, FIXABLE
from remora.commands.doing import carry_out, facts
from remora.core.plan import Action, Detach, interrupted, ordered, plan
from remora.core.world import World
from remora.errors import RemoraError, choices
from remora.output import Output
from remora.session import Asked, Session, open_session


def run(asked: Asked, out: Output, sidekicks: Sequence[str], as_json: bool, volumes: bool) -> int:
    session = open_session(asked)
    actions = detachments(session, session.observe(), sidekicks)
    well = carry_out(session, actions, out)
    if volumes and well:
        forget(session, out, sidekicks)
    if as_json:
        out.json({"stack": session.stack, "done": [facts(action) for action in actions]})
    elif not actions:
        out.say(f"{session.stack}: nothing is attached")
    return DONE if well else FIXABLE


def detachments(session: Session, world: World, sidekicks: Sequence[str] = ()) -> tuple[Action, ...]:
    """What takes away `sidekicks` of the stack, all of them where none is named."""
    there = {c.labels["remora.sidekick"] for c in world.sidekicks(session.stack)}
    for name in sidekicks:
        if name not in there and name not in session.ops.sidekicks:
            raise RemoraError(f"no sidekick `{name}` is attached to {session.stack}; {choices(name, there)}")
    ids = {c.id for c in world.sidekicks(session.stack) if not sidekicks or c.labels["remora.sidekick"] in sidekicks}
    found = (*plan((), world, session.stack, session.ops.owner, session.asked.take_over), *interrupted(world, session.stack))
    return ordered([action for action in found if isinstance(action, Detach) and action.container in ids])


def forget(session: Session, out: Output, sidekicks: Sequence[str] = ()) -> None:
    """Remove the sidekicks' own volumes: what waited there for a destination is gone with them."""
    for volume in session.engine.forget(session.stack, sidekicks or None):
        out.say(f"- remove volume {volume}")
