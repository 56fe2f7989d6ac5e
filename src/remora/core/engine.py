"""What remora asks of an engine: to look, to do, and to nudge."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Protocol

from remora.core.plan import Action
from remora.core.world import Container, World

Say = Callable[[str], None]


class Engine(Protocol):
    """One engine. What it cannot do for a reason that the reader can mend is a RemoraError."""

    @property
    def id(self) -> str:
        """The engine's own name, which it keeps."""

    def observe(self, stack: str, known: World | None = None) -> World:
        """The app containers and sidekicks of `stack`; `*` is every container. What is as in `known` need not be inspected again."""

    def inspect(self, ids: Iterable[str]) -> Mapping[str, Container]:
        """Those of these containers that there are, by id; names are taken, too."""

    def having(self, images: Iterable[str]) -> frozenset[str]:
        """Those of `images` that are on the engine."""

    def taken(self, names: Iterable[str]) -> Mapping[str, str]:
        """Those of `names` that a container has, each with the stack whose sidekick it is, "" for any other container."""

    def networks(self) -> frozenset[str]:
        """The names and ids of the networks there are."""

    def perform(self, action: Action, say: Say) -> None:
        """Do one action; doing it twice does no harm, and one that fails leaves nothing half-done. `say` hears of progress."""

    def events(self) -> Iterator[str]:
        """OPENED when the stream is open, then a line (see `event.parse`) whenever a container changes; ends when the stream does."""

    def read(self, container: str, path: str) -> bytes | None:
        """The content of a file in a container, None where there is none."""

    def image(self, image: str) -> tuple[tuple[str, ...] | None, Mapping[str, Any]]:
        """Diff ids and runtime configuration of an image; (None, {}) where there is none."""

    def memory(self, container: str) -> int | None:
        """Bytes that a container uses now; None when it does not run."""

    def logs(self, container: str, follow: bool, tail: int | None) -> Iterator[bytes]:
        """What a container printed, piece by piece."""

    def sweep(self, stack: str, sidekicks: Collection[str]) -> None:
        """Remove what actions for `stack` left when they were broken off: secrets on their way, and those of none of `sidekicks`."""

    def forget(self, stack: str, sidekicks: Iterable[str] | None = None) -> tuple[str, ...]:
        """Remove the own volumes of the sidekicks of `stack`, of all when None; gives their names."""
