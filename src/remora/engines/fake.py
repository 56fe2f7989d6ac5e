"""An engine in memory: what the tests try every plan on, thousands of times, before a real engine sees it.

It keeps to what Docker does where plans depend on it: a restart gives a container new namespaces, who shares the old ones
stays behind in them, who shares the process space dies with it, and nobody can join a container that does not run.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from remora.core.engine import Engine, Say
from remora.core.event import OPENED
from remora.core.plan import Action, Attach, Detach, GiveUp, Prepare, Start, Stop, refuse_strangers
from remora.core.project import Project
from remora.core.sidekick import App, Spec
from remora.core.weave import predicted
from remora.core.world import MARK, NUMBER, SERVICE, SIGN, STACK, Container, EngineFacts, World, belongs, mark
from remora.errors import RemoraError

BEGINNING = datetime(2024, 1, 1, tzinfo=UTC)
KILLED = 137


@dataclass
class FakeEngine:
    """The `Engine` protocol over a dictionary, with hands for a test: Compose's (`up`, `scale`, …) and fate's (`fail`, `crash`)."""

    facts: EngineFacts = EngineFacts(host="fake", id="FAKE")
    images: dict[str, tuple[tuple[str, ...], Mapping[str, Any]]] = field(default_factory=dict)  # diff ids, runtime configuration
    files: dict[tuple[str, str], bytes] = field(default_factory=dict)  # container, path → content
    containers: dict[str, Container] = field(default_factory=dict)  # by id
    volumes: dict[str, dict[str, str]] = field(default_factory=dict)  # sidekicks' own volumes and their labels
    done: list[Action] = field(default_factory=list)  # every action performed, in order

    def __post_init__(self) -> None:
        self.ticks = 0
        self.ids: dict[str, str] = {}  # by name
        self.walls: dict[str, tuple[str, ...]] = {}  # sidekick → the namespaces it shares
        self.joined: dict[str, str] = {}  # sidekick → the life of its app whose namespaces it is in
        self.news: list[str] = []
        self.faults: list[str] = []  # of the next actions, "" for one that goes well
        self.lock = threading.RLock()

    # What every engine does.

    @property
    def id(self) -> str:
        return self.facts.id

    def observe(self, stack: str, known: World | None = None) -> World:
        with self.lock:
            found = tuple(self.containers.values())
        return World(self.facts, tuple(c for c in found if belongs(c.labels, stack)))

    def inspect(self, ids: Iterable[str]) -> Mapping[str, Container]:
        with self.lock:
            known = [self.ids.get(each, each) for each in ids]
            return {id: self.containers[id] for id in known if id in self.containers}

    def having(self, images: Iterable[str]) -> frozenset[str]:
        return frozenset(images) & self.images.keys()

    def taken(self, names: Iterable[str]) -> Mapping[str, str]:
        return {c.name: c.labels.get("remora.stack", "") for c in self.containers.values() if c.name in set(names)}

    def networks(self) -> frozenset[str]:
        return frozenset({"none", "host", "bridge"}.union(*(c.networks for c in self.containers.values())))

    def perform(self, action: Action, say: Say) -> None:
        with self.lock:
            if self.faults and (fault := self.faults.pop(0)):
                raise RemoraError(fault)
            match action:
                case Attach(spec):
                    self.attach(spec)
                case Detach(container):
                    self.forget_container(container)
                case Start(container, restart=policy):
                    found = self.known(container)
                    self.join(replace(found, restart=policy or found.restart))
                case Stop(container):
                    self.halt(self.known(container), 0)
                case GiveUp(container):
                    self.halt(replace(self.known(container), restart="no"), 0)
                case Prepare(image, recipe):
                    say(f"{'building' if recipe else 'pulling'} {image}")
                    self.images[image] = ((f"sha256:{image}",), {})
            self.done.append(action)

    def events(self) -> Iterator[str]:
        """What happened since somebody last listened; then the stream ends."""
        yield OPENED
        while self.news:
            yield self.news.pop(0)

    def read(self, container: str, path: str) -> bytes | None:
        return self.files.get((container, path))

    def image(self, image: str) -> tuple[tuple[str, ...] | None, Mapping[str, Any]]:
        return self.images.get(image, (None, {}))

    def memory(self, container: str) -> int | None:
        found = self.containers.get(container)
        return 8 << 20 if found and found.running else None

    def logs(self, container: str, follow: bool, tail: int | None) -> Iterator[bytes]:
        yield f"{self.known(container).name} speaking\n".encode()

    def sweep(self, stack: str, sidekicks: Collection[str]) -> None:
        pass  # an action is never broken off in the middle here

    def forget(self, stack: str, sidekicks: Iterable[str] | None = None) -> tuple[str, ...]:
        only = None if sidekicks is None else set(sidekicks)
        gone = [
            name
            for name, labels in self.volumes.items()
            if labels["remora.stack"] == stack and (only is None or labels["remora.volume"] in only)
        ]
        for name in gone:
            del self.volumes[name]
        return tuple(gone)

    # Compose's hands: what happens to app containers, of which remora knows nothing beforehand.

    def up(self, project: Project) -> None:
        """Make and start the containers of `project` that are not there."""
        for service in project.services.values():
            self.scale(project, service.name, max(service.replicas, len(self.replicas(service.name))))

    def scale(self, project: Project, service: str, count: int) -> None:
        """Have `count` containers of a service: the highest numbers go, as with Compose."""
        there = self.replicas(service)
        for number in sorted(there.keys() - set(range(1, count + 1))):
            self.remove(there[number].name)
        for number in sorted(set(range(1, count + 1)) - there.keys()):
            self.run(predicted(project, project.services[service], number))

    def run(self, app: App) -> Container:
        """Make and start one container, as Compose labels it."""
        labels = {**app.labels, STACK: app.stack, SERVICE: app.service, NUMBER: app.replica}
        mounts = tuple(m if m.source or m.type != "volume" else replace(m, source=self.new_id()) for m in app.mounts)
        return self.begin(
            Container(
                id=self.new_id(),
                name=app.name,
                image=app.image,
                labels=labels if app.stack else dict(app.labels),
                env=app.env,
                mounts=mounts,
                ports=app.ports,
                networks=app.networks,
                user=app.user or "0",
                log_driver=app.log_driver,
            )
        )

    def stop(self, name: str, exit_code: int = 0) -> None:
        """End a container; it stays there."""
        self.halt(self.named(name), exit_code)

    def start(self, name: str) -> None:
        """Start a container: a new life, with new namespaces."""
        self.begin(self.named(name))

    def restart(self, name: str) -> None:
        """One life ends, another begins, under one id."""
        self.stop(name)
        self.start(name)

    def recreate(self, name: str) -> None:
        """Another container of the same name: a new id."""
        old = self.named(name)
        self.remove(name)
        self.begin(replace(old, id=self.new_id()))

    def remove(self, name: str) -> None:
        """The container is gone."""
        self.forget_container(self.named(name).id)

    # Fate's hands.

    def fail(self, words: str = "the engine says: no", after: int = 0) -> None:
        """Let one action fail: the next, or the one `after` so many that go well."""
        self.faults = [""] * after + [words]

    def crash(self, name: str, exit_code: int = KILLED, oom: bool = False) -> None:
        """End a container, sidekick or app, by itself."""
        self.halt(replace(self.named(name), oom_killed=oom), exit_code)

    # What a test asks.

    def named(self, name: str) -> Container:
        """The container called `name`."""
        return self.containers[self.ids[name]]

    def replicas(self, service: str) -> dict[int, Container]:
        """The app containers of a service, by number."""
        found = [c for c in self.containers.values() if c.labels.get(SERVICE) == service and not c.is_sidekick]
        return {int(c.labels[NUMBER]): c for c in found}

    def in_place(self, sidekick: Container) -> bool:
        """Whether a sidekick that shares namespaces is in those that its app has now."""
        parent = self.containers.get(sidekick.labels.get("remora.parent", ""))
        life = self.joined.get(sidekick.id)
        return life is None or (parent is not None and parent.running and life == parent.started_at)

    # How it is done.

    def attach(self, spec: Spec) -> None:
        """Create and start; nothing is left of one that cannot start."""
        twin = self.containers.get(self.ids.get(spec.name, ""))
        if twin and twin.labels.get("remora.stack") == spec.stack:
            return
        if twin:
            refuse_strangers([spec], self.taken([spec.name]))
        if spec.image not in self.images:
            raise RemoraError(f"the engine says: no such image: {spec.image}")
        container = Container(
            id=self.new_id(),
            name=spec.name,
            image=spec.image,
            labels={**spec.labels, MARK: mark(self.facts.id, spec.name, spec.labels)},
            env={**dict(spec.env), SIGN: mark(self.facts.id, spec.name, spec.labels)},
            state="created",
            mounts=spec.mounts,
            networks=() if spec.network in ("", "none") else (spec.network,),
            user=spec.user,
            memory=spec.caps.memory,
            restart=spec.restart,
        )
        self.walls[container.id] = spec.walls
        self.join(container)
        own = {"remora.stack": spec.stack, "remora.volume": spec.sidekick, "remora.ops": spec.owner}
        self.volumes |= {mount.source: own for mount in spec.mounts if mount.source.startswith("remora_")}

    def join(self, sidekick: Container) -> None:
        """Start a sidekick in the namespaces that its app has now."""
        if self.walls.get(sidekick.id):
            parent = self.containers.get(sidekick.labels["remora.parent"])
            if parent is None or not parent.running:
                raise RemoraError(f"the engine says: cannot join the namespaces of a container that does not run: {sidekick.name}")
            self.joined[sidekick.id] = parent.started_at
        self.begin(sidekick)

    def begin(self, container: Container) -> Container:
        self.ticks += 1
        now = (BEGINNING + timedelta(seconds=self.ticks)).strftime("%Y-%m-%dT%H:%M:%SZ")
        started = replace(container, state="running", started_at=now, exit_code=0, oom_killed=False)
        self.containers[container.id] = started
        self.ids[container.name] = container.id
        self.tell("start", started)
        return started

    def halt(self, container: Container, exit_code: int) -> None:
        """End a container, and with it who shares its process space."""
        self.containers[container.id] = replace(container, state="exited", exit_code=exit_code)
        self.tell("die", container)
        self.end_with(container.id)

    def end_with(self, parent: str) -> None:
        for other in [self.containers[each] for each in self.walls if each in self.containers]:
            shares = "processes" in self.walls.get(other.id, ()) and other.labels["remora.parent"] == parent
            if shares and other.running:
                self.halt(other, KILLED)

    def forget_container(self, container: str) -> None:
        """Stop and remove; one that is gone already is no harm."""
        found = self.containers.pop(container, None)
        self.joined.pop(container, None)
        self.walls.pop(container, None)
        if found:
            self.ids.pop(found.name, None)
            self.tell("destroy", found)
            self.end_with(container)

    def tell(self, action: str, container: Container) -> None:
        """An event as Docker writes it."""
        attributes = {**container.labels, "name": container.name, "image": container.image}
        self.news.append(json.dumps({"Type": "container", "Action": action, "Actor": {"ID": container.id, "Attributes": attributes}}))

    def known(self, container: str) -> Container:
        if container not in self.containers:
            raise RemoraError(f"the engine says: no such container: {container}")
        return self.containers[container]

    def new_id(self) -> str:
        self.ticks += 1
        return f"{self.ticks:064x}"


if TYPE_CHECKING:
    promise: type[Engine] = FakeEngine
