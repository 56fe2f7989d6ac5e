"""What a watcher remembers of sidekicks beyond what the engine shows: which life of its app each one joined, and how often it failed.

Nothing depends on it that would be wrong without it: after a restart of the watcher the engine's own times decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from remora.core.uptime import seconds
from remora.core.world import Container, World

SHORT = 60.0  # seconds: a life that is over sooner counts as a failure in a row


@dataclass(frozen=True)
class Lives:
    """One sidekick as it was last seen."""

    started_at: str
    parent_started_at: str  # of its app container, when this life of the sidekick was first seen
    restarts: int = 0
    streak: int = 0  # how many of its lives in a row were short


@dataclass(frozen=True)
class History:
    """By container id."""

    lives: Mapping[str, Lives] = field(default_factory=dict)

    def noted(self, world: World, among: Iterable[Container]) -> History:
        """With what `world` shows of the sidekicks `among` it; those that are not there any more are forgotten where all were named."""
        apps = {c.id: c for c in world.apps}
        return History({**self.lives, **{c.id: life(self.lives.get(c.id), c, apps) for c in among}})

    def kept(self, ids: Iterable[str]) -> History:
        """Only of these containers."""
        return History({id: self.lives[id] for id in ids if id in self.lives})

    def left_behind(self, sidekick: Container, parent: Container) -> bool:
        """Whether the app container began a new life after the sidekick joined it, whatever the engine's clock did meanwhile."""
        known = self.lives.get(sidekick.id)
        return known is not None and known.started_at == sidekick.started_at and known.parent_started_at != parent.started_at

    def streak(self, sidekick: Container) -> int:
        """How often in a row it ended soon after it began."""
        known = self.lives.get(sidekick.id)
        return known.streak if known else 0


def life(before: Lives | None, now: Container, apps: Mapping[str, Container]) -> Lives:
    """A sidekick's entry, from the one before and from what the engine shows."""
    parent = apps.get(now.labels.get("remora.parent", ""))
    joined = parent.started_at if parent else ""
    if before is None:
        return Lives(now.started_at, joined, now.restarts)
    if before.started_at == now.started_at:
        joined = before.parent_started_at or joined
    more = now.restarts - before.restarts
    if more < 0:  # somebody started it by hand
        return Lives(now.started_at, joined, now.restarts)
    lived = seconds(now.finished_at) - seconds(before.started_at)
    streak = before.streak if not more else more + (before.streak if lived < SHORT else 0)
    return Lives(now.started_at, joined, now.restarts, streak)
