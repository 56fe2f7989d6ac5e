"""Source `files`: text files that an app writes, one record a line.

A file is known by its inode, so renaming changes nothing. What copytruncate leaves behind is told from a new file by its
content: it goes on where the original was read to, so lines that were written between the last look and the truncation
are not lost, and the others are not doubled. Compressed files are left alone: their lines were read before.
"""

from __future__ import annotations

import glob
import json
import os
import time
import zlib
from collections.abc import Iterator
from json.encoder import encode_basestring
from typing import Any

from remora.images.logs.engine_files import SHARE, Piece
from remora.images.logs.record import Origin, safe, stamp
from remora.images.logs.tail import CHUNK, LONGEST, File
from remora.images.logs.watch import Watch

PACKED = (".gz", ".bz2", ".xz", ".zst", ".lz4", ".Z", ".zip")
RESCAN = 0.25
CALM = 2.0  # seconds without growth, after which a renamed or removed file's last line is taken for complete
FORGET = 600.0


class Text(File):
    """One file, and how far it is read."""

    def __init__(self, path: str, position: dict[str, Any] | None = None) -> None:
        super().__init__(path)
        self.path = self.name = path  # where it is, and where it was when it was found
        self.offset = self.crc = 0
        self.grown = time.monotonic()
        self.touched = 0  # when it was last written to, as far as we looked
        self.noted = bool(position)  # whether the spool knows of it
        self.formers: list[tuple[int, int, int]] = []  # offset, checksum and signature before each of the last truncations
        if position:
            self.offset, self.crc, self.signed = position["offset"], position["crc"], position["signature"]
            self.name = position["name"]
            self.formers = [(offset, crc, signature) for offset, crc, signature in position["formers"]]

    @property
    def position(self) -> str:
        facts = {"name": self.name, "offset": self.offset, "crc": self.crc, "signature": self.signed, "formers": self.formers}
        return json.dumps(facts)

    def check(self) -> None:
        """Start over where the file was truncated, or the inode is another file by now."""
        facts = os.fstat(self.fd)
        size, changed = facts.st_size, facts.st_mtime_ns != self.touched
        self.touched = facts.st_mtime_ns
        other = (size > self.offset or changed) and size >= self.offset > 0 and self.signed and self.sign() != self.signed
        if size < self.offset or other:
            self.formers = [*self.formers[-7:], (self.offset, self.crc, self.signed)]
            self.offset = self.crc = self.signed = 0

    def take(self, whole: bytes) -> None:
        """Go behind what was read."""
        self.offset += len(whole)
        self.crc = zlib.crc32(whole, self.crc)
        self.grown = time.monotonic()
        if not self.signed:
            self.signed = self.sign()

    def copies(self, other: Text) -> int | None:
        """Up to where its content was read from `other`, of which it is a copy; None when it is not."""
        for offset, crc, signature in other.formers:
            if signature and signature == self.sign():
                if self.size < offset:
                    return self.size
                if checksum(self, offset) == crc:
                    return offset
        size = min(self.size, other.size)
        if size and other.offset and checksum(self, size) == checksum(other, size):
            return min(self.size, other.offset)
        return None


class Files:
    """All files that match the globs."""

    def __init__(self, settings: dict[str, Any], positions: dict[str, str], watch: Watch) -> None:
        given = {key: str(settings[key]) for key in ("stack", "environment", "service", "replica", "container")}
        self.origin = Origin(**given, id=str(settings.get("id") or settings["container"])[:12])
        self.prefix = self.origin.prefix + b'"log":'
        self.globs, self.root = settings["paths"], settings.get("files", "/files")
        self.most = settings["spool"]["max_message_bytes"]
        self.positions = {key: json.loads(value) for key, value in positions.items()}
        self.texts: dict[str, Text] = {}
        self.scanned = 0.0
        self.refused: dict[str, str] = {}
        self.stopping = False
        for folder in {os.path.dirname(each) for each in self.globs}:
            watch.add(folder)

    @property
    def followed(self) -> list[dict[str, str]]:
        return [{"container": self.origin.container, "service": self.origin.service, "replica": self.origin.replica}]

    @property
    def faults(self) -> list[str]:
        return sorted(self.refused.values())

    def pieces(self, appeared: bool) -> Iterator[Piece]:
        """One turn for every file."""
        if appeared or time.monotonic() - self.scanned > RESCAN:
            self.scan()
        for key, text in list(self.texts.items()):
            text.check()
            data = b"".join(self.read(text))
            if data or (text.offset and not text.noted):
                text.noted = True
                yield Piece(key, text.position, data)
            elif self.over(text):
                del self.texts[key]
                text.close()
                yield Piece(key, None, b"")
        for key in list(self.positions):  # gone while nobody looked
            del self.positions[key]
            yield Piece(key, None, b"")

    def scan(self) -> None:
        """Find files that are new, and where known ones are now."""
        self.scanned = time.monotonic()
        found = {path for each in self.globs for path in glob.glob(each) if not path.endswith(PACKED)}
        self.refused = {path: fault for path, fault in self.refused.items() if path in found}
        there: list[tuple[bool, str, str]] = []  # files that are known come first: others may be copies of them
        for path in found:
            try:
                facts = os.stat(path)
                key = f"{facts.st_dev}:{facts.st_ino}"
                there.append((key not in self.texts and key not in self.positions, path, key))
            except FileNotFoundError:
                continue
        for _, path, key in sorted(there):
            try:
                if os.path.isfile(path):
                    self.know(path, key)
                self.refused.pop(path, None)
            except FileNotFoundError:
                continue
            except OSError as error:
                self.refused[path] = f"container {self.origin.container}: {path.removeprefix(self.root)}: {error.strerror}"

    def know(self, path: str, key: str) -> None:
        if key in self.texts:
            self.texts[key].path = path
            return
        text = Text(path, self.positions.pop(key, None))
        if not text.offset and not self.continued(text):
            text.close()
            return
        self.texts[key] = text

    def continued(self, text: Text) -> bool:
        """Put a copy where its original was read to; False while that is being copied and not to be told yet."""
        name = os.path.basename(text.path)
        for other in self.texts.values():
            if name.startswith((os.path.basename(other.path), os.path.basename(other.name))) and other.inode != text.inode:
                other.check()
                if not text.size:
                    return time.time() - os.fstat(text.fd).st_mtime > CALM
                offset = text.copies(other)
                if offset is not None and time.time() - os.fstat(text.fd).st_mtime < RESCAN:
                    return False
                if offset is not None:
                    text.offset, text.crc = offset, checksum(text, offset)
                    text.signed = text.sign()
        return True

    def read(self, text: Text) -> Iterator[bytes]:
        """The records that are new in a file."""
        size, most = CHUNK, SHARE
        while most > 0:
            chunk = text.read(text.offset, size)
            whole = chunk[: chunk.rfind(b"\n") + 1]
            if chunk and not whole and (len(chunk) >= self.most or len(chunk) == LONGEST or not chunk.strip(b"\0") or self.ended(text)):
                whole = chunk
            if not whole and len(chunk) == size:
                size *= 4
                continue
            if not whole:
                return
            records = self.records(whole, text)
            text.take(whole)
            most -= len(whole)
            yield records

    def records(self, whole: bytes, text: Text) -> bytes:
        """Lines as records. Each has a time of its own, so that it can be told from all others."""
        now, offset, out = time.time_ns(), text.offset, []
        stream = json.dumps(safe(text.name.removeprefix(self.root)), ensure_ascii=False).encode()
        for line in whole.removesuffix(b"\n").split(b"\n"):
            for start in range(0, max(len(line), 1), self.most):
                content = encode_basestring(line[start : start + self.most].lstrip(b"\0").decode(errors="replace")).encode()
                if content != b'""' or not line:
                    out.append(
                        b'%s%s,"stream":%s,"time":"%s","offset":%d}\n' % (self.prefix, content, stream, stamp(now).encode(), offset + start)
                    )
                now += 1
            offset += len(line) + 1
        return b"".join(out)

    def ended(self, text: Text) -> bool:
        """Whether the last line gets no more."""
        return self.stopping or (time.monotonic() - text.grown > CALM and (moved(text) or text.path != text.name))

    def over(self, text: Text) -> bool:
        """Whether a file is of no interest any more."""
        quiet = time.monotonic() - text.grown
        return quiet > CALM and moved(text) and (not os.fstat(text.fd).st_nlink or quiet > FORGET)


def moved(text: Text) -> bool:
    """Whether it is not under its last known name any more."""
    try:
        return os.stat(text.path).st_ino != text.inode
    except OSError:
        return True


def checksum(file: File, size: int) -> int:
    """Of the first `size` bytes."""
    crc = offset = 0
    while offset < size and (chunk := file.read(offset, min(size - offset, 1 << 20))):
        crc, offset = zlib.crc32(chunk, crc), offset + len(chunk)
    return crc
