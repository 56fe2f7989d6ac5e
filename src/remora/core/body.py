"""Bodies of requests, read strictly: each key once, in its exact spelling, and every value as it must be.

Go reads JSON keys in any case, and of a key that stands there twice the last. So only what is understood here in one way is handed on, and
that is not what came but what was understood, written anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn


class Refused(Exception):
    """The guard does not let it through; says why."""


# ---- text to values ----


def decoded(body: bytes) -> Any:
    """The JSON in `body`. Raises Refused where another reader could read something else in it."""
    try:
        found = json.loads(body.decode(), object_pairs_hook=once, parse_constant=no_number)
        json.dumps(found, ensure_ascii=False).encode()  # half of a surrogate pair is no text
    except (ValueError, RecursionError):
        raise Refused("the body is not JSON") from None
    return found


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, each of whose keys stands there once."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Refused(f"{next(key for key, _ in pairs if sum(other == key for other, _ in pairs) > 1)}: the key stands there twice")
    return found


def no_number(text: str) -> NoReturn:
    raise Refused(f"{text}: no number of JSON")


# ---- what a value must be ----

Check = Callable[[Any, str], None]


def only(*values: object) -> Check:
    """One of `values`."""

    def check(value: Any, where: str) -> None:
        if not any(type(value) is type(one) and value == one for one in values):
            raise Refused(f"{where}: must be {' or '.join(json.dumps(one) for one in values)}")

    return check


def text(pattern: str, words: str) -> Check:
    """Text that `pattern` matches as a whole; `words` say what that is."""

    def check(value: Any, where: str) -> None:
        if not isinstance(value, str) or not re.fullmatch(pattern, value, re.ASCII):
            raise Refused(f"{where}: must be {words}")

    return check


def number(least: int, most: int) -> Check:
    def check(value: Any, where: str) -> None:
        if type(value) is not int or not least <= value <= most:
            raise Refused(f"{where}: must be a number from {least} to {most}")

    return check


def flag(value: Any, where: str) -> None:
    if type(value) is not bool:
        raise Refused(f"{where}: must be true or false")


def each(check: Check, nothing: bool = False) -> Check:
    """A list whose every value passes; null, too, where `nothing` says so."""

    def checks(value: Any, where: str) -> None:
        if value is None and nothing:
            return
        if not isinstance(value, list):
            raise Refused(f"{where}: must be a list")
        for one in value:
            check(one, where)

    return checks


def table(key: str, words: str, check: Check) -> Check:
    """An object whose keys match `key`, which `words` tell, and whose every value passes."""

    def checks(value: Any, where: str) -> None:
        for name, one in entries(value, where):
            if not re.fullmatch(key, name, re.ASCII):
                raise Refused(f"{where}.{name}: only {words} is let through")
            check(one, f"{where}.{name}")

    return checks


def fields(checks: Mapping[str, Check], needed: Iterable[str] = ()) -> Check:
    """An object with these fields and no others."""

    def check(value: Any, where: str) -> None:
        inside = f"{where}." if where else ""
        for name, one in entries(value, where):
            if name not in checks:
                raise Refused(f"{inside}{name}: remora never sets it")
            checks[name](one, f"{inside}{name}")
        for name in needed:
            if name not in value:
                raise Refused(f"{inside}{name}: is missing, and remora always sets it")

    return check


def entries(value: Any, where: str) -> Iterable[tuple[str, Any]]:
    if not isinstance(value, dict):
        raise Refused(f"{where or 'the body'}: must be an object")
    return value.items()
