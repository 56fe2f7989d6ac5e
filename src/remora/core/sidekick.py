"""What is wanted: app containers to attach to, and sidekick containers as they should be."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from remora.core.selector import Facts
from remora.core.world import NUMBER, SERVICE, STACK, Container, EngineFacts, Mount

SAME = "same"  # the user of a sidekick that is the app's, while only the app's image knows who that is


@dataclass(frozen=True)
class App:
    """An app container: one that there is, or one that Compose is about to make (then without an id)."""

    stack: str
    service: str
    replica: str
    name: str
    id: str = ""
    image: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    ports: frozenset[int] = frozenset()
    mounts: tuple[Mount, ...] = ()
    networks: tuple[str, ...] = ()
    user: str | None = None  # uid[:gid]; None while only the image knows
    log_driver: str = "json-file"
    running: bool = True
    depth: int = 0  # how many services, one behind the other, it depends on

    @property
    def facts(self) -> Facts:
        """What a selector looks at."""
        return Facts(self.stack, self.service, self.name, self.image, self.labels, self.env, self.ports)


def observed(container: Container) -> App:
    """The app in a container of the world; one that Compose did not start is its own service."""
    return App(
        stack=container.labels.get(STACK, ""),
        service=container.labels.get(SERVICE, container.name),
        replica=container.labels.get(NUMBER, "1"),
        name=container.name,
        id=container.id,
        image=container.image,
        labels=container.labels,
        env=container.env,
        ports=container.ports,
        mounts=container.mounts,
        networks=container.networks,
        user=container.user or "0",
        log_driver=container.log_driver,
        running=container.running or container.state == "restarting",
    )


@dataclass(frozen=True)
class Caps:
    """What a sidekick may use at most."""

    memory: int = 64 << 20  # bytes
    cpus: float = 0.5
    pids: int = 64


POLICIES = {"always": "unless-stopped", "on-failure": "on-failure", "no": "no"}  # the ops file's word → the engine's
NOT_ITSELF = ("why", "parent", "first", "depth", "give_up_after", "may_hold")  # what may change while it stays the same container


@dataclass(frozen=True)
class Spec:
    """A sidekick container as it should be. `host` and `parent` say beside whom; both empty: one for the whole stack."""

    name: str
    sidekick: str
    kind: str
    stack: str
    environment: str
    owner: str
    image: str
    recipe: str = ""  # the folder under remora/images that `image` is built from
    role: str = ""
    host: str = ""  # the app container's name
    parent: str = ""  # the app container's id
    entrypoint: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    env: tuple[tuple[str, str], ...] = ()
    mounts: tuple[Mount, ...] = ()
    tmpfs: tuple[str, ...] = ()
    secrets: tuple[tuple[str, str], ...] = ()  # file name under /run/secrets, reference
    walls: tuple[str, ...] = ()  # of network, processes, ipc: the namespaces shared with the host
    network: str = "none"  # its own network, where the network wall is closed
    may_hold: bool = False  # though its walls keep the app container from being removed, as on Podman
    user: str = ""
    caps: Caps = Caps()
    cap_add: tuple[str, ...] = ()
    sysctls: tuple[tuple[str, str], ...] = ()  # of its own namespaces
    read_only: bool = True
    init: bool = False  # a tiny init as process 1, which passes signals on
    stop_seconds: int = 10
    restart: str = "unless-stopped"  # the engine's restart policy: unless-stopped, on-failure, no
    give_up_after: int = 10  # ends soon after its start, in a row; 0: never
    first: int = 0  # attached first, detached last: log shippers before what they ship
    depth: int = 0  # of what its app container depends on
    why: str = field(default="", compare=False)  # the line of the ops file

    @property
    def digest(self) -> str:
        """A short hash of everything that makes it this container and no other."""
        facts = {key: value for key, value in vars(self).items() if key not in NOT_ITSELF}
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=vars).encode()).hexdigest()[:16]

    @property
    def labels(self) -> dict[str, str]:
        """Ownership, on the engine itself: there is no state file to lose."""
        return {
            "remora.stack": self.stack,
            "remora.sidekick": self.sidekick,
            "remora.kind": self.kind,
            "remora.role": self.role,
            "remora.parent": self.parent,
            "remora.environment": self.environment,
            "remora.ops": self.owner,
            "remora.spec": self.digest,
        }

    @property
    def shared(self) -> str:
        """The walls that are open, in words."""
        files = [f"files {'ro' if m.read_only else 'rw'} {m.target}" for m in self.mounts if not m.source.startswith("remora_")]
        own = () if self.network in ("none", "") or "network" in self.walls else (f"own network {self.network}",)
        return ", ".join((*self.walls, *files, *own)) or "none"


@dataclass(frozen=True)
class Context:
    """What a kind may know beside its own settings and the app containers."""

    stack: str
    environment: str
    owner: str
    engine: EngineFacts = EngineFacts()
    images: Mapping[str, str] = field(default_factory=dict)  # recipe → image reference, by the content of the recipe
    volumes: Mapping[str, str] = field(default_factory=dict)  # the compose file's names of volumes → the engine's
    why: str = ""  # the line of the ops file that asks for the sidekick
    restart: str = "always"  # as the ops file says
    give_up_after: int = 10
    caps: Caps = Caps()  # what its `limits` say, over the defaults

    def spec(self, sidekick: str, kind: str, app: App | None = None, role: str = "", **more: object) -> Spec:
        """A spec with its names and ownership filled in."""
        base = app.name if app else self.slug
        facts: dict[str, Any] = {
            "name": ".".join(part for part in (base, sidekick, role) if part),
            "sidekick": sidekick,
            "kind": kind,
            "stack": self.stack,
            "environment": self.environment,
            "owner": self.owner,
            "image": "",
            "role": role,
            "host": app.name if app else "",
            "parent": app.id if app else "",
            "why": self.why,
            "restart": POLICIES[self.restart],
            "give_up_after": self.give_up_after,
            "caps": self.caps,
            "depth": app.depth if app else 0,
        }
        return Spec(**facts | more)

    @property
    def slug(self) -> str:
        """The stack's name where only letters and digits may stand: `*` is the whole host."""
        return "host" if self.stack == "*" else self.stack

    def volume(self, sidekick: str) -> str:
        """The name of a sidekick's own volume."""
        return f"remora_{self.slug}_{sidekick}"
