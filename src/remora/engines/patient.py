"""Answers that have to be there in time, all of them: an engine that trickles a byte a second is no better than one that is silent.

The client's own patience counts anew with each piece that comes. Here the sockets of a client look at the end of the call that they are
used for, which belongs to the thread that makes the call. Not those of tcp://: there it is as it was.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from docker.transport.unixconn import UnixHTTPAdapter, UnixHTTPConnection, UnixHTTPConnectionPool

NOW = threading.local()


@contextmanager
def within(seconds: float | None) -> Iterator[None]:
    """What is read inside has to come within so many seconds, in all; None for what may take as long as it goes on."""
    NOW.end = None if seconds is None else time.monotonic() + seconds
    try:
        yield
    finally:
        NOW.end = None


class Socket(socket.socket):
    """One that looks at the clock whenever it waits."""

    def recv_into(self, *given: Any) -> int:
        end = getattr(NOW, "end", None)
        if end is None:
            return super().recv_into(*given)
        usual = self.gettimeout()
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError("nothing came in time")
        try:
            self.settimeout(left)
            return super().recv_into(*given)
        finally:
            self.settimeout(usual)


class Connection(UnixHTTPConnection):  # type: ignore[misc]
    def connect(self) -> None:
        super().connect()
        self.sock: socket.socket = adopted(self.sock)


def adopted(plain: socket.socket) -> Socket:
    """The same socket, as one that looks at the clock."""
    usual = plain.gettimeout()
    made = Socket(fileno=plain.detach())
    made.settimeout(usual)
    return made


class Pool(UnixHTTPConnectionPool):  # type: ignore[misc]
    def _new_conn(self) -> Connection:
        return Connection(self.base_url, self.socket_path, self.timeout)


class Adapter(UnixHTTPAdapter):  # type: ignore[misc]
    """The client's way to a unix socket."""

    def get_connection(self, url: str, proxies: Any = None) -> Pool:
        with self.pools.lock:
            if not self.pools.get(url):
                self.pools[url] = Pool(url, self.socket_path, self.timeout, maxsize=self.max_pool_size)
            found: Pool = self.pools[url]
            return found
