"""What a kind of sidekick is: settings, and the containers that they ask for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from remora.core.ops import Sidekick
    from remora.core.sidekick import App, Context, Spec


class Unwoven(Exception):
    """A sidekick that cannot be had as asked: `setting` is the key to blame, "" for all of it."""

    def __init__(self, setting: str, words: str) -> None:
        super().__init__(words)
        self.setting = setting


class Failed(Unwoven):
    """A plug-in that raised, or gave what is no sidekick: nobody knows what it wants, so what is attached of it stays."""

    def __init__(self, words: str) -> None:
        super().__init__("kind", words)


class Kind(Protocol):
    """One kind of sidekick: a module under `sidekicks/`, or of a plug-in, with these five things."""

    NAME: str
    """What `kind:` says in the ops file."""

    SUMMARY: str
    """One sentence for `remora kinds`."""

    @property
    def Settings(self) -> type[Sidekick]:
        """Its settings in the ops file, each with a description."""

    def specs(self, name: str, settings: Any, apps: Sequence[App], context: Context) -> Iterable[Spec]:
        """The containers that the sidekick `name` wants beside `apps`. Pure; raises Unwoven."""

    def faults(self, settings: Any, apps: Sequence[App]) -> Iterable[str]:
        """What it cannot do for some of `apps`, though it does the rest: one sentence each."""
