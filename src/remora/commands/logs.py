"""`remora logs SIDEKICK`: what a sidekick itself says."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from remora.cli import DONE
from remora.errors import RemoraError, choices
from remora.output import Output
from remora.session import Asked, open_session


def run(asked: Asked, out: Output, sidekick: str, follow: bool, tail: int | None) -> int:
    session = open_session(asked)
    mine = session.observe().sidekicks(session.stack)
    chosen = [c for c in mine if sidekick in (c.labels["remora.sidekick"], c.name)]
    if not chosen:
        raise RemoraError(
            f"no sidekick `{sidekick}` is attached to {session.stack}; {choices(sidekick, {c.labels['remora.sidekick'] for c in mine})}"
        )
    with ThreadPoolExecutor(len(chosen)) as pool:
        for container in chosen:
            prefix = f"{container.name} | " if len(chosen) > 1 else ""
            pool.submit(relay, session.engine.logs(container.id, follow, tail), prefix) if follow else relay(
                session.engine.logs(container.id, follow, tail), prefix
            )
    return DONE


def relay(pieces: Iterator[bytes], prefix: str) -> None:
    """Print whole lines, so that several containers can speak at once."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            sys.stdout.write(f"{prefix}{line.decode(errors='replace')}\n")
        sys.stdout.flush()
    if rest:
        sys.stdout.write(f"{prefix}{rest.decode(errors='replace')}\n")
