"""Lines of the engine's json-file driver into records of the spool.

A line of the driver is `{"log":"TEXT\\n","stream":"stdout","time":"..."}`, a record is our metadata, then the same without
the newline. JSON escapes every quote inside TEXT, so a quote followed by `,"stream":"` ends it, and nothing has to be
parsed: a chunk of whole messages is turned with two splits and joins, half a microsecond a line.

The engine cuts messages at 16 KiB: the parts lack the newline, and the parts of stdout and stderr interleave. They are
joined by stream, in the slow path, which only chunks with something odd in them take. A message without a newline that is
shorter than that is the last words of a container, and complete.
"""

from __future__ import annotations

import json
import time

from remora.images.logs.record import stamp

START = b'{"log":"'
TAIL = b'","stream":"'
END = b'\\n","stream":"'
ODD = b'\\\\n","stream":"'  # a text that ends in a backslash and an n, not in a newline
CUT = 16384  # where the engine splits


class Joiner:
    """Turns chunks of whole lines into records; keeps the beginnings of messages that are not complete yet."""

    def __init__(self, prefix: bytes, most: int, parts: dict[str, list[str]] | None = None) -> None:
        self.most = most
        self.parts = {key: (first.encode(), rest.encode()) for key, (first, rest) in (parts or {}).items()}
        self.prefix = prefix

    @property
    def state(self) -> dict[str, list[str]]:
        """What `parts` takes to go on from here: stream → text so far, what follows the text."""
        return {key: [text.decode(errors="replace"), rest.decode(errors="replace")] for key, (text, rest) in self.parts.items()}

    def convert(self, chunk: bytes) -> bytes:
        """The records in `chunk`, which holds whole lines."""
        if not self.parts and ODD not in chunk:
            lines = chunk.split(START)
            texts = (self.prefix + b'"log":"').join(lines).split(END)
            if not lines[0] and len(texts) == len(lines) == chunk.count(b"\n") + 1:
                return TAIL.join(texts)
        return b"".join(self.line(line + b"\n") for line in chunk[:-1].split(b"\n"))

    def line(self, line: bytes) -> bytes:
        """The record that a line completes, or nothing."""
        if (torn := line.find(START, 1)) > 0:
            return self.strange(line[:torn]) + self.line(line[torn:])
        text, found, rest = line.partition(TAIL)
        if not found or not text.startswith(START) or not rest.endswith(b"}\n"):
            return self.strange(line)
        stream = rest.partition(b'"')[0].decode()
        raw = text[len(START) :]
        begun, first = self.parts.pop(stream, (b"", rest))
        whole = ends(raw)
        joined = begun + (raw[:-2] if whole else raw)
        if not whole and len(joined) < self.most and size(raw) == CUT:
            self.parts[stream] = (joined, first)
            return b""
        return self.prefix + b'"log":"' + joined + TAIL + first

    def strange(self, line: bytes) -> bytes:
        """What the driver did not write, or not whole."""
        text = line.rstrip(b"\n").decode(errors="replace")
        return self.record(json.dumps(text).encode()[1:-1], b'unknown","time":"%s"}\n' % stamp(time.time_ns()).encode()) if text else b""

    def record(self, text: bytes, rest: bytes) -> bytes:
        return self.prefix + b'"log":"' + text + TAIL + rest

    def flush(self) -> bytes:
        """What was begun, as it is: nothing follows."""
        begun, self.parts = self.parts, {}
        return b"".join(self.record(text, rest) for text, rest in begun.values())


def ends(raw: bytes) -> bool:
    """Whether an escaped text ends in a newline."""
    if not raw.endswith(b"\\n"):
        return False
    backslashes = len(raw) - 1 - len(raw[:-1].rstrip(b"\\"))
    return backslashes % 2 == 1


def size(raw: bytes) -> int:
    """How many bytes the container printed for an escaped text; the engine writes one that is no UTF-8 as \\ufffd."""
    try:
        text: str = json.loads(b'"' + raw + b'"', strict=False)
    except ValueError:
        return len(raw)
    return len(text.encode(errors="replace")) - 2 * raw.count(b"\\ufffd")
