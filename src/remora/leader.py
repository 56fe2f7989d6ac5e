"""One watcher a host: who holds the lock watches, the others stand by.

The lock is a name in the kernel (an abstract unix socket), not a file: it goes when its holder does, however that ends. Nothing
would go wrong with two at work, for every action may be done twice; it is for peace and quiet.
"""

from __future__ import annotations

import hashlib
import socket

STAND_BY = 1.0  # seconds between two tries


class Leader:
    """The right to watch for one ops file on one engine."""

    def __init__(self, engine: str, owner: str) -> None:
        """`engine` is the engine's id, `owner` the ops file."""
        self.name = "\0remora-watch-" + hashlib.sha256(f"{engine}\0{owner}".encode()).hexdigest()[:32]
        self.socket: socket.socket | None = None

    def take(self) -> bool:
        """Whether we have it, now or already."""
        if self.socket:
            return True
        trying = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            trying.bind(self.name)
        except OSError:
            trying.close()
            return False
        self.socket = trying
        return True

    def leave(self) -> None:
        if self.socket:
            self.socket.close()
        self.socket = None
