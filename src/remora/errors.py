"""The one error that a reader can do something about."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RemoraError(Exception):
    """Says where, what, and what there is or what to do, in one sentence; anything else that flies is our bug."""


class WrongUsage(RemoraError):
    """It is the command line itself that has to be written otherwise."""


def listed(names: Iterable[str]) -> str:
    """`names` as a sentence lists them: "`a`, `b`", or "none"."""
    return ", ".join(f"`{name}`" for name in sorted(names)) or "none"


def counted(number: int, thing: str) -> str:
    """`1 service`, `2 services`."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def choices(wrong: str, names: Iterable[str]) -> str:
    """What to say behind "no such thing": the likely meaning, else what there is."""
    names = list(names)
    near = difflib.get_close_matches(wrong, names, n=1, cutoff=0.75)
    return f"did you mean `{near[0]}`?" if near else f"there is {listed(names)}"
