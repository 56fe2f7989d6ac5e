"""`remora up`: Compose brings the app up, remora attaches what belongs beside it."""

from __future__ import annotations

from collections.abc import Sequence

from remora.cli import DONE, FIXABLE
from remora.commands import plan as planning
from remora.commands.doing import carry_out, check, facts, faults
from remora.core.plan import Prepare
from remora.engines import secrets
from remora.errors import RemoraError
from remora.output import Output
from remora.session import Asked, open_session


def run(asked: Asked, out: Output, services: Sequence[str], as_json: bool, build: bool) -> int:
    session = open_session(asked)
    if session.ops.stack:
        raise RemoraError(f"{session.ops.line('stack')}: stack: this ops file names a stack that somebody else runs; use `remora attach`")
    before = session.observe()
    coming = session.coming(before, services)
    foreseen = session.weave(before, coming)
    first = session.plan(foreseen, before)
    check(session, first)
    if not as_json and (first or coming) and not out.quiet:
        planning.show(session, coming, foreseen, first, out)
    compose = session.overridden
    images = [action for action in first if isinstance(action, Prepare)]
    if not carry_out(session, images, out):  # what cannot be had is known before anything is started
        return FIXABLE
    compose.up(services, build)
    world = session.observe()
    woven = session.weave(world)
    actions = session.plan(woven, world)
    secrets.check(actions)
    well = carry_out(session, actions, out)
    if as_json:
        out.json(
            {
                "stack": session.stack,
                "environment": session.environment,
                "done": [facts(action) for action in (*images, *actions)],
                "faults": list(woven.faults),
            }
        )
    elif not (images or actions):
        out.say(f"{session.stack} in {session.environment}: nothing to do")
    faults(woven, out)
    return DONE if well else FIXABLE
