"""The watcher without a command line, and with a patience of the test's own: `python watching.py OPS SOCKET PATIENCE`."""

from __future__ import annotations

import sys

from remora.daemon import Watch
from remora.engines.docker import Docker
from remora.engines.host import Host
from remora.output import Output
from remora.session import Asked, open_session


def watch(ops: str, url: str, patience: float = 120.0, resync: float = 30.0, share: float = 1 / 250) -> None:
    """Watch until somebody ends it."""
    engine = Docker(Host(url), greeting=max(patience, 1.0), patience=patience, lean=True)
    Watch(open_session(Asked(ops=ops, environment="prod", host=url), engine), Output(), resync, share=share).run()


if __name__ == "__main__":
    watch(sys.argv[1], sys.argv[2], *map(float, sys.argv[3:]))
