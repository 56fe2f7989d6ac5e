"""What is told of the watcher to the outside: the loop tells a Witness what it sees and does, and waits for nothing."""

from __future__ import annotations

from collections.abc import Sequence

from remora.core.plan import Action
from remora.core.weave import Woven
from remora.core.world import World
from remora.errors import RemoraError


class Witness:
    """Hears of everything that the watcher sees and does. One that nobody configured tells nobody. Safe to use from several threads."""

    def event(self, raw: str) -> None:
        """The engine told of something: a line of its stream."""

    def looked(self, before: World, after: World, woven: Woven, actions: Sequence[Action], seconds: float, resync: bool) -> None:
        """A look is over, and took so long: what was there, what is there now, what is wanted, and what will be done."""

    def performed(self, action: Action, error: RemoraError | None, seconds: float) -> None:
        """An action was done, or failed."""

    def gave_up(self, sidekick: str, container: str, words: str) -> None:
        """A sidekick failed too often, and is not started again; `container` is its id."""

    def lost(self, reason: str) -> None:
        """The engine does not answer, or its stream ended. May be said again and again until `reconnected`."""

    def reconnected(self, reason: str) -> None:
        """The stream is open again, after it ended for that reason."""

    def reloaded(self, error: RemoraError | None) -> None:
        """The ops file changed, and is in force, or was refused."""

    def ready(self) -> None:
        """The first look is done."""

    def close(self) -> None:
        """The watcher ends: what was heard is told before this returns."""
