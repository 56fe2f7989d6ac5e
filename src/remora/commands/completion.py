"""`remora completion`: click's own completion script."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from remora.cli import DONE
from remora.output import Output


def run(shell: str, cli: click.Command) -> int:
    found = get_completion_class(shell)
    assert found is not None, f"click knows no shell {shell}"
    Output().print(found(cli, {}, "remora", "_REMORA_COMPLETE").source())
    return DONE
