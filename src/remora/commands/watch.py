"""`remora watch`: keep it true."""

from __future__ import annotations

from remora.cli import DONE, FIXABLE
from remora.core.units import duration
from remora.daemon import Watch
from remora.errors import WrongUsage
from remora.output import Output
from remora.session import Asked, open_session


def run(asked: Asked, out: Output, once: bool, resync: str) -> int:
    try:
        seconds = duration(resync)
    except ValueError as error:
        raise WrongUsage(f"--resync: {error}") from None
    watch = Watch(open_session(asked), out, seconds)
    if once:
        return DONE if watch.once() else FIXABLE
    watch.run()
    return DONE
