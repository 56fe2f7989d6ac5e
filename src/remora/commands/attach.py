"""`remora attach`: the sidekicks of what runs already, whoever started it."""

from __future__ import annotations

from remora.cli import DONE, FIXABLE
from remora.commands.doing import carry_out, check, facts, faults
from remora.errors import RemoraError
from remora.output import Output
from remora.session import Asked, open_session


def run(asked: Asked, out: Output, as_json: bool) -> int:
    session = open_session(asked)
    world = session.observe()
    woven = session.weave(world)
    if not woven.apps:
        raise RemoraError(f"no app container of `{session.stack}` is there to attach to; start it, or use `remora up`")
    actions = session.plan(woven, world)
    check(session, actions)
    well = carry_out(session, actions, out)
    if as_json:
        out.json(
            {
                "stack": session.stack,
                "environment": session.environment,
                "done": [facts(action) for action in actions],
                "faults": list(woven.faults),
            }
        )
    elif not actions:
        out.say(f"{session.stack} in {session.environment}: nothing to do")
    faults(woven, out)
    return DONE if well else FIXABLE
