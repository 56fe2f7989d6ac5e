"""Two successive worlds, and the lives of containers that began and ended between them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from remora.core.news import Hearing, Moment
from remora.core.units import sized
from remora.core.world import STACK, Container, World

KILLED = 137  # 128 + SIGKILL
ASKED_TO_END = 143  # 128 + SIGTERM


@dataclass(frozen=True)
class Look:
    """What one look shows beside the last one, and what is known beyond that."""

    before: World
    after: World
    moment: Moment
    heard: Hearing = field(default_factory=dict)  # the engine's events since `before`, by container id
    ended: Collection[str] = frozenset()  # ids of sidekicks that remora itself stopped, restarted or removed since `before`

    @cached_property
    def earlier(self) -> dict[str, Container]:
        return {container.id: container for container in self.before.containers}

    @cached_property
    def later(self) -> dict[str, Container]:
        return {container.id: container for container in self.after.containers}

    @property
    def changed(self) -> Iterator[tuple[Container | None, Container | None]]:
        """The containers that are not as they were, before and after."""
        for id in {**self.earlier, **self.later}:
            old, new = self.earlier.get(id), self.later.get(id)
            if old is not new:
                yield old, new

    def last(self, container: str) -> Container | None:
        """A container as it is, else as it was."""
        return self.later.get(container) or self.earlier.get(container)

    def proof(self, container: str, *actions: str) -> Mapping[str, Any] | None:
        """The engine's last event of that container with one of these names."""
        return next((each.inside for each in reversed(self.heard.get(container, ())) if each.action in actions), None)

    def told_to_end(self, container: str) -> bool:
        return any(each.asks_to_end for each in self.heard.get(container, ()))

    def is_app(self, container: Container) -> bool:
        mine = self.moment.stack in ("*", container.labels.get(STACK))
        return mine and self.after.is_app(container)

    def is_ours(self, container: Container) -> bool:
        """Whether it is a sidekick of this watcher's stack."""
        mine = container.labels.get("remora.stack") == self.moment.stack and STACK not in container.labels
        return mine and container.is_sidekick and container.is_by(self.after.engine)


@dataclass(frozen=True)
class Begin:
    """A life began; not the first one where it is `again`."""

    container: Container
    again: bool


@dataclass(frozen=True)
class End:
    """A life ended."""

    container: Container
    code: int | None  # None: nobody knows
    oom: bool  # there was no memory left
    told: bool  # somebody asked for it

    @property
    def well(self) -> bool:
        """Whether it was asked for, or it was done."""
        return not self.oom and (self.told or self.code in (0, ASKED_TO_END))

    @property
    def how(self) -> str:
        """In words, behind the name of what ended."""
        if self.oom:
            return f"ran out of memory{at(self.container.memory)} and was killed"
        if self.told:
            return "was stopped"
        return f"ended with exit code {self.code}" if self.code is not None else "ended"


def at(memory: int) -> str:
    """The cap that was reached, where there is one."""
    return f" at {sized(memory)}" if memory else ""


def begun(container: Container | None) -> bool:
    """Whether it ever ran: Compose makes containers under a name for the meantime, and starts them later."""
    return container is not None and container.state != "created"


def up(container: Container | None) -> bool:
    return container is not None and container.running


def same_life(old: Container | None, new: Container | None) -> bool:
    return old is not None and new is not None and old.started_at == new.started_at


def lives(look: Look, old: Container | None, new: Container | None) -> Iterator[Begin | End]:
    """What of its lives ended and began between two sights of one container, in order; of those in between, nobody knows."""
    same = same_life(old, new)
    if old and up(old) and not (same and up(new)):
        yield shown(look, new) if new and same else unseen(look, old, new)
    if new and begun(new) and not same:
        yield Begin(new, begun(old))
        if not up(new):
            yield shown(look, new)


def shown(look: Look, ended: Container) -> End:
    """The end of a life that the world shows. An engine that would start it again, and does not, was told so."""
    kept = ended.state == "exited" and ended.restart in ("always", "unless-stopped")
    oom = ended.oom_killed and ended.exit_code == KILLED
    return End(ended, ended.exit_code, oom, not oom and (kept or look.told_to_end(ended.id)))


def unseen(look: Look, old: Container, new: Container | None) -> End:
    """The end of a life that no world shows: events tell of it, and so does that the engine started the next one by itself."""
    code = exit_code(look, old.id)
    oom = code == KILLED and look.proof(old.id, "oom") is not None
    if oom or (new and new.restarts > old.restarts):
        return End(old, code, oom, told=False)
    forced = new is None and code == KILLED  # what is removed while it runs is killed first
    return End(old, code, oom, code is None or forced or look.told_to_end(old.id))


def exit_code(look: Look, container: str) -> int | None:
    """What the engine told of the first end that was heard of."""
    for each in look.heard.get(container, ()):
        if each.action == "die" and each.exit_code is not None:
            return each.exit_code
    return None
