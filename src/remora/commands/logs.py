"""`remora logs SIDEKICK`: what a sidekick itself says."""

from __future__ import annotations

from collections.abc import Iterator
from queue import SimpleQueue
from threading import Thread

from remora.cli import DONE
from remora.errors import RemoraError, choices
from remora.output import Output, written
from remora.session import Asked, open_session


def run(asked: Asked, out: Output, sidekick: str, follow: bool, tail: int | None) -> int:
    session = open_session(asked)
    mine = session.observe().sidekicks(session.stack)
    chosen = [c for c in mine if sidekick in (c.labels["remora.sidekick"], c.name)]
    if not chosen:
        raise RemoraError(
            f"no sidekick `{sidekick}` is attached to {session.stack}; {choices(sidekick, {c.labels['remora.sidekick'] for c in mine})}"
        )
    named = [(session.engine.logs(c.id, follow, tail), f"{c.name} | " if len(chosen) > 1 else "") for c in chosen]
    if follow:
        together(named)
    else:
        for each in named:
            relay(*each)
    return DONE


def together(named: list[tuple[Iterator[bytes], str]]) -> None:
    """Relay all of `named` side by side, until they end or the first fails."""
    ended: SimpleQueue[Exception | None] = SimpleQueue()

    def one(pieces: Iterator[bytes], prefix: str) -> None:
        try:
            relay(pieces, prefix)
            ended.put(None)
        except Exception as error:
            ended.put(error)

    for each in named:
        Thread(target=one, args=each, daemon=True).start()
    for _ in named:
        if error := ended.get():
            raise error


def relay(pieces: Iterator[bytes], prefix: str) -> None:
    """Print whole lines, so that several containers can speak at once."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        show(lines, prefix)
    show([rest] if rest else [], prefix)


def show(lines: list[bytes], prefix: str) -> None:
    with written():
        print("".join(f"{prefix}{line.decode(errors='replace')}\n" for line in lines), end="", flush=True)
