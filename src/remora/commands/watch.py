"""`remora watch`: keep it true, and keep a journal of what happened."""

from __future__ import annotations

from dataclasses import replace

from remora.cli import DONE, FIXABLE
from remora.core.units import duration
from remora.daemon import Watch
from remora.errors import WrongUsage
from remora.journal import Journal, place
from remora.output import Output
from remora.session import Asked, open_session
from remora.witness import Witness


def run(asked: Asked, out: Output, once: bool, resync: str) -> int:
    try:
        seconds = duration(resync)
    except ValueError as error:
        raise WrongUsage(f"--resync: {error}") from None
    session = open_session(replace(asked, lean=True))
    if once:
        return DONE if Watch(session, out, seconds).once() else FIXABLE
    about = (session.stack, session.environment)
    journal = Journal(place(*about), lambda words: out.warn(f"! {words}"))
    Watch(session, out, seconds, Witness(*about, [journal])).run()
    return DONE
