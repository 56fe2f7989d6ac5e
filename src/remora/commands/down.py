"""`remora down`: the sidekicks go, then Compose takes the app down. Log shippers see the app's last words."""

from __future__ import annotations

from remora.cli import DONE, FIXABLE
from remora.commands.detach import detachments, forget
from remora.commands.doing import carry_out
from remora.core.plan import Action, Detach
from remora.errors import RemoraError
from remora.output import Output
from remora.session import Asked, open_session


def run(asked: Asked, out: Output, volumes: bool) -> int:
    session = open_session(asked)
    if session.ops.stack:
        raise RemoraError(f"{session.ops.line('stack')}: stack: this ops file names a stack that somebody else runs; use `remora detach`")
    actions = detachments(session, session.observe())
    if not carry_out(session, [action for action in actions if not shipper(action)], out):
        return FIXABLE
    shippers = [action for action in actions if shipper(action)]
    if shippers:
        session.compose.stop()
    if not carry_out(session, shippers, out):
        return FIXABLE
    session.compose.down(volumes)
    if volumes:
        forget(session, out)
    return DONE


def shipper(action: Action) -> bool:
    return isinstance(action, Detach) and action.last > 0
