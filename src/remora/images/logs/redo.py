"""The last write to the spool, kept until the next: what makes it whole after a kill at any instant.

Before a batch is appended to its segment, it is written here together with where it belongs and with the positions of the
sources behind it. Two slots take turns, and a slot counts only when its checksum fits. So after a kill either the batch
is not here (then it is not in the segment, and is read again from the older positions), or it is here whole (then what the
segment lacks of it is appended, byte for byte). A segment is never cut back, for a sender may have read what is there.

Nothing is synced to the disk: a crash of the whole host may cost, or repeat, what only the page cache held.
"""

from __future__ import annotations

import os
import struct
import zlib
from typing import NamedTuple

HEADER = struct.Struct("<8sQQIIQI")  # magic, number, base, length of name, of positions, of data, checksum
MAGIC = b"remora-1"


class Batch(NamedTuple):
    """`data` belongs into the file `segment` at `base`; `positions` is how far the sources are read then."""

    number: int
    segment: str
    base: int
    positions: bytes
    data: bytes


class Redo:
    """The two slots, in a folder of their own."""

    def __init__(self, folder: str) -> None:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        paths = (os.path.join(folder, f"redo.{slot}") for slot in (0, 1))
        self.slots = [os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600) for path in paths]

    def write(self, batch: Batch) -> None:
        """Keep a batch; the one before the last is overwritten."""
        slot = self.slots[batch.number % 2]
        head = batch.segment.encode() + batch.positions
        check = zlib.crc32(batch.data, zlib.crc32(head))
        put(slot, head + batch.data if len(batch.data) < 4096 else head, HEADER.size)
        if len(batch.data) >= 4096:
            put(slot, batch.data, HEADER.size + len(head))
        name, positions, data = len(batch.segment.encode()), len(batch.positions), len(batch.data)
        put(slot, HEADER.pack(MAGIC, batch.number, batch.base, name, positions, data, check), 0)

    def growth(self, number: int, size: int) -> int:
        """How much larger the slot for a batch of `size` bytes will be."""
        return max(0, size - os.fstat(self.slots[number % 2]).st_size)

    def last(self) -> Batch | None:
        """The newest batch that is whole."""
        found = [batch for slot in self.slots if (batch := read(slot))]
        return max(found, key=lambda batch: batch.number, default=None)

    def close(self) -> None:
        for slot in self.slots:
            os.close(slot)


def put(file: int, data: bytes, offset: int) -> None:
    """All of `data`, even where the kernel takes it in pieces."""
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, offset)
        view, offset = view[written:], offset + written


def read(slot: int) -> Batch | None:
    """The batch in a slot, if it is whole."""
    header = os.pread(slot, HEADER.size, 0)
    if len(header) < HEADER.size:
        return None
    magic, number, base, name, positions, data, check = HEADER.unpack(header)
    if magic != MAGIC or name + positions + data > os.fstat(slot).st_size:
        return None
    body = os.pread(slot, name + positions + data, HEADER.size)
    if zlib.crc32(body) != check:
        return None
    return Batch(number, body[:name].decode(), base, body[name : name + positions], body[name + positions :])
