"""The developers' file, as Compose itself reads it.

The input is what `docker compose config --format json` prints: interpolated, merged, extended, included, and with the
profiles chosen. Source: the Compose specification and compose-go's canonical form.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from remora.core.world import Mount
from remora.errors import RemoraError


@dataclass(frozen=True)
class Service:
    """One service of the stack."""

    name: str
    image: str
    replicas: int = 1
    container_name: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    ports: frozenset[int] = frozenset()
    networks: tuple[str, ...] = ()
    user: str | None = None  # None: what the image says
    log_driver: str = "json-file"
    config: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Project:
    """A stack: the services of one compose file under one name."""

    name: str
    services: Mapping[str, Service] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def volumes(self) -> Mapping[str, str]:
        """Volume names as the engine knows them, by the name that the file gives them."""
        return {key: (volume or {}).get("name", key) for key, volume in (self.config.get("volumes") or {}).items()}

    @property
    def networks(self) -> frozenset[str]:
        """The names that the engine knows the networks of the file by, once Compose has made them."""
        return frozenset((network or {}).get("name", key) for key, network in (self.config.get("networks") or {}).items())


def read(config: Mapping[str, Any]) -> Project:
    """The project in Compose's canonical JSON `config`."""
    bare = Project(config["name"], {}, config)
    services = {name: service(bare, name, entry) for name, entry in (config.get("services") or {}).items()}
    return Project(bare.name, services, config)


def service(project: Project, name: str, entry: Mapping[str, Any]) -> Service:
    """One service of `project`, out of its canonical entry."""
    networks = project.config.get("networks") or {}
    return Service(
        name=name,
        image=entry.get("image") or f"{project.name}-{name}",
        replicas=replicas(entry),
        container_name=entry.get("container_name", ""),
        env={key: value for key, value in (entry.get("environment") or {}).items() if value is not None},  # null: taken away
        labels=dict(entry.get("labels") or {}),
        mounts=tuple(mount(project, volume) for volume in entry.get("volumes") or []) + tmpfs(entry),
        ports=frozenset(ports(name, entry)),
        networks=tuple((networks.get(key) or {}).get("name", key) for key in entry.get("networks") or {}),
        user=entry.get("user"),
        log_driver=(entry.get("logging") or {}).get("driver") or "json-file",
        config=entry,
    )


def replicas(entry: Mapping[str, Any]) -> int:
    """How many containers Compose starts for a service."""
    scale = entry.get("scale")
    asked = scale if scale is not None else (entry.get("deploy") or {}).get("replicas")
    return 1 if asked is None else int(asked)


def mount(project: Project, volume: Mapping[str, Any]) -> Mount:
    """A canonical `volumes` entry; an anonymous volume has no source yet."""
    source = volume.get("source", "")
    if volume["type"] == "volume" and source:
        source = project.volumes.get(source, source)
    return Mount(volume["type"], source, volume["target"], bool(volume.get("read_only")))


def tmpfs(entry: Mapping[str, Any]) -> tuple[Mount, ...]:
    """The short `tmpfs:` form: `path[:options]`."""
    given = entry.get("tmpfs") or []
    paths = [given] if isinstance(given, str) else given
    return tuple(Mount("tmpfs", "", path.split(":")[0]) for path in paths)


def ports(name: str, entry: Mapping[str, Any]) -> list[int]:
    """The container ports that a service exposes or publishes."""
    exposed = [port for text in entry.get("expose") or [] for port in span(name, str(text).split("/")[0])]
    return exposed + [int(port["target"]) for port in entry.get("ports") or []]


def span(service: str, text: str) -> range:
    """`8000` or `8000-8010` as a range of ports; Compose lets anything pass here."""
    found = re.fullmatch(r"(\d+)(?:-(\d+))?", text, re.ASCII)
    if not found:
        raise RemoraError(f"the compose file: services.{service}.expose: `{text}` is not a port, nor a range such as 8000-8100")
    return range(int(found[1]), int(found[2] or found[1]) + 1)


def words(command: object) -> tuple[str, ...] | None:
    """A command as the engine gets it: a string is split as a shell would, None stays None."""
    match command:
        case None:
            return None
        case str():
            return tuple(shlex.split(command))
        case list() | tuple():
            return tuple(str(word) for word in command)
    raise TypeError(f"not a command: {command!r}")
