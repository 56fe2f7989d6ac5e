"""The catalogue: one module per kind of sidekick, each pure."""

from __future__ import annotations

from remora.core.kind import Kind
from remora.core.ops import Sidekick
from remora.sidekicks import container, logs

KINDS: dict[str, Kind] = {
    "container": container,
    "logs": logs,
}


def settings() -> dict[str, type[Sidekick]]:
    """Each kind's settings, as the ops file's reader wants them."""
    return {name: kind.Settings for name, kind in KINDS.items()}
