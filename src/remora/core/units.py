"""Sizes and times as people write them."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

FACTORS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def size(value: object) -> int:
    """Bytes in `value`: an int, or text such as `64m`, `1g`, `1.5GiB` (powers of 1024, as Docker reads them).

    Raises ValueError for anything else.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    if not isinstance(value, (str, int, float)) or isinstance(value, bool):
        raise ValueError("must be a size, like 64m or 1g")
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", value.lower(), re.ASCII) if isinstance(value, str) else None
    if not found or not float(found[1]):
        raise ValueError(f"`{value}` is not a size; write it like 64m or 1g")
    return int(float(found[1]) * FACTORS[found[2]])


def duration(value: object) -> int:
    """Whole seconds in `value`: an int, or text such as `30s`, `5m`, `1h`, `1h30m`, `2d`.

    Raises ValueError for anything else.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if not isinstance(value, (str, int, float)) or isinstance(value, bool):
        raise ValueError("must be a time, like 30s, 5m or 1h30m")
    if not isinstance(value, str) or not re.fullmatch(r"([0-9]+[smhd])+", value):
        raise ValueError(f"`{value}` is not a time; write it like 30s, 5m or 1h30m")
    return sum(int(count) * SECONDS[unit] for count, unit in re.findall(r"(\d+)([smhd])", value))


def sized(count: int) -> str:
    """`count` bytes for people: `64 MiB`."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if amount >= 10 or unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


WRITTEN_SIZE = {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": r"^\d+(\.\d+)?\s*[kKmMgGtT]?([iI]?[bB])?$"}]}
WRITTEN_TIME = {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": r"^(\d+[smhd])+$"}]}

Size = Annotated[int, BeforeValidator(size), WithJsonSchema(WRITTEN_SIZE)]
Duration = Annotated[int, BeforeValidator(duration), WithJsonSchema(WRITTEN_TIME)]
