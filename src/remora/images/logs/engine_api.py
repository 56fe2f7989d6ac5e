"""Source `api`: what containers print, through the engine's API, for logging drivers without a file to follow.

Each container's log is followed by a connection of its own; all are read in one loop. The engine gives every message its
time, and within stdout and within stderr times only grow, so how far we are is a time for each stream and the number of
messages that had just this time. After a break we ask from a second before, and leave out what we have.
"""

from __future__ import annotations

import calendar
import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from json.encoder import encode_basestring
from typing import Any

from remora.core.selector import joined
from remora.images.logs.choice import Choice, Seen
from remora.images.logs.engine_files import SHARE, SILENT, Piece
from remora.images.logs.engine_http import Refused, Response, ask
from remora.images.logs.jsonfile import CUT
from remora.images.logs.watch import Watch

RESCAN = 1.0
STREAMS = {1: "stdout", 2: "stderr"}
STAMPED = 31  # length of Docker's time and a blank; Podman's is as long as it happens to be


class Follower:
    """One container's log."""

    def __init__(self, seen: Seen, tty: bool, most: int, position: dict[str, Any] | None) -> None:
        self.seen, self.tty, self.most = seen, tty, most
        self.prefix = seen.origin.prefix + b'"log":'
        given = position or {}
        self.at: dict[str, tuple[str, int]] = {key: (at, count) for key, (at, count) in given.get("at", {}).items()}
        self.parts: dict[str, tuple[str, str]] = {key: (at, text) for key, (at, text) in given.get("parts", {}).items()}
        self.passed: dict[str, tuple[str, int]] = {}  # of this connection
        self.response: Response | None = None
        self.rest = b""
        self.ended = ""  # the container's start that was read to its end

    @property
    def position(self) -> str:
        return json.dumps({"at": self.at, "parts": self.parts})

    @property
    def since(self) -> str:
        """A second before the newest that we have, as the API takes it."""
        newest = max((at for at, _ in self.at.values()), default="")
        return f"{seconds(newest) - 1}{newest[19:].rstrip('Z')}" if newest else "0"

    def connect(self, path: str) -> None:
        query = f"follow=1&stdout=1&stderr=1&timestamps=1&since={self.since}"
        self.response = Response(path, f"GET /containers/{self.seen.origin.id}/logs?{query}")
        self.response.socket.setblocking(False)
        self.rest, self.passed = b"", {}

    def read(self) -> bytes:
        """Records that have come."""
        out: list[bytes] = []
        size = 0
        more = True
        while self.response and size < SHARE and more:
            if not self.response.ended:
                try:
                    self.response.more()
                except BlockingIOError:
                    more = False  # but what came together with the head is still to be read
                except OSError:
                    self.response.ended = True
            data = self.rest + self.response.body()
            size += len(data)
            out.append(self.lines(data) if self.tty else self.frames(data))
            if self.response.complete and self.tty and self.rest:
                out.append(self.message("stdout", unsplit(self.rest)))
            if self.response.ended:
                self.hang_up()
        return b"".join(out)

    def hang_up(self) -> None:
        if self.response:
            self.response.close()
        self.response = None

    def frames(self, data: bytes) -> bytes:
        """The engine's framing of the two streams: stream, length, message."""
        out, offset = [], 0
        while len(data) - offset >= 8:
            size = int.from_bytes(data[offset + 4 : offset + 8], "big")
            if len(data) - offset - 8 < size:
                break
            out.append(self.message(STREAMS.get(data[offset], "stdout"), data[offset + 8 : offset + 8 + size]))
            offset += 8 + size
        self.rest = data[offset:]
        return b"".join(out)

    def lines(self, data: bytes) -> bytes:
        """A terminal's log has no frames, and a message that was split repeats the time at every 16 KiB."""
        *whole, self.rest = data.split(b"\n")
        return b"".join(self.message("stdout", unsplit(line) + b"\n") for line in whole)

    def message(self, stream: str, message: bytes) -> bytes:
        """The record that a message completes, unless it was read before."""
        stamp, _, said = message.partition(b" ")
        at, text = utc(stamp.decode(errors="replace").rstrip()), said.decode(errors="replace")
        if self.known(stream, at):
            return b""
        begun, so_far = self.parts.pop(stream, (at, ""))
        joined = so_far + text
        if not joined.endswith("\n") and len(joined) < self.most and len(said) == CUT:
            self.parts[stream] = (begun, joined)
            return b""
        content = encode_basestring(joined.removesuffix("\n")).encode()
        return b'%s%s,"stream":"%s","time":"%s"}\n' % (self.prefix, content, stream.encode(), begun.encode())

    def known(self, stream: str, at: str) -> bool:
        """Whether we had it already; counts it."""
        before, count = self.passed.get(stream, ("", 0))
        count = count + 1 if before == at else 1
        self.passed[stream] = (at, count)
        newest, had = self.at.get(stream, ("", 0))
        if at < newest or (at == newest and count <= had):
            return True
        self.at[stream] = (at, count)
        return False


class EngineApi:
    """All chosen containers of the host whose logging driver keeps no json file."""

    def __init__(self, settings: dict[str, Any], positions: dict[str, str], watch: Watch) -> None:
        self.socket = settings.get("socket", "/var/run/docker.sock")
        self.choice = Choice(settings, self.other)
        self.unfollowed = (*settings.get("filed", ["json-file"]), "none")  # logging drivers that are another's, or nobody's
        self.most = settings["spool"]["max_message_bytes"]
        self.positions = {key: json.loads(value) for key, value in positions.items()}
        self.followers: dict[str, Follower] = {}
        self.faulty: dict[str, str] = {}
        self.away = ""
        self.ignored: set[str] = set()
        self.scanned = 0.0
        self.stopping = False

    @property
    def faults(self) -> list[str]:
        return sorted(self.faulty.values()) + ([self.away] if self.away else [])

    @property
    def followed(self) -> list[dict[str, str]]:
        return [follower.seen.brief for follower in self.followers.values()]

    def pieces(self, appeared: bool) -> Iterator[Piece]:
        """One turn for every container."""
        if time.monotonic() - self.scanned > RESCAN or self.stopping:
            yield from self.scan()
        for id, follower in self.followers.items():
            if data := follower.read():
                yield Piece(id, follower.position, data)

    def scan(self) -> Iterator[Piece]:
        """Find containers that are new, started again, or gone."""
        self.scanned = time.monotonic()
        try:
            there = {each["Id"]: each for each in ask(self.socket, "/containers/json?all=1")}
            for id, brief in there.items():
                self.meet(id, brief)
            self.away = ""
        except (OSError, Refused) as error:
            self.away = f"the engine does not answer: {error}"
            return
        gone = [id for id, each in self.followers.items() if id not in there and not each.response]
        for id in gone:
            del self.followers[id]
        for id in {*gone, *(id for id in self.positions if id not in there)}:
            self.positions.pop(id, None)
            self.faulty.pop(id, None)
            yield Piece(id, None, b"")

    def meet(self, id: str, brief: dict[str, Any]) -> None:
        """Follow a container, if it is chosen and anything has happened since we read its log to the end."""
        if id not in self.followers and (f"{id} {brief['Names']}" in self.ignored or not self.learn(id, brief)):
            return
        follower = self.followers[id]
        if follower.response:
            return
        state = ask(self.socket, f"/containers/{id}/json")["State"]
        lived = f"{state['StartedAt']} {state['FinishedAt']}"
        if state["Running"] or lived != follower.ended:
            follower.ended = lived
            follower.connect(self.socket)

    def other(self, id: str) -> dict[str, Any] | None:
        """A container by its id, None where there is none."""
        try:
            return described(ask(self.socket, f"/containers/{id}/json"))
        except Refused as refused:
            if refused.status != 404:
                raise
            return None

    def learn(self, id: str, brief: dict[str, Any]) -> bool:
        """Look at a container for the first time; whether it is to be followed."""
        raw = ask(self.socket, f"/containers/{id}/json")
        config, seen = raw["Config"], self.choice.chosen(described(raw))
        driver = raw["HostConfig"]["LogConfig"]["Type"]
        if seen and driver == "none":
            self.faulty[id] = f"container {seen.origin.container}: {SILENT}"
        if not seen or driver in self.unfollowed:
            self.ignored.add(f"{id} {brief['Names']}")
            return False
        self.followers[id] = Follower(seen, bool(config.get("Tty")), self.most, self.positions.pop(id, None))
        return True


def described(raw: dict[str, Any]) -> dict[str, Any]:
    """An inspection, as far as a choice needs it."""
    config, host = raw["Config"], raw["HostConfig"]
    return {
        "Id": raw["Id"],
        "Name": raw["Name"],
        "Image": config["Image"],
        "Labels": config.get("Labels") or {},
        "Env": config.get("Env") or [],
        "Ports": [*(config.get("ExposedPorts") or {}), *(host.get("PortBindings") or {})],
        "Joins": joined(host),
    }


def seconds(at: str) -> int:
    """The seconds since the epoch of a time as the engine writes it."""
    return calendar.timegm(time.strptime(at[:19], "%Y-%m-%dT%H:%M:%S"))


def utc(at: str) -> str:
    """An engine's time as Docker writes it: Podman has whole seconds, and says them in its own time zone."""
    if not re.fullmatch(r"[^Z]+T[^Z]+[+-]\d\d:\d\d", at):
        return at
    moment = re.sub(r"(\.\d{6})\d+", r"\1", at)
    return datetime.fromisoformat(moment).astimezone(UTC).isoformat().replace("+00:00", "Z")


def unsplit(line: bytes) -> bytes:
    """A terminal's message without the times that Docker repeats in it."""
    if line.find(b" ") != STAMPED - 1:
        return line
    step = STAMPED + CUT
    return line[:step] + b"".join(line[start + STAMPED : start + step] for start in range(step, len(line), step))
