"""The spool: segments of records, appended to by one reader and read by any number of senders.

    /spool/segments/READER/000000000042.jsonl   what waits; a segment is closed by size or age, and a new one begun
    /spool/readers/READER/                      the redo slots (see redo.py)
    /spool/state/DESTINATION/                   how far a sender is; written by its rsyslog (see senders.py)
    /spool/status/READER.json                   what `remora status` shows

A segment begins with a line of its own that the senders leave out. It is longer than the 512 bytes by which rsyslog tells
files apart, so a segment that gets the inode of a deleted one is not taken for it; and rsyslog notes a position, once,
when it has read 512 bytes of a file, before it has sent them: with this line in front nothing is lost by that.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass

from remora.images.logs.redo import Batch, Redo

HEAD = 640  # bytes of a segment's first line
RESERVE = 1 << 20  # bytes of the disk that are left to the senders: without room for their positions nothing could be deleted


@dataclass(frozen=True)
class Limits:
    """How much may wait, and how it is cut."""

    bytes: int = 256 << 20
    segment_bytes: int = 1 << 20
    segment_seconds: float = 10
    max_message_bytes: int = 256 << 10


class Spool:
    """The reader's end of the spool."""

    def __init__(self, root: str, reader: str, limits: Limits) -> None:
        self.root, self.reader, self.limits = root, reader, limits
        self.folder = os.path.join(root, "segments", reader)
        self.own = os.path.join(root, "readers", reader)
        os.makedirs(self.folder, exist_ok=True)
        self.redo = Redo(self.own)
        self.positions: dict[str, str] = {}
        self.counted = {"lines": 0, "bytes": 0, "dropped_lines": 0, "dropped_bytes": 0}
        self.doomed: list[str] = []
        self.number = 0
        self.file = -1
        self.name = ""  # of the open segment
        self.base = 0
        self.opened = 0.0
        self.data = b""  # what is to be appended
        self.staged = False  # whether it is in the redo slot
        self.recover()

    # ---- after a restart ----

    def recover(self) -> None:
        """Take up the positions; the last batch is pending again, for it may not be whole."""
        self.last = max((int(name[:12]) for name in self.names()), default=0)
        batch = self.redo.last()
        if not batch:
            return
        self.number = batch.number
        self.last = max(self.last, int(batch.segment[:12] or 0))
        noted = json.loads(batch.positions)
        self.positions = {key: json.dumps(value) for key, value in noted["sources"].items()}
        self.counted |= noted["counted"]
        for name in noted["doomed"]:
            self.delete(name)
        path = os.path.join(self.folder, batch.segment)
        if batch.data and os.path.isfile(path):
            self.file, self.name, self.opened = opened(path), batch.segment, time.monotonic()
            self.base, self.data, self.staged = batch.base, batch.data, True

    def names(self) -> list[str]:
        """The segments there are, oldest first."""
        return sorted(entry.name for entry in os.scandir(self.folder) if entry.name.endswith(".jsonl") and entry.is_file())

    # ---- appending ----

    def append(self, data: bytes, positions: Mapping[str, str | None]) -> None:
        """Append records, and note how far the sources are read then; None forgets a source.

        Raises OSError where the disk is full; `finish` goes on from there.
        """
        self.finish()
        for key, position in positions.items():
            if position is None:
                self.positions.pop(key, None)
            else:
                self.positions[key] = position
        self.counted["lines"] += data.count(b"\n")
        self.counted["bytes"] += len(data)
        self.data = data
        self.write()

    @property
    def pending(self) -> bool:
        """Whether the last append is not finished."""
        return bool(self.data)

    def finish(self) -> None:
        """Append what is pending; may be called again after an error."""
        if self.pending:
            self.write()

    def write(self) -> None:
        if not self.staged:
            self.check_room()
            if self.data and self.file < 0:
                self.begin()
            self.stage()
        end = self.base + len(self.data)
        while self.file >= 0 and (size := os.fstat(self.file).st_size) < end:
            os.write(self.file, memoryview(self.data)[max(0, size - self.base) :])
        self.data, self.staged = b"", False
        if self.file >= 0 and end >= self.limits.segment_bytes:
            self.close()

    def check_room(self) -> None:
        disk = os.statvfs(self.folder)
        needed = len(self.data) + self.redo.growth(self.number + 1, len(self.data)) + RESERVE
        if self.data and disk.f_bavail * disk.f_frsize < needed:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def stage(self) -> None:
        if self.file >= 0:
            self.base = os.fstat(self.file).st_size
        self.redo.write(Batch(self.number + 1, self.name, self.base, self.noted(), self.data))
        self.number += 1
        self.staged = True

    def noted(self) -> bytes:
        sources = ",".join(f"{json.dumps(key)}:{value}" for key, value in self.positions.items())
        return f'{{"counted":{json.dumps(self.counted)},"doomed":{json.dumps(self.doomed)},"sources":{{{sources}}}}}'.encode()

    def begin(self) -> None:
        """A new segment; it appears with its first line complete."""
        name = f"{self.last + 1:012d}.jsonl"
        draft, path = os.path.join(self.own, "draft"), os.path.join(self.folder, name)
        with open(draft, "wb") as file:
            file.write(f"#{self.reader} {name} {time.time_ns()}".encode()[: HEAD - 1].ljust(HEAD - 1) + b"\n")
        os.rename(draft, path)
        self.last += 1
        self.file, self.name, self.opened = opened(path), name, time.monotonic()

    def close(self) -> None:
        """End the open segment."""
        if self.file >= 0:
            os.close(self.file)
        self.file, self.name = -1, ""

    def age(self) -> None:
        """End the open segment where it is old enough."""
        if self.file >= 0 and not self.pending and time.monotonic() - self.opened >= self.limits.segment_seconds:
            self.close()

    # ---- deleting ----

    def drop(self, name: str, lines: int, size: int) -> None:
        """Delete a segment that was not sent; it is counted once, whenever we are killed."""
        self.counted["dropped_lines"] += lines
        self.counted["dropped_bytes"] += size
        self.doomed = [name]
        self.note()
        self.delete(name)
        self.doomed = []

    def note(self) -> None:
        """Note counts and positions without data, unless data is pending and will take them along."""
        if not self.pending:
            self.write()

    def delete(self, name: str) -> None:
        path = os.path.join(self.folder, name)
        if os.path.isfile(path):
            os.unlink(path)


def opened(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
