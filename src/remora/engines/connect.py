"""From an engine's address to the engine that answers there: Docker or Podman."""

from __future__ import annotations

from remora.engines.docker import PATIENCE, Docker
from remora.engines.greeting import GREETING, greet
from remora.engines.host import Host
from remora.engines.podman import Podman, is_podman


def connect(host: Host, greeting: float = GREETING, patience: float = PATIENCE, lean: bool = False) -> Docker:
    """The engine at `host`. Raises RemoraError where none answers in time, where we may not, and where it is too old.

    With `lean`, containers come without their whole inspection, which parity alone needs.
    """
    told = greet(host, greeting)
    kind = Podman if is_podman(told) else Docker
    return kind(host, patience=patience, lean=lean, told=told)
