"""The small HTTP server that shows the watcher to Prometheus and to probes: on a unix socket, or on an address.

It must never hurt the watcher: a visitor gets a few seconds, only so many at a time, and nothing to change.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import socket
import socketserver
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from remora.errors import WrongUsage
from remora.witness import Outlet, Pulse

AT_ONCE = 16  # visitors
PATIENCE = 5.0  # seconds that one of them gets, and between two tries to listen at all
BACKLOG = 16
TEXT = "text/plain; charset=utf-8"
METRICS = "text/plain; version=0.0.4; charset=utf-8"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Address:
    """Where to listen: a path, or a host and a port."""

    path: str = ""
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        if self.path:
            return f"unix://{self.path}"
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def public(self) -> bool:
        """Whether others than this host reach it."""
        if self.path or self.host == "localhost":
            return False
        try:
            return not ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return True


def parse(text: str) -> Address | None:
    """The address in `text`, None for `none`. Raises WrongUsage."""
    if text == "none":
        return None
    if text.startswith("unix:///"):
        return Address(path=text.removeprefix("unix://"))
    found = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):(\d+)", text, re.ASCII)
    if found and int(found[2]) < 65536:
        return Address(host=found[1].strip("[]"), port=int(found[2]))
    raise WrongUsage(f"--listen: `{text}` is no address; write unix:///PATH or ADDRESS:PORT, such as 127.0.0.1:9188, or none")


class Listener(Outlet):
    """Listens until it is closed. Where it cannot, that is said once, and tried again: a watcher that stands by takes over there, too."""

    def __init__(
        self, address: Address, page: Callable[[], bytes], pulse: Pulse, say: Say, again: float = PATIENCE, tick: float = 0.2
    ) -> None:
        self.address, self.page, self.pulse, self.say = address, page, pulse, say
        self.again, self.tick = again, tick
        self.ended = threading.Event()
        self.server: Unix | Tcp | None = None
        self.thread = threading.Thread(target=self.run, name="listener", daemon=True)

    def start(self) -> None:
        self.try_to_open()
        self.thread.start()

    def close(self) -> None:
        self.ended.set()
        if self.server:
            self.server.shutdown()
        self.thread.join(PATIENCE)

    def run(self) -> None:
        while not self.ended.is_set():
            if self.server or self.try_to_open():
                assert self.server
                with self.server:
                    self.server.serve_forever(self.tick)
                return
            self.ended.wait(self.again)

    def try_to_open(self) -> bool:
        """Open the socket; whether that went well."""
        try:
            self.server = (Unix if self.address.path else Tcp)(self.address, answering(self.page, self.pulse))
        except OSError as error:
            self.say(f"cannot listen on {self.address} ({error.strerror or error}); metrics and probes are to be had as soon as it can be")
            self.say = lambda _: None
            return False
        if self.address.public:
            self.say(f"metrics and probes are open to whoever reaches {self.address}")
        return True


class Server(socketserver.ThreadingMixIn):
    """What the two sorts of server share: a limit on visitors at a time."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = BACKLOG

    def limit(self) -> None:
        self.seats = threading.BoundedSemaphore(AT_ONCE)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self.seats.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)  # type: ignore[attr-defined]

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.seats.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A visitor who left early is none."""


class Unix(Server, socketserver.UnixStreamServer):
    """On a socket that only its owner may use."""

    def __init__(self, address: Address, handler: type[BaseHTTPRequestHandler]) -> None:
        self.limit()
        Path(address.path).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        free(address.path)
        super().__init__(address.path, handler)
        self.inode = Path(address.path).stat().st_ino

    def server_bind(self) -> None:
        os.fchmod(self.socket.fileno(), 0o600)  # what bind makes has the socket's mode
        super().server_bind()

    def server_close(self) -> None:
        super().server_close()
        path = Path(str(self.server_address))
        with suppress(OSError):
            if path.stat().st_ino == self.inode:
                path.unlink()


class Tcp(Server, socketserver.TCPServer):
    """On an address."""

    allow_reuse_address = True

    def __init__(self, address: Address, handler: type[BaseHTTPRequestHandler]) -> None:
        self.limit()
        if ":" in address.host:
            self.address_family = socket.AF_INET6
        super().__init__((address.host, address.port), handler)


def free(path: str) -> None:
    """Remove the socket that a watcher left behind which was killed; raises OSError for one that is in use."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.settimeout(PATIENCE)
            probe.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink(missing_ok=True)
        except FileNotFoundError:
            return
        else:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def answering(page: Callable[[], bytes], pulse: Pulse) -> type[BaseHTTPRequestHandler]:
    """A handler for one watcher's figures and pulse."""

    class Handler(BaseHTTPRequestHandler):
        timeout = PATIENCE

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                self.answer(200, page(), METRICS)
            elif path in ("/healthz", "/readyz"):
                why = pulse.sick() if path == "/healthz" else pulse.unready()
                self.answer(503 if why else 200, f"{why or 'ok'}\n".encode())
            else:
                self.answer(404, b"there is /metrics, /healthz and /readyz\n")

        do_HEAD = do_GET

        def answer(self, status: int, body: bytes, kind: str = TEXT) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def version_string(self) -> str:
            return "remora"

        def log_message(self, format: str, *args: Any) -> None:
            """Nobody wants to read of every visit."""

    return Handler
