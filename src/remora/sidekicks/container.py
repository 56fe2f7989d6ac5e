"""Kind `container`: any image beside an app container, through just the walls that are named."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from pydantic.config import JsonDict

from remora.core.document import Strict
from remora.core.kind import Unwoven
from remora.core.ops import Env, Limits, Many, Reference, Sidekick
from remora.core.project import words
from remora.core.sidekick import App, Caps, Context, Spec
from remora.core.walls import Closed, covering, named
from remora.core.world import Mount

CAPS = Caps()

NAME = "container"
SUMMARY = "Runs any image beside an app container, through just the walls that you name."


class FileWall(Strict):
    """One piece of the app's files: by the app's own path, or by volume."""

    path: str | None = Field(None, pattern="^/", description="a path in the app container that lies in a volume or bind mount")
    volume: str | None = Field(None, description="a volume, as the compose file or the engine calls it")
    at: str | None = Field(None, pattern="^/", description="where the sidekick sees it; without it, where the app does")
    mode: Literal["ro", "rw"] = Field("ro", description="read-only unless said")


def walls_of_files(value: object) -> object:
    """A bare string is a path when it begins with a slash, else a volume."""
    entries = value if isinstance(value, list) else [value]
    return tuple({"path" if each.startswith("/") else "volume": each} if isinstance(each, str) else each for each in entries)


def one_of_two(walls: tuple[FileWall, ...]) -> tuple[FileWall, ...]:
    if any((wall.path is None) == (wall.volume is None) for wall in walls):
        raise ValueError("each entry names a `path` or a `volume`, and not both")
    return walls


FILE_WALL: JsonDict = {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/FileWall"}]}
FileWalls = Annotated[
    tuple[FileWall, ...],
    BeforeValidator(walls_of_files),
    AfterValidator(one_of_two),
]


class Walls(Strict):
    """Which walls are opened."""

    files: FileWalls = Field((), description="pieces of the app's files", json_schema_extra={"items": FILE_WALL})
    network: bool = Field(False, description="the app's network stack: its localhost is the sidekick's")
    processes: bool = Field(False, description="the app's process space; its files appear at /proc/1/root")
    ipc: bool = Field(False, description="the app's System V IPC and POSIX queues; the app must be started with `ipc: shareable`")


def command(value: object) -> object:
    """A string is split as a shell would."""
    return words(value) if isinstance(value, (str, list)) else value


Command = Annotated[
    tuple[str, ...] | None,
    BeforeValidator(command),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}, {"type": "null"}]}),
]


def capability(names: tuple[str, ...]) -> tuple[str, ...]:
    """Capabilities by their kernel names, with or without CAP_."""
    for name in names:
        if not re.fullmatch(r"(CAP_)?[A-Z_]+", name) or name in ("ALL", "CAP_ALL"):
            raise ValueError(f"`{name}` is not one capability; write names such as NET_ADMIN")
    return tuple(sorted(name.removeprefix("CAP_") for name in names))


class Settings(Sidekick):
    """A container of your own choice."""

    kind: Literal["container"] = Field(description="container")
    image: str = Field(min_length=1, description="the image to run; pulled when the engine lacks it")
    entrypoint: Command = Field(None, description="instead of the image's")
    command: Command = Field(None, description="instead of the image's")
    walls: Walls = Field(Walls(), description="which walls of the app are opened; none unless named")
    network: str = Field(
        "none",
        pattern=r"^(none|[a-zA-Z0-9][a-zA-Z0-9_.-]*)$",
        description="a network of the engine for itself, where the network wall stays closed",
    )
    env: Env = Field({}, description="its env")
    secrets: dict[str, Reference] = Field({}, description="files under /run/secrets, mode 0400: NAME: env:VARIABLE or file:PATH")
    user: str | None = Field(
        None, pattern=r"^(same|\d+(:\d+)?)$", description="`same` is the app's uid:gid; else UID[:GID]; without it, the image's"
    )
    capabilities: Annotated[Many, AfterValidator(capability)] = Field((), description="added to none at all")
    tmpfs: Many = Field(("/tmp",), description="paths of its own to write to, in memory")
    read_only: bool = Field(True, description="its own file tree cannot be written")
    stop_grace: int = Field(10, ge=0, le=600, description="seconds that it gets to end by itself")


def specs(name: str, settings: Settings, apps: Sequence[App], context: Context) -> Iterable[Spec]:
    """One container beside each app container."""
    if settings.walls.network and settings.network != "none":
        raise Unwoven("network", "the network wall is open: it has the app's network, and cannot have one of its own")
    for app in apps:
        yield spec(name, settings, app, context)


def spec(name: str, settings: Settings, app: App, context: Context) -> Spec:
    open_walls = tuple(wall for wall in ("network", "processes", "ipc") if getattr(settings.walls, wall))
    return context.spec(
        name,
        NAME,
        app,
        image=settings.image,
        entrypoint=settings.entrypoint,
        command=settings.command,
        env=tuple(sorted(settings.env.items())),
        mounts=tuple(mount(wall, app, context) for wall in settings.walls.files),
        tmpfs=settings.tmpfs,
        secrets=tuple(sorted(settings.secrets.items())),
        walls=open_walls,
        network="" if settings.walls.network else settings.network,
        user=(app.user or "0") if settings.user == "same" else settings.user or "",
        caps=caps(settings.limits),
        cap_add=settings.capabilities,
        read_only=settings.read_only,
        init=not settings.walls.processes,
        stop_seconds=settings.stop_grace,
    )


def mount(wall: FileWall, app: App, context: Context) -> Mount:
    try:
        found = covering(app, wall.path) if wall.path else named(app, wall.volume or "", context.volumes)
    except Closed as error:
        raise Unwoven("walls", str(error)) from None
    return replace(found, target=wall.at or found.target, read_only=wall.mode == "ro")


def caps(limits: Limits, default: Caps = CAPS) -> Caps:
    """The caps asked for, over the defaults: a sidekick always has all three."""
    return Caps(limits.memory or default.memory, limits.cpus or default.cpus, limits.pids or default.pids)


def faults(settings: Settings, apps: Sequence[App]) -> Iterable[str]:
    """A container does what it is told, or `specs` refuses it."""
    return ()
