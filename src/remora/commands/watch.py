"""`remora watch`: keep it true, and show it to the outside."""

from __future__ import annotations

from dataclasses import replace

from remora.cli import DONE, FIXABLE
from remora.core.units import duration
from remora.daemon import Watch
from remora.errors import RemoraError, WrongUsage
from remora.hooks import Hooks, refuse_missing
from remora.journal import Journal, place
from remora.listener import Address, Listener, parse
from remora.output import Log, Output
from remora.session import Asked, open_session
from remora.witness import Pulse, Witness


def run(asked: Asked, out: Output, once: bool, resync: str, listen: str | None, log: str) -> int:
    try:
        seconds = duration(resync)
    except ValueError as error:
        raise WrongUsage(f"--resync: {error}") from None
    wanted = (parse(listen),) if listen else ()
    out = Log(out.quiet) if log == "json" else out
    try:
        watch = Watch(open_session(replace(asked, lean=True)), out, seconds)
        if once:
            return DONE if watch.once() else FIXABLE
        watch.witness = outside(watch, out, *wanted)
        watch.run()
    except RemoraError as error:
        if log != "json":
            raise
        out.warn(f"remora: {error}")
        return FIXABLE
    return DONE


def outside(watch: Watch, out: Output, *address: Address | None) -> Witness:
    """Where the outside hears of the watcher: the journal, hooks, and metrics at `address`, by default a socket beside the journal."""
    from remora.metrics import Metrics

    def remark(words: str) -> None:
        out.warn(f"! {words}")

    def weight(sidekick: str) -> str:
        settings = watch.session.ops.sidekicks.get(sidekick)
        return settings.on_failure if settings else "warn"

    session, pulse = watch.session, Pulse()
    refuse_missing(session.ops)
    path = place(session.stack, session.environment)
    journal = Journal(path, remark)
    metrics = Metrics(session.stack, session.environment, pulse, lambda: journal.failed_at is not None, weight)
    hooks = Hooks(lambda: watch.session, remark, lambda *words, **facts: witness.note(*words, **facts), metrics)
    here = Address(path=str(path.absolute().with_suffix(".sock")))
    listeners = [Listener(each, metrics.page, pulse, remark) for each in address or (here,) if each is not None]
    for listener in listeners:
        listener.start()
    witness = Witness(session.stack, session.environment, (metrics, journal, hooks, *listeners), pulse, weight)
    return witness
