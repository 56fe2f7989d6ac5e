"""`remora schema`: the JSON Schema of remora.yaml, for editors."""

from __future__ import annotations

from remora.cli import DONE
from remora.core.ops import schema
from remora.output import Output
from remora.plugins import CATALOGUE


def run() -> int:
    out = Output()
    kinds, faults = CATALOGUE.sound()
    out.json(schema({name: kind.Settings for name, kind in kinds.items()}))
    for fault in faults:
        out.warn(f"! {fault}")
    return DONE
