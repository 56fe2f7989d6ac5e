"""`remora install`: what it takes to run the watcher, or the guard, as a service."""

from __future__ import annotations

import grp
import re
import shutil
import stat
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from remora.cli import DONE
from remora.commands.render import save
from remora.core.ops import Ops
from remora.core.service import GUARD, GUARDED, Service, contained, guarding, watching
from remora.engines import recipes
from remora.engines.host import find
from remora.errors import RemoraError, WrongUsage
from remora.output import Output
from remora.session import Asked, ops_path, read_ops


@dataclass(frozen=True)
class Wanted:
    """What the command line says of the service."""

    target: str | None
    guard: bool
    ops: str | None
    environment: str | None
    group: str | None
    host: str | None
    more: Sequence[str]  # words for the service's own command


def run(wanted: Wanted, output: str | None, out: Output) -> int:
    name = Path(output).name.partition(".")[0] if output else f"remora-{'guard' if wanted.guard else 'watch'}"
    text = written(wanted, name, local(wanted.host), out)
    if output:
        save(Path(output), text)
    else:
        out.print(text, end="")
    return DONE


def written(wanted: Wanted, name: str, socket: str, out: Output) -> str:
    """The text of the file that is asked for. Raises RemoraError."""
    match wanted.target, wanted.guard:
        case "systemd", True:
            return guarding(guard(wanted, name, socket), wanted.group or GUARDED)
        case "systemd", False:
            return watching(watcher(wanted, name, socket, program(), out), socket == GUARD)
        case "container", False:
            return boxed(wanted, name, socket, out)
        case "container", True:
            raise WrongUsage("install --guard: the guard runs beside the engine: `remora install --systemd --guard`")
    raise WrongUsage("install: say --systemd or --container")


def local(host: str | None) -> str:
    """The path of the engine's socket, which need not be there yet."""
    found = find(host)
    if not found.path:
        raise RemoraError(f"the engine at {found} has no socket on this machine; install remora beside the engine")
    return found.path


def guard(wanted: Wanted, name: str, socket: str) -> Service:
    words = ["guard", "--listen", GUARD, "-H", f"unix://{socket}", *wanted.more]
    return Service(name, [*program(), *words], group_of(socket))


def watcher(wanted: Wanted, name: str, socket: str, program: list[str], out: Output) -> Service:
    """The watcher as a service, for one environment of an ops file."""
    found = read(wanted)
    file = Path(found.owner)
    words = ["watch", "-e", found.environment(wanted.environment), "--ops", str(file), "-H", f"unix://{socket}", *wanted.more]
    secrets = dict.fromkeys(re.findall(r"\benv:([A-Za-z_]\w*)", file.read_text()))
    needed = [file, *map(Path, program[:1])]
    top = Path("/") if program else file.parent  # of which a container sees nothing above
    for closed in dict.fromkeys(filter(None, (closed_to_others(path, top) for path in needed))):
        out.warn(f"! {closed}: the service's user may not read it; `chmod o+rX {closed}` lets it")
    group, home = wanted.group or group_of(socket), any(map(at_home, needed))
    return Service(name, [*program, *words], group, str(file.parent), tuple(secrets), home)


def boxed(wanted: Wanted, name: str, socket: str, out: Output) -> str:
    """The Compose file of a watcher. Raises RemoraError where it would need the developers' file."""
    if not read(wanted).stack:
        file = ops_path(Asked(ops=wanted.ops))
        raise RemoraError(f"{file}: says no stack, and a watcher in a container has no compose file to read; add `stack: NAME`")
    service = watcher(wanted, name, socket, [], out)
    return contained(replace(service, group=number(service.group)), recipes.tag("watch"), mounted(Path(socket)))


def read(wanted: Wanted) -> Ops:
    return read_ops(Asked(ops=wanted.ops))


def program() -> list[str]:
    """This very command, by its path."""
    called = Path(sys.argv[0])
    return [sys.executable, "-m", "remora"] if called.name == "__main__.py" else [str(Path(shutil.which(called) or called).absolute())]


def group_of(socket: str) -> str:
    """The group that may use a socket: by name, by number where it has none, the usual one where the socket is not there."""
    try:
        number = Path(socket).stat().st_gid
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
    except OSError:
        return GUARDED if socket == GUARD else "docker"


def mounted(socket: Path) -> str:
    """What a container gets of the host to have the socket: its folder, unless much else lies there, or nobody else may enter it."""
    folder = socket.parent
    shared = str(folder) in ("/", "/run", "/var/run", "/tmp")
    return str(socket if shared or (folder.exists() and not folder.stat().st_mode & stat.S_IXOTH) else folder)


def number(group: str) -> str:
    """A group of this host, as a container can be told of it."""
    try:
        return group if group.isdigit() else str(grp.getgrnam(group).gr_gid)
    except KeyError:
        raise RemoraError(f"install: this machine has no group `{group}`, which may use the socket; name one with --group") from None


def closed_to_others(path: Path, top: Path) -> Path | None:
    """Where on the way from `top` to a file one that is nobody in particular is stopped."""
    for step in reversed([path, *path.parents]):
        mode = step.stat().st_mode
        if step.is_relative_to(top) and not mode & (stat.S_IXOTH if stat.S_ISDIR(mode) else stat.S_IROTH):
            return step
    return None


def at_home(path: Path) -> bool:
    return any(path.is_relative_to(home) for home in ("/home", "/root", "/run/user"))
