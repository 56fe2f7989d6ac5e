"""The world: what the engine shows right now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

STACK = "com.docker.compose.project"
SERVICE = "com.docker.compose.service"
NUMBER = "com.docker.compose.container-number"
HASH = "com.docker.compose.config-hash"
ONE_OFF = "com.docker.compose.oneoff"


@dataclass(frozen=True)
class Mount:
    """A piece of a container's file tree that comes from outside of it."""

    type: str  # volume, bind, tmpfs
    source: str  # volume name, host path, or "" for tmpfs
    target: str  # path inside the container
    read_only: bool = False


@dataclass(frozen=True)
class EngineFacts:
    """What sidekicks have to know of the engine itself."""

    name: str = "docker"
    version: str = ""
    root: str = "/var/lib/docker"  # the engine's own folder, on its host
    host: str = ""  # the host's name
    socket: str = "/var/run/docker.sock"  # where its socket lies, on its host

    @property
    def containers(self) -> str:
        """The folder of the engine's own log files, on its host."""
        return f"{self.root}/containers"


@dataclass(frozen=True)
class Container:
    """One container, as inspected."""

    id: str
    name: str
    image: str = ""
    image_id: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    state: str = "running"  # created, running, paused, restarting, removing, exited, dead
    started_at: str = ""  # RFC 3339, the engine's clock
    finished_at: str = ""
    exit_code: int = 0
    oom_killed: bool = False
    restarts: int = 0
    error: str = ""
    mounts: tuple[Mount, ...] = ()
    ports: frozenset[int] = frozenset()
    networks: tuple[str, ...] = ()
    user: str = ""  # uid[:gid] where known, else as the image names it
    log_driver: str = "json-file"
    memory: int = 0  # the cap in bytes, 0 for none
    config: Mapping[str, object] = field(default_factory=dict, hash=False)  # the inspection itself, for parity

    @property
    def running(self) -> bool:
        return self.state in ("running", "paused")

    @property
    def is_sidekick(self) -> bool:
        return "remora.sidekick" in self.labels


@dataclass(frozen=True)
class World:
    """The containers of a stack and its sidekicks."""

    engine: EngineFacts = EngineFacts()
    containers: tuple[Container, ...] = ()

    @property
    def apps(self) -> tuple[Container, ...]:
        """The app containers: never a sidekick, never a one-off `compose run`."""
        return tuple(c for c in self.containers if not c.is_sidekick and c.labels.get(ONE_OFF, "False") != "True")

    def sidekicks(self, stack: str) -> tuple[Container, ...]:
        """What remora attached to `stack`; a sidekick out of an overlay file is Compose's."""
        return tuple(c for c in self.containers if c.labels.get("remora.stack") == stack and STACK not in c.labels)
