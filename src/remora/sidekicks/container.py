"""Kind `container`: any image beside an app container, through just the walls that are named."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from remora.core.document import Bare, Fits, Short, Strict, Wrong
from remora.core.kind import Unwoven
from remora.core.ops import Many, Network, OwnEnv, Reference, Sidekick
from remora.core.sidekick import SAME, App, Context, Spec
from remora.core.walls import Closed, covering, named
from remora.core.world import Mount
from remora.errors import choices

NAME = "container"
SUMMARY = "Runs any image beside an app container, through just the walls that you name."


Absolute = Annotated[str, Fits(r"/.*", "must be an absolute path")]


class FileWall(Strict):
    """One piece of the app's files: by the app's own path, or by volume."""

    path: Absolute | None = Field(None, description="a path in the app container that lies in a volume or bind mount")
    volume: str | None = Field(None, description="a volume, as the compose file or the engine calls it")
    at: Absolute | None = Field(None, description="where the sidekick sees it; without it, where the app does")
    mode: Literal["ro", "rw"] = Field("ro", description="read-only unless said")


def wall_of_files(value: object) -> object:
    """A bare string is a path when it begins with a slash, else a volume."""
    if isinstance(value, str):
        return {"path" if value.startswith("/") else "volume": value}
    if isinstance(value, dict):
        return value
    raise Wrong("must be a path, a volume, or a mapping with `path` or `volume`")


def one_of_two(walls: tuple[FileWall, ...]) -> tuple[FileWall, ...]:
    for index, wall in enumerate(walls):
        if (wall.path is None) == (wall.volume is None):
            raise Wrong("must name a `path` or a `volume`, and not both", index)
    return walls


FileWalls = Annotated[tuple[Annotated[FileWall, Short(wall_of_files, ({"type": "string"},))], ...], Bare(), AfterValidator(one_of_two)]


class Walls(Strict):
    """Which walls are opened."""

    files: FileWalls = Field((), description="pieces of the app's files")
    network: bool = Field(False, description="the app's network stack: its localhost is the sidekick's")
    processes: bool = Field(False, description="the app's process space; its files appear at /proc/1/root")
    ipc: bool = Field(False, description="the app's System V IPC and POSIX queues; the app must be started with `ipc: shareable`")
    may_hold: bool = Field(
        False,
        description="have `processes` and `ipc` on Podman, too, which removes and recreates no app container meanwhile",
    )


def command(value: object) -> object:
    """A string is split as a shell would; in a list, numbers are words too."""
    match value:
        case None:
            return None
        case str():
            return split(value)
        case list():
            return tuple(word(each, place) for place, each in enumerate(value))
    raise Wrong("must be text or a list of words")


def split(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError:
        raise Wrong("a quote is opened and not closed; close it, or write a list of words") from None


def word(value: object, place: int) -> str:
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return str(value)
    raise Wrong("must be text; put it in quotes", place)


WORDS = {"type": "array", "items": {"type": ["string", "number"]}}
Command = Annotated[
    tuple[str, ...] | None, BeforeValidator(command), WithJsonSchema({"anyOf": [{"type": "string"}, WORDS, {"type": "null"}]})
]

CAPABILITIES = (  # noqa: SIM905 - one word a line would be a page; source: capabilities(7)
    "AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID IPC_LOCK "
    "IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE MKNOD NET_ADMIN NET_BIND_SERVICE NET_BROADCAST NET_RAW PERFMON SETFCAP "
    "SETGID SETPCAP SETUID SYSLOG SYS_ADMIN SYS_BOOT SYS_CHROOT SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE SYS_RAWIO SYS_RESOURCE SYS_TIME "
    "SYS_TTY_CONFIG WAKE_ALARM"
).split()


def capability(names: tuple[str, ...]) -> tuple[str, ...]:
    """Capabilities by their kernel names, with or without CAP_, one by one."""
    for index, name in enumerate(names):
        if name in ("ALL", "CAP_ALL"):
            raise Wrong("all capabilities at once are refused; name each that it needs", index)
        if name.removeprefix("CAP_") not in CAPABILITIES:
            raise Wrong(f"no capability `{name}`; {choices(name.upper().removeprefix('CAP_'), CAPABILITIES)}", index)
    return tuple(sorted({name.removeprefix("CAP_") for name in names}))


CAPABILITY = {"type": "string", "pattern": f"^(CAP_)?({'|'.join(CAPABILITIES)})$"}
Capabilities = Annotated[Many, AfterValidator(capability), WithJsonSchema({"anyOf": [CAPABILITY, {"type": "array", "items": CAPABILITY}]})]


def absolute(paths: tuple[str, ...]) -> tuple[str, ...]:
    for index, path in enumerate(paths):
        if not path.startswith("/"):
            raise Wrong("must be an absolute path", index)
    return paths


PART = r"[a-z0-9]+([._-]+[a-z0-9]+)*"
REFERENCE = rf"([A-Za-z0-9.-]+(:\d+)?/)?{PART}(/{PART})*(:\w[\w.-]*)?(@sha256:[0-9a-f]{{64}})?"  # distribution/reference's grammar
Image = Annotated[str, Fits(REFERENCE, "must be an image, such as busybox:1.36")]
User = Annotated[str, Fits(r"same|\d+(:\d+)?", 'must be `same`, or "UID" or "UID:GID" in quotes')]
FileName = Annotated[str, Fits(r"[A-Za-z0-9._-]+", "must be a file name: letters, digits, `-`, `_` and `.`")]
Secrets = Annotated[dict[FileName, Reference], Field(json_schema_extra={"additionalProperties": False})]


class Settings(Sidekick):
    """A container of your own choice."""

    kind: Literal["container"] = Field(description="container")
    image: Image = Field(description="the image to run; pulled when the engine lacks it")
    entrypoint: Command = Field(None, description="instead of the image's")
    command: Command = Field(None, description="instead of the image's")
    walls: Walls = Field(Walls(), description="which walls of the app are opened; none unless named")
    network: Network = Field("none", description="a network of the engine for itself, where the network wall stays closed")
    env: OwnEnv = Field({}, description="its env")
    secrets: Secrets = Field({}, description="files under /run/secrets, mode 0400: NAME: env:VARIABLE or file:PATH")
    user: User | None = Field(None, description="`same` is the app's uid:gid; else UID[:GID]; without it, the image's")
    capabilities: Capabilities = Field((), description="added to none at all")
    tmpfs: Annotated[Many, AfterValidator(absolute)] = Field(("/tmp",), description="paths of its own to write to, in memory")
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
        may_hold=settings.walls.may_hold,
        network="" if settings.walls.network else settings.network,
        user=(app.user or SAME) if settings.user == SAME else settings.user or "",
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


def faults(settings: Settings, apps: Sequence[App]) -> Iterable[str]:
    """A container does what it is told, or `specs` refuses it."""
    return ()
