"""As much HTTP as the engine's socket needs. The standard library's client costs five megabytes."""

from __future__ import annotations

import json
import socket
from typing import Any


class Refused(Exception):
    """The engine answered with an error."""

    def __init__(self, words: str, status: int = 0) -> None:
        super().__init__(words)
        self.status = status


class Response:
    """An answer that is still coming: fed with what the socket gives, it hands on the body."""

    def __init__(self, path: str, method: str, seconds: float = 10.0) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(seconds)
        self.socket.connect(path)
        self.socket.sendall(f"{method} HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n\r\n".encode())
        self.buffer = b""
        self.ended = False
        self.complete = False  # ended, and not because the connection broke
        self.head()

    def head(self) -> None:
        while b"\r\n\r\n" not in self.buffer:
            self.more()
            if self.ended:
                raise Refused("the engine hung up")
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        first, *fields = head.decode().split("\r\n")
        headers = {key.lower(): value.strip() for key, _, value in (field.partition(":") for field in fields)}
        self.status = int(first.split()[1])
        self.chunked = headers.get("transfer-encoding") == "chunked"
        if self.status >= 400:
            raise Refused(f"the engine answers {self.status}: {self.rest()[:200].decode(errors='replace')}", self.status)

    def more(self) -> None:
        data = self.socket.recv(65536)
        self.ended = self.ended or not data
        self.buffer += data

    def body(self) -> bytes:
        """What has come of the body and was not handed on yet."""
        if not self.chunked:
            found, self.buffer = self.buffer, b""
            return found
        out, offset = [], 0
        while (end := self.buffer.find(b"\r\n", offset)) >= 0:
            size = int(self.buffer[offset:end].split(b";")[0], 16)
            if len(self.buffer) < end + size + 4:
                break
            out.append(self.buffer[end + 2 : end + 2 + size])
            offset = end + size + 4
            if not size:
                self.ended = self.complete = True
        self.buffer = self.buffer[offset:]
        return b"".join(out)

    def rest(self) -> bytes:
        """The body to its end."""
        out = [self.body()]
        while not self.ended:
            self.more()
            out.append(self.body())
        return b"".join(out)

    def close(self) -> None:
        self.socket.close()


def ask(path: str, what: str) -> Any:
    """A GET that answers with JSON."""
    response = Response(path, f"GET {what}")
    try:
        return json.loads(response.rest())
    finally:
        response.close()
