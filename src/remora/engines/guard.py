"""The guard's sockets: one that it listens on, and the engine's behind it.

A thread for each client, and a connection of its own to the engine for each call, so that no call can be mistaken for a part of another.
HTTP is h11's: what a client sends is taken apart by it and what the engine gets is put together by it, and no byte goes through unread.
Nothing that flows is held back: events, logs, builds and images go on piece by piece, and end when either side does.
"""

from __future__ import annotations

import errno
import grp
import json
import os
import select
import socket
import stat
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self

import h11

from remora.core.admission import Absent, Network, Policy, Seen, Volume
from remora.core.body import Refused
from remora.core.guard import Call, appetite, judge, message, refusal
from remora.core.selector import MODES, variables
from remora.core.world import SIGN
from remora.engines import recipes
from remora.errors import RemoraError

CLIENTS = 256  # at once
PIECE = 1 << 16
HEAD = 1 << 18  # bytes of request line and headers
PASSED = (b"x-registry-auth", b"x-registry-config")
OUR_OWN = (b"connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"trailer")  # headers of one connection, not of an answer
LEARNT = 10.0  # seconds for which what the engine is stays known


REASONS = {each.value: each.phrase for each in HTTPStatus}
LEFT_OVER = 1 << 23  # bytes of a refused request that are still read
FOR_NOW = (errno.EMFILE, errno.ENFILE, errno.ECONNABORTED, errno.EINTR, errno.ENOMEM)  # what hinders one client, not the next


@dataclass(frozen=True)
class Patience:
    """How many seconds the guard waits for whom."""

    idle: float = 120.0  # for a client's next request
    request: float = 20.0  # for all of a request, once it began
    answer: float = 60.0  # for a client to take the next piece
    engine: float = 30.0  # for the engine, when the guard itself asks
    linger: float = 2.0  # for a client that was not understood to have its say


class Gone(Exception):
    """The client left, or says nothing."""


class Instead(Exception):
    """What a client is told instead of the engine's answer."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status, self.words = status, words


class Line:
    """One HTTP connection."""

    def __init__(self, connection: socket.socket, role: type[h11.CLIENT] | type[h11.SERVER], stall: float) -> None:
        """`stall` is for how many seconds the other end may take nothing that we send."""
        self.socket, self.stall = connection, stall
        self.http = h11.Connection(role, max_incomplete_event_size=HEAD)
        self.sake: socket.socket | None = None  # for whom we listen: when that one hangs up, there is no use in it

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def receive(self, until: float | None = None) -> Any:
        """What comes next; `until` is when at the latest. Raises TimeoutError and h11.RemoteProtocolError."""
        while (event := self.http.next_event()) is h11.NEED_DATA:
            if self.http.they_are_waiting_for_100_continue:
                self.send(h11.InformationalResponse(status_code=100, headers=[]))
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                raise TimeoutError
            self.socket.settimeout(left)
            if self.sake:
                self.await_both(self.sake)
            self.http.receive_data(self.socket.recv(PIECE))
        return event

    def await_both(self, sake: socket.socket) -> None:
        """Wait until something came here. Raises Gone when the one that it is for hangs up."""
        both = select.poll()
        both.register(self.socket, select.POLLIN)
        both.register(sake, select.POLLRDHUP)
        if sake.fileno() in dict(both.poll()):
            raise Gone

    def send(self, *events: Any) -> None:
        self.socket.settimeout(self.stall)
        if data := b"".join(self.http.send(event) or b"" for event in events):
            self.socket.sendall(data)


def reach(path: str, stall: float) -> Line:
    """A new connection to the engine. Raises OSError."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(stall)
    try:
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    return Line(connection, h11.CLIENT, stall)


def hand_on(engine: Line, call: Call, headers: list[tuple[bytes, bytes]]) -> None:
    """Send a call to the engine."""
    given = [(b"Host", b"engine"), (b"User-Agent", b"remora-guard"), (b"Connection", b"close"), *headers]
    if call.content:
        given.append((b"Content-Type", call.content.encode()))
    if call.method not in ("GET", "HEAD"):
        given.append((b"Content-Length", str(len(call.body)).encode()))
    request = h11.Request(method=call.method, target=call.target, headers=given)
    engine.send(request, h11.Data(data=call.body), h11.EndOfMessage())


def answer(engine: Line, until: float | None = None) -> h11.Response:
    """The head of the engine's answer."""
    while not isinstance(event := engine.receive(until), h11.Response):
        if not isinstance(event, h11.InformationalResponse):
            raise ConnectionError("the engine hung up")
    return event


@contextmanager
def unreachable() -> Iterator[None]:
    """Around what reads from the engine."""
    try:
        yield
    except (OSError, h11.ProtocolError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise Instead(502, f"the guard cannot reach the engine: {getattr(error, 'strerror', None) or error}") from None


class Engine:
    """What the guard asks the engine itself."""

    def __init__(self, path: str, patience: Patience) -> None:
        self.path, self.patience = path, patience
        self.known: tuple[float, dict[str, Any]] = (0.0, {})

    def ask(self, path: str) -> Any:
        """What a GET answers, out of JSON; None where there is no such thing."""
        until = time.monotonic() + self.patience.engine
        with reach(self.path, self.patience.engine) as engine:
            hand_on(engine, Call("GET", path), [])
            status, body = answer(engine, until).status_code, bytearray()
            while isinstance(event := engine.receive(until), h11.Data):
                body += event.data
        if status == 404:
            return None
        if status != 200:
            raise ConnectionError(f"the engine answers {status}")
        return json.loads(body)

    def info(self) -> dict[str, Any]:
        at, found = self.known
        if not found or time.monotonic() - at > LEARNT:
            found = self.ask("/info")
            self.known = (time.monotonic(), found)
        return found

    @unreachable()
    def engine(self) -> str:
        return str(self.info()["ID"])

    @unreachable()
    def containers(self) -> str:
        return f"{self.info()['DockerRootDir']}/containers"

    @unreachable()
    def container(self, name: str) -> Seen | None:
        found = self.ask(f"/containers/{name}/json")
        if found is None:
            return None
        modes = {key: str(found["HostConfig"].get(key) or "") for key in MODES.values()}
        config = found["Config"]
        sign = variables(config.get("Env") or []).get(SIGN, "")
        return Seen(found["Id"], found["Name"].lstrip("/"), config.get("Labels") or {}, found["State"]["Status"], modes, sign)

    @unreachable()
    def volume(self, name: str) -> Volume | None:
        found = self.ask(f"/volumes/{name}")
        if found is None:
            return None
        return Volume(found.get("Labels") or {}, found["Driver"] == "local" and not found.get("Options"))

    @unreachable()
    def network(self, name: str) -> Network | None:
        found = self.ask(f"/networks/{name}")
        return None if found is None else Network(found["Id"], found["Name"], found["Driver"])

    def recipe(self, image: str, base: str) -> bytes | None:
        for name in recipes.names():
            if recipes.tagged(name, base) == image:
                return recipes.context(name).read()
        return None


Log = Callable[[str], None]


class Guard:
    """A filtered engine on a socket."""

    def __init__(self, engine: str, policy: Policy, log: Log, patience: Patience = Patience()) -> None:
        """`engine` is the path of the engine's socket; `log` gets a line for every refusal."""
        self.engine, self.policy, self.log, self.patience = engine, policy, log, patience
        self.facts = Engine(engine, patience)
        self.room = threading.BoundedSemaphore(CLIENTS)

    def serve(self, listener: socket.socket) -> None:
        """Answer clients until the listener is shut down."""
        while True:
            try:
                client, _ = listener.accept()
            except OSError as error:
                if error.errno not in FOR_NOW:
                    return
                time.sleep(0.05)
                continue
            if self.room.acquire(blocking=False):
                threading.Thread(target=self.visit, args=(client,), daemon=True).start()
            else:
                client.close()
                self.log(f"turned away a client: {CLIENTS} are here")

    def visit(self, client: socket.socket) -> None:
        try:
            with Line(client, h11.SERVER, self.patience.answer) as line:
                Visit(self, line).run()
        except (Gone, OSError, h11.ProtocolError):
            pass  # the client left, or the engine did amid an answer: all that can be said is to hang up
        finally:
            self.room.release()


class Visit:
    """One client."""

    def __init__(self, guard: Guard, client: Line) -> None:
        self.guard, self.client = guard, client
        self.until = 0.0  # when the request must have come
        self.bare = False  # it is a HEAD, whose answer has no body

    def run(self) -> None:
        """Call by call, while the client wants more and is understood."""
        while True:
            try:
                self.one()
            except Instead as error:
                if error.status == 502:
                    self.guard.log(error.words)
                self.say(error.status, error.words)
            if not self.client.http.our_state is self.client.http.their_state is h11.DONE:
                return
            self.client.http.start_next_cycle()

    def one(self) -> None:
        """One call, from its first byte to the last of its answer."""
        with misunderstood():
            request = self.request()
        method, target = request.method.decode(), request.target.decode()
        try:
            refuse_tricks(request)
            with misunderstood():
                body = self.body(appetite(method, target))
            call = judge(method, target, body, self.guard.policy, self.guard.facts)
        except Refused as error:
            raise self.refusal(method, target, str(error)) from None
        except Absent as error:
            raise Instead(404, str(error)) from None
        self.relay(call, [pair for pair in request.headers if call.registries and pair[0] in PASSED])

    def request(self) -> h11.Request:
        """The next request, to the end of its headers. Raises Gone when there is none."""
        if not self.client.http.trailing_data[0]:
            waiting = select.poll()
            waiting.register(self.client.socket, select.POLLIN)
            if not waiting.poll(self.guard.patience.idle * 1000):
                raise Gone
        self.until = time.monotonic() + self.guard.patience.request
        event = self.client.receive(self.until)
        if not isinstance(event, h11.Request):
            raise Gone
        self.bare = event.method == b"HEAD"
        return event

    def body(self, most: int) -> bytes:
        """The body of the request, of `most` bytes at the most. Raises Refused for a longer one."""
        found = bytearray()
        while isinstance(event := self.client.receive(self.until), h11.Data):
            found += event.data
            if len(found) > most:
                raise Refused(f"the body has more than {most} bytes" if most else "there is a body, and remora sends none with this call")
        if not isinstance(event, h11.EndOfMessage):
            raise Gone
        return bytes(found)

    def relay(self, call: Call, headers: list[tuple[bytes, bytes]]) -> None:
        """Hand a call on, and its answer back, piece by piece as it comes."""
        with unreachable():
            engine = reach(self.guard.engine, self.guard.patience.engine)
        with engine:
            engine.sake = self.client.socket
            with unreachable():
                hand_on(engine, call, headers)
                head = answer(engine)
            kept = [pair for pair in head.headers if pair[0] not in OUR_OWN]
            self.client.send(h11.Response(status_code=head.status_code, headers=kept, reason=head.reason))
            while isinstance(event := engine.receive(), h11.Data):
                self.client.send(h11.Data(data=event.data))
            if not isinstance(event, h11.EndOfMessage):
                raise Gone
            self.client.send(h11.EndOfMessage())

    def refusal(self, method: str, target: str, reason: str) -> Instead:
        """Log a refusal, and say it."""
        words = refusal(method, target, reason)
        process, user, _ = struct.unpack("3i", self.client.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        self.guard.log(f"{words} (user {user}, process {process})")
        return Instead(403, words)

    def say(self, status: int, words: str) -> None:
        """Answer for ourselves."""
        whole = self.drained()
        text = message(words)
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(text)))]
        headers += [] if whole else [("Connection", "close")]
        self.client.send(h11.Response(status_code=status, headers=headers, reason=REASONS[status]))
        if not self.bare:
            self.client.send(h11.Data(data=text))
        self.client.send(h11.EndOfMessage())
        if not whole:
            self.linger()

    def linger(self) -> None:
        """Hear out who is still sending: an answer is lost to a client whose words are cut off."""
        self.client.socket.shutdown(socket.SHUT_WR)
        until, size = time.monotonic() + self.guard.patience.linger, 0
        while size < LEFT_OVER and (left := until - time.monotonic()) > 0:
            self.client.socket.settimeout(left)
            piece = self.client.socket.recv(PIECE)
            if not piece:
                return
            size += len(piece)

    def drained(self) -> bool:
        """Whether the request was read to its end, as far as that can be had within reason."""
        size = 0
        with suppress(TimeoutError, h11.RemoteProtocolError):
            while self.client.http.their_state is h11.SEND_BODY and size < LEFT_OVER:
                event = self.client.receive(self.until)
                size += len(event.data) if isinstance(event, h11.Data) else 0
        return self.client.http.their_state is h11.DONE


def refuse_tricks(request: h11.Request) -> None:
    """What HTTP has for taking over a connection, and for having two readers see two requests in one."""
    given = [name for name, _ in request.headers]
    if b"upgrade" in given or any(name == b"connection" and b"upgrade" in value.lower() for name, value in request.headers):
        raise Refused("no connection is handed over")
    if b"content-length" in given and b"transfer-encoding" in given:
        raise Refused("the length of the body stands there twice")
    if len(given) - len({*given}) and any(given.count(name) > 1 for name in PASSED):
        raise Refused("credentials for registries stand there twice")


@contextmanager
def misunderstood() -> Iterator[None]:
    """Around what reads from a client."""
    try:
        yield
    except h11.RemoteProtocolError as error:
        raise Instead(error.error_status_hint, f"the guard does not understand the request: {error}") from None
    except TimeoutError:
        raise Instead(408, "the guard does not understand the request: it did not come to its end in time") from None


@contextmanager
def listening(path: Path, group: str | None) -> Iterator[socket.socket]:
    """A socket at `path` that its owner and `group` may use, for as long as this lasts. Raises RemoraError."""
    refuse_taken(path)
    with socket.socket(socket.AF_UNIX) as listener:
        bind(listener, path, group)
        made = path.stat().st_ino
        try:
            yield listener
        finally:
            with suppress(OSError):
                if path.stat().st_ino == made:
                    path.unlink()


def bind(listener: socket.socket, path: Path, group: str | None) -> None:
    try:
        owner = grp.getgrnam(group).gr_gid if group else None
        before = os.umask(0o177)  # nobody else's, not even for a moment
        try:
            path.unlink(missing_ok=True)
            listener.bind(str(path))
        finally:
            os.umask(before)
        if owner is not None:
            os.chown(path, -1, owner)
        path.chmod(0o660)
        listener.listen(CLIENTS)
    except KeyError:
        raise RemoraError(f"--group {group}: this machine has no such group; make it with `groupadd --system {group}`") from None
    except OSError as error:
        raise RemoraError(f"--listen {path}: cannot be made: {error.strerror or error}") from None


def refuse_taken(path: Path) -> None:
    """What lies there already may be a socket that a guard left behind, and nothing else."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise RemoraError(f"--listen {path}: something that is no socket lies there; name another place")
        with socket.socket(socket.AF_UNIX) as other:
            other.connect(str(path))
    except OSError:
        return
    raise RemoraError(f"--listen {path}: somebody listens there already; end that one first, or name another place")
