"""GET over a unix socket, on connections that are kept: what a watcher of thousands of containers does thousands of times.

A general HTTP client takes longer over each answer than the engine does. This one knows what an engine's answer looks like: a head,
then a body of a given length or in chunks. What looks otherwise is a ValueError.
"""

from __future__ import annotations

import codecs
import json
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

PIECE = 1 << 16
LONGEST = 1 << 20  # bytes of a head, or of the line before a chunk


class Stale(Exception):
    """The engine closed a connection that was kept, before it answered."""


class Connection:
    """One connection, and one answer at a time."""

    def __init__(self, path: str, patience: float) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(patience)
        self.patience, self.end = patience, 0.0
        self.buffer = b""
        self.used = False
        try:
            self.socket.connect(path)
        except OSError:
            self.socket.close()
            raise

    def __del__(self) -> None:
        self.socket.close()

    def ask(self, path: str) -> tuple[int, dict[bytes, bytes]]:
        """Send the request; gives code and headers of the answer. Raises Stale where somebody else has to be asked."""
        self.end = time.monotonic() + self.patience
        try:
            self.socket.sendall(b"GET %s HTTP/1.1\r\nHost: docker\r\n\r\n" % path.encode())
            self.more()
        except (BrokenPipeError, ConnectionResetError):
            if self.used:
                raise Stale from None
            raise
        self.used = True
        if not b"HTTP/".startswith(self.buffer[:5]):
            raise ValueError("an answer that is not HTTP")
        head = self.until(b"\r\n\r\n").split(b"\r\n")
        pairs = (line.partition(b":") for line in head[1:])
        return int(head[0].split(b" ", 2)[1]), {name.lower(): value.strip() for name, _, value in pairs}

    def body(self, headers: dict[bytes, bytes]) -> Iterator[bytes]:
        """The content of the answer, piece by piece."""
        if b"content-length" in headers:
            yield from self.exactly(int(headers[b"content-length"]))
            return
        if headers.get(b"transfer-encoding") != b"chunked":
            raise ValueError("an answer without an end")
        while size := int(self.until(b"\r\n").partition(b";")[0], 16):
            yield from self.exactly(size)
            self.until(b"\r\n")
        self.until(b"\r\n")

    def until(self, end: bytes) -> bytes:
        """What comes before `end`, which is taken, too."""
        while end not in self.buffer:
            if len(self.buffer) > LONGEST:
                raise ValueError("an answer that is not HTTP")
            self.more()
        found, _, self.buffer = self.buffer.partition(end)
        return found

    def exactly(self, size: int) -> Iterator[bytes]:
        while size:
            if not self.buffer:
                self.more()
            piece, self.buffer = self.buffer[:size], self.buffer[size:]
            size -= len(piece)
            yield piece

    def more(self) -> None:
        left = self.end - time.monotonic()
        if left <= 0:  # an engine that trickles is no better than one that is silent
            raise TimeoutError
        self.socket.settimeout(left)
        piece = self.socket.recv(PIECE)
        if not piece:
            raise ConnectionResetError("it ended the connection")
        self.buffer += piece


class Wire:
    """The connections to one engine. Safe to use from several threads."""

    def __init__(self, path: str, patience: float) -> None:
        """`patience` is how many seconds an answer may take, all of it."""
        self.path, self.patience = path, patience
        self.idle: deque[Connection] = deque()
        self.told: Callable[[str], object] = str  # hears the Date of each answer

    def get(self, path: str) -> tuple[int, bytes]:
        """Code and content of an answer."""
        code, pieces = self.ask(path)
        return code, b"".join(pieces)

    def ask(self, path: str) -> tuple[int, Iterator[bytes]]:
        """Code and content of an answer, piece by piece; it has to be read to its end, or thrown away."""
        while True:
            connection = self.connection()
            try:
                code, headers = connection.ask(path)
            except Stale:
                connection.socket.close()
                continue
            except BaseException:
                connection.socket.close()
                raise
            self.told(headers.get(b"date", b"").decode())
            return code, self.content(connection, headers)

    def content(self, connection: Connection, headers: dict[bytes, bytes]) -> Iterator[bytes]:
        """The body; a connection is kept when its answer was read to the end."""
        whole = False
        try:
            yield from connection.body(headers)
            whole = headers.get(b"connection", b"").lower() != b"close" and not connection.buffer
        finally:
            if whole:
                self.idle.append(connection)
            else:
                connection.socket.close()

    def connection(self) -> Connection:
        with suppress(IndexError):
            return self.idle.pop()
        return Connection(self.path, self.patience)


def members(pieces: Iterable[bytes]) -> Iterator[Any]:
    """The objects in a JSON list that comes in pieces, one after the other: a long list is never there as a whole.

    Raises ValueError for what is no such list.
    """
    decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
    scan = json.JSONDecoder().raw_decode
    text, begun = "", False
    for piece in pieces:
        text += decode(piece)
        if not begun and not text.startswith("["):
            raise ValueError("not a list")
        at, begun = (0, True) if begun else (1, True)
        with suppress(ValueError):  # the rest of the object is in the next piece
            while True:
                while text[at : at + 1] in (",", " ", "\n"):
                    at += 1
                found, at = scan(text, at)
                yield found
        text = text[at:]
    if text.strip() != "]":
        raise ValueError("a list that breaks off")
