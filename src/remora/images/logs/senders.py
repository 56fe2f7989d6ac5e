"""How far the senders are, by the state files that their rsyslog keeps; and what of the spool can go.

rsyslog's imfile keeps a file `imfile-state:INODE:HASH` for each segment, a JSON object with the segment's `filename` and
`curr_offs`, the offset up to which it was sent. It writes them in place, so one may be found empty after a kill; what was
known before counts then.

imfile keeps a file that vanished open, and lets go of one such file in five seconds; a busy reader deletes ten in one.
It lets go at once when something else stands under the name, so a segment is replaced by a pipe, which imfile ignores,
and the pipe is deleted when imfile has deleted its state file.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from remora.images.logs.record import stamp
from remora.images.logs.spool import HEAD, Spool

STATE = re.compile(rb'"filename": *"([^"]+)".*"curr_offs": *(\d+)', re.DOTALL)
BACK = 256  # lines behind a sender that stay, more than RELP has under way: it goes back for them after a kill
SOCKET = 512 << 10  # bytes behind a sender that stay, more than the socket of a TLS connection holds (see `sender.py`)
QUIET = 5.0  # seconds without progress, after which a destination is called away
STRANGER = 600.0  # seconds after which a segment of another reader is taken for closed
KNOCK = 30.0
LINGER = 3.0  # seconds that the pipe in a segment's place stays at least


@dataclass
class Sender:
    """One destination's sender, seen from its state files."""

    folder: str
    sent: dict[str, int] = field(default_factory=dict)  # path of a segment → bytes
    seen: dict[str, tuple[str, int, int]] = field(default_factory=dict)  # state file → segment, its time and size
    moved: float = field(default_factory=time.monotonic)  # when it got on, or had nothing to do
    stuck: int = 0  # when that was, for people; 0 while it gets on
    total: tuple[int, int] = (0, 0)  # bytes sent of how many segments, at the last look

    def look(self) -> None:
        """Read the state files that changed."""
        try:
            entries = [entry for entry in os.scandir(self.folder) if entry.name.startswith("imfile-state")]
        except FileNotFoundError:
            entries = []
        for entry in entries:
            try:
                facts = entry.stat()
                if self.seen.get(entry.name, ("", 0, 0))[1:] != (facts.st_mtime_ns, facts.st_size):
                    self.take(entry, facts)
            except FileNotFoundError:
                continue

    def take(self, entry: os.DirEntry[str], facts: os.stat_result) -> None:
        with open(entry.path, "rb") as file:
            found = STATE.search(file.read())
        if found:
            path = found[1].decode().replace("\\/", "/")
            self.sent[path] = max(self.sent.get(path, 0), int(found[2]))
            self.seen[entry.name] = (path, facts.st_mtime_ns, facts.st_size)

    def known(self) -> set[str]:
        """The segments that have a state file."""
        return {path for name, (path, _, _) in self.seen.items() if os.path.exists(os.path.join(self.folder, name))}

    def forget(self, segments: Iterable[str]) -> None:
        """Drop what is known of segments that are gone, and state files that rsyslog left behind for them."""
        there = set(segments)
        for name, (path, changed, _) in list(self.seen.items()):
            if path not in there and time.time_ns() - changed > 60e9:
                del self.seen[name]
                self.sent.pop(path, None)
                if os.path.exists(os.path.join(self.folder, name)):
                    os.unlink(os.path.join(self.folder, name))


class Keeper:
    """Deletes what all have sent; above the cap, the oldest of its own reader that nobody is reading."""

    def __init__(self, spool: Spool, destinations: Iterable[str]) -> None:
        self.spool = spool
        self.senders = {each: Sender(os.path.join(spool.root, "state", each)) for each in destinations}
        self.lines: dict[str, int] = {}  # closed segments → lines
        self.sizes: dict[str, int] = {}  # all segments, of other readers too → bytes
        self.going: list[str] = []  # segments to be deleted, oldest first
        self.pipes: dict[str, float] = {path: time.monotonic() for path in pipes(self.spool.folder)}  # and since when
        self.knocked = time.monotonic()

    def work(self) -> None:
        """Look around, and see what can go."""
        self.sizes = sizes(os.path.join(self.spool.root, "segments"))
        for sender in self.senders.values():
            sender.look()
            sender.forget(self.sizes)
            self.watch(sender)
        own = [os.path.join(self.spool.folder, name) for name in self.spool.names() if name != self.spool.name]
        self.going = self.reclaimable(own) + self.others()
        if sum(self.sizes.values()) > self.spool.limits.bytes:
            self.shrink(own)
        self.clear()
        self.knock()

    def waiting(self, sender: Sender) -> int:
        """Bytes that a sender has still to send."""
        return sum(size - max(sender.sent.get(path, 0), HEAD) for path, size in self.sizes.items())

    def watch(self, sender: Sender) -> None:
        total = sum(sender.sent.values()), len(sender.sent)
        now = time.monotonic()
        if not self.waiting(sender) or total != sender.total:
            sender.moved, sender.stuck = now, 0
        elif now - sender.moved > QUIET and not sender.stuck:
            sender.stuck = time.time_ns() - int((now - sender.moved) * 1e9)
        sender.total = total

    def done(self, path: str) -> bool:
        """Whether every destination has all of a segment."""
        return all(sender.sent.get(path, 0) >= self.sizes.get(path, 0) for sender in self.senders.values())

    def sweep(self) -> None:
        """Delete one segment; an imfile that looks at the folder just then complains of those that vanish under its hands."""
        if self.going:
            self.remove(self.going.pop(0))

    def reclaimable(self, own: list[str]) -> list[str]:
        """What everyone has, but for the newest lines."""
        found = []
        lines = size = 0
        for path in reversed(own):
            if not self.done(path):
                lines = size = 0
            elif lines >= BACK and size >= SOCKET:
                found.append(path)
            else:
                lines, size = lines + self.count(path), size + self.sizes[path] - HEAD
        return found[::-1]

    def others(self) -> list[str]:
        """What readers that are gone left behind, once it is sent."""
        strange = [path for path in self.sizes if os.path.dirname(path) != self.spool.folder]
        return [path for path in strange if self.done(path) and old(path)]

    def shrink(self, own: list[str]) -> None:
        """Delete the oldest until the spool is within its cap; what a sender has open would go out all the same."""
        reading = {self.next(sender, own) for sender in self.senders.values()}
        for path in own:
            if sum(self.sizes.values()) <= self.spool.limits.bytes:
                return
            if path not in self.sizes or path in reading:
                continue
            if not self.done(path):
                lost = self.sizes[path] - HEAD
                self.spool.drop(os.path.basename(path), self.count(path), lost)
            self.remove(path)

    def next(self, sender: Sender, own: list[str]) -> str:
        """The segment that a sender is reading, or will read first."""
        return next((path for path in own if sender.sent.get(path, 0) < self.sizes.get(path, 0)), "")

    def remove(self, path: str) -> None:
        """Delete a segment; for a while a pipe stands in its place."""
        self.sizes.pop(path, None)
        self.lines.pop(path, None)
        if os.path.isfile(path):
            pipe = os.path.join(self.spool.own, "pipe")
            if not os.path.exists(pipe):
                os.mkfifo(pipe)
            os.rename(pipe, path)
            self.pipes[path] = time.monotonic()

    def clear(self) -> None:
        """Delete the pipes that every imfile has seen, or will not see any more."""
        known = {path for sender in self.senders.values() for path in sender.known()}
        for path, since in list(self.pipes.items()):
            age = time.monotonic() - since
            if age > LINGER and (path not in known or age > STRANGER):
                del self.pipes[path]
                os.unlink(path)

    def count(self, path: str) -> int:
        """The records in a closed segment."""
        if path not in self.lines:
            with open(path, "rb") as file:
                self.lines[path] = file.read().count(b"\n") - 1
        return self.lines[path]

    def knock(self) -> None:
        """Make a waiting imfile look at the folder: while it was blocked, the kernel may have dropped events."""
        now = time.monotonic()
        if now - self.knocked > KNOCK and any(sender.stuck for sender in self.senders.values()):
            self.knocked = now
            path = os.path.join(self.spool.folder, ".knock")
            with open(path, "wb"):
                os.unlink(path)

    @property
    def report(self) -> dict[str, Any]:
        """What the status says of each destination."""
        return {
            name: {"waiting_bytes": self.waiting(sender), "waiting_since": stamp(sender.stuck) if sender.stuck else None}
            for name, sender in self.senders.items()
        }


def sizes(folder: str) -> dict[str, int]:
    """All segments of all readers."""
    found = {}
    for reader in os.scandir(folder):
        for entry in os.scandir(reader.path):
            if entry.name.endswith(".jsonl") and entry.is_file():
                try:
                    found[entry.path] = entry.stat().st_size
                except FileNotFoundError:
                    continue
    return found


def pipes(folder: str) -> list[str]:
    """What stands in the place of deleted segments."""
    return [entry.path for entry in os.scandir(folder) if not entry.is_file()]


def old(path: str) -> bool:
    try:
        return time.time() - os.stat(path).st_mtime > STRANGER
    except FileNotFoundError:
        return False
