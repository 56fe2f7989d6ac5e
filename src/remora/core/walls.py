"""Opening walls: which mount of the app shows a path, and which walls an engine cannot open without holding the app container."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import replace

from remora.core.kind import Unwoven
from remora.core.sidekick import App, Spec
from remora.core.world import Mount
from remora.errors import listed

HOLDING = {"podman": ("processes", "ipc")}  # engine → walls that keep an app container from being removed


class Closed(Exception):
    """This path or volume cannot be shared from outside; says why, and what can."""


def covering(app: App, path: str) -> Mount:
    """The mount of `app` that `path` lies in, read-only, at its own place. Raises Closed."""
    path = posixpath.normpath(path)
    around = [mount for mount in app.mounts if path == mount.target or path.startswith(mount.target.rstrip("/") + "/")]
    if not around:
        raise Closed(
            f"`{path}` of {app.name} is in the container's own layer, which nobody else can mount; what lies outside of it: {outside(app)}"
        )
    return shareable(app, max(around, key=lambda mount: len(mount.target)))


def named(app: App, volume: str, volumes: Mapping[str, str]) -> Mount:
    """The mount of `app` that shows the volume `volume` (as the compose file or the engine calls it). Raises Closed."""
    name = volumes.get(volume, volume)
    for mount in app.mounts:
        if mount.type == "volume" and mount.source == name:
            return shareable(app, mount)
    raise Closed(f"{app.name} has no volume `{volume}`; it has {outside(app)}")


def shareable(app: App, mount: Mount) -> Mount:
    if mount.type == "tmpfs":
        raise Closed(f"`{mount.target}` of {app.name} is a tmpfs, which lives in that one container and cannot be shared")
    return replace(mount, read_only=True)


def outside(app: App) -> str:
    return listed(mount.target for mount in app.mounts if mount.type != "tmpfs")


def refuse_holding(engine: str, specs: Iterable[Spec]) -> None:
    """Raises Unwoven for walls that keep the app container from being removed or recreated, unless ops accept that."""
    for spec in specs:
        holding = [wall for wall in spec.walls if wall in HOLDING.get(engine, ())]
        if holding and not spec.may_hold:
            raise Unwoven("walls", held(engine, spec.host, holding))


def held(engine: str, host: str, walls: Iterable[str]) -> str:
    """What is wrong with walls that hold an app container, and what to do."""
    named = listed(walls).replace(", ", " and ")
    return (
        f"{engine.capitalize()} cannot remove or recreate {host} while a sidekick shares its {named}: "
        "leave that wall closed, or accept it with `may_hold: true` beside it"
    )
