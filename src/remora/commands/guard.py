"""`remora guard`: a filtered engine on a socket of its own."""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path

from remora.cli import DONE
from remora.core.admission import NAME, PATH, Policy
from remora.engines.guard import Guard, listening
from remora.engines.host import find
from remora.engines.tunnel import reach
from remora.errors import RemoraError, WrongUsage, choices
from remora.output import Output
from remora.sidekicks.container import CAPABILITIES


def run(
    listen: str,
    group: str | None,
    paths: Iterable[str],
    volumes: Iterable[str],
    capabilities: Iterable[str],
    logs: bool,
    host: str | None,
    out: Output,
) -> int:
    engine = real(host)
    policy = Policy(allowed_paths(paths, engine), allowed_volumes(volumes), allowed_capabilities(capabilities), logs)
    with listening(Path(listen), group) as listener:
        signal.signal(signal.SIGTERM, lambda *_: listener.shutdown(socket.SHUT_RDWR))
        out.say(f"guarding {engine} on {listen}")
        Guard(engine, policy, out.warn).serve(listener)
    return DONE


def real(host: str | None) -> str:
    """The path of the engine's own socket."""
    found = reach(find(host))
    if not found.path:
        raise RemoraError(f"the engine at {found} has no socket on this machine to stand before; run the guard beside the engine")
    return found.path


def modes(words: Iterable[str]) -> Mapping[str, bool]:
    """`NAME` may be read, `NAME:rw` written to."""
    found: dict[str, bool] = {}
    for each in words:
        name = each.removesuffix(":rw")
        found[name] = each != name or found.get(name, False)
    return found


def allowed_paths(words: Iterable[str], engine: str) -> Mapping[str, bool]:
    """Host paths, none of which gives away more than its name says. Raises WrongUsage."""
    found = modes(words)
    for path in found:
        if not re.fullmatch(PATH, path) or path == "/":
            raise WrongUsage(f"--allow-path {path}: must be an absolute path below /, without `.`, `..` and a slash at its end")
        if any(inside(socket, path) for socket in (engine, str(Path(engine).resolve()))):
            raise WrongUsage(f"--allow-path {path}: the engine's socket {engine} lies in it, which is root; name what else lies there")
        for other, writable in found.items():
            if writable and inside(path, other):
                raise WrongUsage(f"--allow-path {path}: who may write to {other} may make it lead anywhere; allow one of the two")
    return found


def inside(path: str, folder: str) -> bool:
    return path.startswith(f"{folder}/")


def allowed_volumes(words: Iterable[str]) -> Mapping[str, bool]:
    found = modes(words)
    for name in found:
        if not re.fullmatch(NAME, name):
            raise WrongUsage(f"--allow-volume {name}: must be the name of a volume, as `docker volume ls` shows it")
    return found


def allowed_capabilities(words: Iterable[str]) -> frozenset[str]:
    found = frozenset(word.upper().removeprefix("CAP_") for word in words)
    for name in sorted(found):
        if name not in CAPABILITIES:
            raise WrongUsage(f"--allow-capability {name}: no such capability; {choices(name, CAPABILITIES)}")
    return found
