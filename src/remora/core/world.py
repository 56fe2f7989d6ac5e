"""The world: what the engine shows right now."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

STACK = "com.docker.compose.project"
SERVICE = "com.docker.compose.service"
NUMBER = "com.docker.compose.container-number"
HASH = "com.docker.compose.config-hash"
NEEDS = "com.docker.compose.depends_on"
ONE_OFF = "com.docker.compose.oneoff"
OURS = "remora."  # what the labels begin with that are remora's own
MARK = "remora.mark"
SIGN = "REMORA_MARK"  # the variable that says the same as the label: who copies labels copies no env


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
    id: str = ""  # the engine's own
    socket: str = "/var/run/docker.sock"  # where its socket lies, on its host

    @property
    def containers(self) -> str:
        """The folder of the engine's own log files, on its host."""
        return f"{self.root}/containers"


def belongs(labels: Mapping[str, str], stack: str) -> bool:
    """Whether the container with these labels is of `stack`, or was attached to it; `*` is every container."""
    return stack in ("*", labels.get(STACK), labels.get("remora.stack"))


def mark(engine: str, name: str, labels: Mapping[str, str]) -> str:
    """A checksum of the labels by which remora knows its own, over the engine and the name that they were given on.

    It stands in a label and in a variable. Whoever may start containers could compute it, but is root on the host anyway. It tells
    labels that were copied, or made up by somebody who does not know better, from those of remora.
    """
    ours = sorted((key, value) for key, value in labels.items() if key.startswith(OURS) and key != MARK)
    return hashlib.sha256(json.dumps([engine, name, ours]).encode()).hexdigest()[:16]


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
    health: str = ""  # starting, healthy, unhealthy; "" without a health check
    restart: str = "no"  # the engine's restart policy
    mounts: tuple[Mount, ...] = ()
    ports: frozenset[int] = frozenset()
    networks: tuple[str, ...] = ()
    joins: tuple[str, ...] = ()  # ids of the containers whose namespaces it shares
    user: str = ""  # uid[:gid] where known, else as the image names it
    log_driver: str = "json-file"
    memory: int = 0  # the cap in bytes, 0 for none
    config: Mapping[str, object] = field(default_factory=dict, hash=False)  # the inspection itself, for parity

    @property
    def running(self) -> bool:
        return self.state in ("running", "paused")

    @property
    def is_sidekick(self) -> bool:
        """Whether it says so: one of ours, of another remora, or of somebody who copied labels."""
        return "remora.sidekick" in self.labels

    @property
    def claims(self) -> tuple[str, ...]:
        """Its labels that are remora's own: nothing that has one is an app container."""
        return tuple(sorted(key for key in self.labels if key.startswith(OURS)))

    @property
    def is_one_off(self) -> bool:
        """Whether `docker compose run` started it."""
        return self.labels.get(ONE_OFF, "False") == "True"

    @property
    def hosts(self) -> tuple[str, ...]:
        """The app container that a sidekick is beside: its id as the sidekick names it, and its name."""
        parent, role = self.labels.get("remora.parent"), self.labels.get("remora.role")
        if not parent:
            return ()
        base = self.name.removesuffix(f".{role}" if role else "").removesuffix(f".{self.labels.get('remora.sidekick')}")
        return (parent, base)

    def is_by(self, engine: EngineFacts) -> bool:
        """Whether remora made it on this engine: labels that stand on another container than theirs do not count."""
        said = self.labels.get(MARK)
        return said is not None and said == self.env.get(SIGN) == mark(engine.id, self.name, self.labels)


@dataclass(frozen=True)
class World:
    """The containers of a stack and its sidekicks."""

    engine: EngineFacts = EngineFacts()
    containers: tuple[Container, ...] = ()
    listed: float = field(default=0.0, compare=False)  # when all of them were last listed: the engine's clock, seconds since 1970

    @cached_property
    def by_id(self) -> Mapping[str, Container]:
        return {container.id: container for container in self.containers}

    @cached_property
    def beside(self) -> Mapping[str, frozenset[str]]:
        """The ids of the sidekicks beside each app container, by its id as they name it, and by its name."""
        found: dict[str, set[str]] = {}
        for container in self.containers:
            for host in container.hosts:
                found.setdefault(host, set()).add(container.id)
        return {host: frozenset(ids) for host, ids in found.items()}

    def renewed(self, gone: Collection[str], new: Sequence[Container]) -> World:
        """The world with containers `new`, without those whose ids are `gone`. What is known of the others is carried along."""
        old = [self.by_id[each] for each in gone if each in self.by_id]
        by_id = {**self.by_id, **{each.id: each for each in new}}
        for id in {each.id for each in old} - {each.id for each in new}:
            del by_id[id]
        beside = dict(self.beside)
        for container in old:
            for host in container.hosts:
                beside[host] -= {container.id}
                if not beside[host]:
                    del beside[host]
        for container in new:
            for host in container.hosts:
                beside[host] = beside.get(host, frozenset()) | {container.id}
        made = replace(self, containers=tuple(by_id.values()))
        vars(made).update(by_id=by_id, beside=beside)
        return made

    @property
    def apps(self) -> tuple[Container, ...]:
        """The app containers: never a sidekick, never what a sidekick started, never a one-off `compose run`."""
        return tuple(c for c in self.containers if self.is_app(c))

    def is_app(self, container: Container) -> bool:
        return not container.claims and not container.is_one_off and (not container.joins or not self.helps(container))

    def helps(self, container: Container, above: tuple[str, ...] = ()) -> str:
        """The name of the sidekick whose namespaces it shares, by way of another one too: it is a helper. "" for one that is none.

        Where it joined a container that is gone, nobody can tell, and its id stands for the name; that Compose started it settles it.
        """
        for each in container.joins:
            other = self.by_id.get(each)
            if other is None and STACK not in container.labels:
                return each[:12]
            if other is None or each in above:
                continue
            if other.claims:
                return other.name
            if found := self.helps(other, (*above, container.id)):
                return found
        return ""

    def sidekicks(self, stack: str) -> tuple[Container, ...]:
        """What remora attached to `stack`; a sidekick out of an overlay file is Compose's."""
        return tuple(c for c in self.claiming(stack) if c.is_by(self.engine))

    def strangers(self, stack: str) -> tuple[Container, ...]:
        """What carries labels of remora's own and is nothing that remora made, among the containers of `stack`."""
        known = ("remora.carrier", "remora.helper")
        return tuple(
            c
            for c in self.containers
            if c.claims
            and not c.is_by(self.engine)
            and not any(each in c.labels for each in known)
            and not (STACK in c.labels and c.is_sidekick)
            and belongs(c.labels, stack)
        )

    def claiming(self, stack: str) -> tuple[Container, ...]:
        return tuple(c for c in self.containers if c.labels.get("remora.stack") == stack and STACK not in c.labels)
