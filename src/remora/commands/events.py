"""`remora events`: what happened, from the journal that `remora watch` keeps."""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta
from typing import Any

from remora.cli import DONE
from remora.core import project
from remora.core.units import duration
from remora.errors import RemoraError, WrongUsage
from remora.journal import Reader, place, stamped
from remora.output import Output, flush
from remora.session import Asked, read_ops, stack_only

PAUSE = 0.2  # seconds between looks into the journal


def run(asked: Asked, out: Output, follow: bool, since: str | None, as_json: bool) -> int:
    path = place(*stack(asked))
    reader = Reader(path, stamped(moment(since)) if since else "")
    if not path.exists() and not follow:
        raise RemoraError(f"{path}: no journal here; `remora watch` writes it")
    while True:
        for news in reader.more():
            out.print(json.dumps(news, sort_keys=True)) if as_json else out.line(line(news))
        flush()
        if not follow:
            return DONE
        time.sleep(PAUSE)


def stack(asked: Asked) -> tuple[str, str]:
    """The stack and its environment; no engine is asked, and where both are known the ops file may be wrong: that is what one looks for."""
    try:
        named, environment = by_ops(asked)
        return named or asked.compose.project_name or project.read(asked.compose.config(asked.reading)).name, environment
    finally:
        if asked.reading and asked.reading.poll() is None:
            asked.reading.communicate()


def by_ops(asked: Asked) -> tuple[str | None, str]:
    """What the ops file says of them."""
    try:
        ops = read_ops(asked)
        environment = ops.environment(asked.environment)
    except RemoraError:
        if asked.environment is None or stack_only(asked):
            raise
        return None, asked.environment
    return ops.stack or (None if asked.compose.project_name else ops.environments[environment].project), environment


def moment(text: str) -> datetime:
    """A time, or so long ago. Raises WrongUsage."""
    try:
        return datetime.now().astimezone() - timedelta(seconds=duration(text))
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        words = f"--since: `{text}` is not a time; write it like 10m, 2d, 2024-05-31 or 2024-05-31T12:00:00Z"
        raise WrongUsage(words) from None


def line(news: dict[str, Any]) -> str:
    return f"{news['time'][:19]}Z  {news['name']:<19} {' '.join(news['words'].split())}"
