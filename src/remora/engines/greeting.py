"""The first word with an engine: who it is, or why none answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from remora.engines.answers import Refusal, in_words, innermost, reason, refusal
from remora.engines.host import Host
from remora.engines.wire import Wire
from remora.errors import RemoraError

GREETING = 10.0  # seconds that an engine may take to say who it is


def greet(host: Host, patience: float = GREETING) -> Mapping[str, Any]:
    """What the engine at `host` says of its version. Raises RemoraError where none answers in time, and where we may not."""
    try:
        found: Mapping[str, Any] = version(host, patience)
        numbered(str(found["ApiVersion"]))
    except (RemoraError, Refusal, OSError, ValueError, LookupError, TypeError) as error:
        raise unreachable(host, innermost(error)) from error
    return found


def version(host: Host, patience: float) -> Any:
    if not host.path:
        from remora.engines.client import Client

        with in_words():
            return Client(host, "auto", patience).told
    code, content = Wire(host.path, patience).get("/version")
    if code >= 400:
        raise refusal(code, content.decode(errors="replace"))
    return json.loads(content)


def numbered(version: str) -> tuple[int, ...]:
    """An API's version; raises ValueError where it is none."""
    return tuple(int(part) for part in version.split("."))


def unreachable(host: Host, why: BaseException) -> RemoraError:
    """Why no engine answers, and what to do."""
    match why:
        case PermissionError():
            return RemoraError(f"not allowed to use the engine at {host}: join the group that owns the socket, or use sudo")
        case Refusal(code=code):
            return RemoraError(f"what answers at {host} is not an engine that takes us: it says {status(code)}")
        case OSError() if not hasattr(why, "response"):  # one of the general client's own is about what it got
            return RemoraError(f"no engine answers at {host} ({reason(why)}): start it, or say where it is with -H or DOCKER_HOST")
    return RemoraError(f"what answers at {host} is not an engine: say where one is with -H or DOCKER_HOST")


def status(code: int) -> str:
    """A code of HTTP with its name."""
    with suppress(ValueError):
        return f"{code} {HTTPStatus(code).phrase}"
    return str(code)
