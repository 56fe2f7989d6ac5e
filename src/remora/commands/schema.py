"""`remora schema`: the JSON Schema of remora.yaml, for editors."""

from __future__ import annotations

from remora.cli import DONE
from remora.core.ops import schema
from remora.output import Output
from remora.sidekicks import settings


def run() -> int:
    Output().json(schema(settings()))
    return DONE
