"""Follows one log of the json-file driver through its rotations, by inode.

The engine renames LOG to LOG.1 (LOG.1 to LOG.2, ...) and goes on in a new LOG; with `compress` a renamed file is replaced
by LOG.N.gz. Whatever files are there when the tail looks are opened at once and kept open, oldest first, so that what is
deleted later can still be read. A file that was renamed gets no more lines: it is read to its end before the next. After
a restart the place is found again by inode and signature (the checksum of the first line), or by the signature alone in a
compressed file.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import zlib
from collections.abc import Iterator
from typing import Any

from remora.images.logs.jsonfile import Joiner

CHUNK = 64 << 10  # small enough for the processor's cache
LONGEST = 16 << 20
SIGNED = 256  # bytes of the first line that make the signature


class File:
    """One file of a log, open."""

    def __init__(self, path: str) -> None:
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.inode = os.fstat(self.fd).st_ino
        self.packed = gzip.open(path) if path.endswith(".gz") else None  # noqa: SIM115
        self.signed = 0

    def read(self, offset: int, size: int) -> bytes:
        if not self.packed:
            return os.pread(self.fd, size, offset)
        if self.packed.tell() != offset:
            self.packed.seek(offset)
        return self.packed.read(size)

    @property
    def size(self) -> int:
        return os.fstat(self.fd).st_size

    @property
    def signature(self) -> int:
        """Of the first line; 0 while it is not complete."""
        if not self.signed:
            self.signed = self.sign()
        return self.signed

    def sign(self) -> int:
        try:
            line, newline, _ = self.read(0, SIGNED).partition(b"\n")
        except (OSError, EOFError, zlib.error):  # a compressed file that is not one
            return 0
        return zlib.crc32(line) if newline or len(line) == SIGNED else 0

    def close(self) -> None:
        if self.packed:
            self.packed.close()
        os.close(self.fd)


def files(log: str) -> list[str]:
    """The paths of a log, oldest first; a file that is just being compressed counts once."""
    folder, name = os.path.split(log)
    pattern = re.compile(re.escape(name) + r"(?:\.(\d+))?(\.gz)?")
    found: dict[int, str] = {}
    for each in sorted(os.listdir(folder), reverse=True):  # LOG.1.gz before LOG.1, which overwrites it
        if matched := pattern.fullmatch(each):
            found[int(matched[1] or 0)] = os.path.join(folder, each)
    return [found[number] for number in sorted(found, reverse=True)]


def snapshot(log: str) -> list[File]:
    """The files of a log as they were at one moment, open, oldest first."""
    for _ in range(50):
        opened: list[File] = []
        try:
            opened.extend(File(path) for path in files(log))
            if [os.stat(path).st_ino for path in files(log)] == [each.inode for each in opened]:
                return opened
        except FileNotFoundError:
            pass
        for each in opened:
            each.close()
    return []


class Tail:
    """Reads a log from its first line, or from a position, as records."""

    def __init__(self, log: str, prefix: bytes, most: int, position: dict[str, Any] | None = None) -> None:
        self.log = log
        self.begun = position or {}
        self.joiner = Joiner(prefix, most, self.begun.get("parts"))
        self.chain: list[File] = []
        self.offset = 0
        self.gone = False
        self.gaps = 0  # how often the engine had deleted what was to be read next

    @property
    def position(self) -> str:
        """Where to go on, as JSON."""
        if not self.chain:
            return json.dumps(self.begun)
        file, parts = self.chain[0], self.joiner.state
        more = f',"parts":{json.dumps(parts)}' if parts else ""
        return f'{{"inode":{file.inode},"signature":{file.signature},"offset":{self.offset}{more}}}'

    def look(self) -> None:
        """Open what has appeared."""
        try:
            facts = os.stat(self.log)
        except FileNotFoundError:
            self.gone = not os.path.isdir(os.path.dirname(self.log))
            return
        if not self.chain:
            self.resume(snapshot(self.log))
        elif facts.st_ino != self.chain[-1].inode:
            self.extend(snapshot(self.log), self.chain[-1].inode, self.chain[-1].signature)
        elif len(self.chain) == 1 and facts.st_size < self.offset:  # max-file=1 empties the file in place
            self.offset, self.chain[0].signed = 0, 0

    def resume(self, found: list[File]) -> None:
        """Take up the files from the position on; all of them when it is not found."""
        at = place(found, self.begun["inode"], self.begun["signature"]) if self.begun.get("inode") else 0
        if at is None:
            self.gaps += 1
        elif self.begun.get("inode"):
            self.offset = self.begun["offset"]
        self.chain = cut(found, at or 0)

    def extend(self, found: list[File], inode: int, signature: int) -> None:
        """Take up the files newer than the last; when that is not there any more, all are."""
        at = place(found, inode, signature)
        if found and at is None:
            self.gaps += 1
        self.chain += cut(found, 0 if at is None else at + 1)

    def read(self, most: int) -> Iterator[bytes]:
        """Records, about `most` bytes of them; ends early at the end of the log."""
        self.look()
        size = CHUNK
        while self.chain and most > 0:
            chunk = self.chain[0].read(self.offset, size)
            whole = chunk.rfind(b"\n") + 1
            if whole:
                self.offset += whole
                most -= whole
                size = CHUNK
                yield self.joiner.convert(chunk if whole == len(chunk) else chunk[:whole])
            elif len(chunk) == size and size < LONGEST:
                size *= 4
            elif len(self.chain) > 1 or (self.gone and chunk):
                yield from self.turn(chunk)
            else:
                break

    def turn(self, rest: bytes) -> Iterator[bytes]:
        """On to the next file. A rest without newline was torn by a crash of the engine."""
        if rest:
            self.offset += len(rest)
            yield self.joiner.convert(rest + b"\n")
        if len(self.chain) > 1:
            self.chain.pop(0).close()
            self.offset = 0

    def finish(self) -> bytes:
        """The log is gone and read: what was begun and never ended."""
        last = self.joiner.flush()
        self.close()
        return last

    def close(self) -> None:
        for each in self.chain:
            each.close()
        self.chain = []


def place(found: list[File], inode: int, signature: int) -> int | None:
    """Where a file is in the list."""
    return next((index for index, each in enumerate(found) if same(each, inode, signature)), None)


def same(file: File, inode: int, signature: int) -> bool:
    """Whether it is the file, or the compressed copy of it."""
    if file.packed:
        return bool(signature) and file.signature == signature
    return file.inode == inode and (not signature or file.signature == signature)


def cut(found: list[File], start: int) -> list[File]:
    for each in found[:start]:
        each.close()
    return found[start:]
