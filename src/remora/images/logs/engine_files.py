"""Source `engine`: what containers print, from the json-file logs in the engine's own folder.

Containers are found by looking: each has a folder with `config.v2.json` (labels, environment, image, name) and
`hostconfig.json` (logging driver). Compose creates a container under another name and renames it before it starts, so the
configuration is read again when it changes.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from remora.core.selector import joined
from remora.images.logs.choice import Choice, Seen
from remora.images.logs.tail import Tail
from remora.images.logs.watch import Watch

SHARE = 256 << 10  # bytes from one container before the others have their turn
RESCAN = 1.0
GAP = "the engine rotated lines away before they were read; raise its max-size or max-file"
SILENT = "its logging driver is none: what it prints is kept nowhere"


class Piece(NamedTuple):
    """Records of one source, and its position behind them; None when it has ended."""

    source: str
    position: str | None
    data: bytes


class Known(NamedTuple):
    """A container's folder as it was last read."""

    changed: int
    seen: Seen | None
    fault: str


class EngineFiles:
    """All containers of the host that are chosen."""

    def __init__(self, settings: dict[str, Any], positions: dict[str, str], watch: Watch) -> None:
        self.root = settings.get("engine", "/engine")
        self.choice = Choice(settings, self.other)
        self.most = settings["spool"]["max_message_bytes"]
        self.positions = {key: json.loads(value) for key, value in positions.items()}
        self.known: dict[str, Known] = {}
        self.tails: dict[str, Tail] = {}
        self.scanned = 0.0
        self.unsettled = False  # a container could not be read yet
        self.stopping = False
        watch.add(self.root)

    @property
    def faults(self) -> list[str]:
        gaps = [f"container {self.name(id)}: {GAP}" for id, tail in self.tails.items() if tail.gaps]
        return sorted([*gaps, *(known.fault for known in self.known.values() if known.fault)])

    def other(self, id: str) -> dict[str, Any] | None:
        """A container by its id, None where there is none."""
        folder = os.path.join(self.root, id)
        return described(folder, id) if os.path.isdir(folder) else None

    def name(self, id: str) -> str:
        seen = self.known[id].seen
        return seen.origin.container if seen else id[:12]

    @property
    def followed(self) -> list[dict[str, str]]:
        return [known.seen.brief for id, known in self.known.items() if id in self.tails and known.seen]

    def pieces(self, appeared: bool) -> Iterator[Piece]:
        """One turn for every container; first those that have appeared."""
        if appeared or self.unsettled or time.monotonic() - self.scanned > RESCAN:
            self.scan()
        for id, tail in list(self.tails.items()):
            data = b"".join(tail.read(SHARE))
            if data:
                yield Piece(id, tail.position, data)
            elif tail.gone:
                del self.tails[id]
                self.known.pop(id, None)
                yield Piece(id, None, tail.finish())
        for id in [id for id in self.positions if not os.path.isdir(os.path.join(self.root, id))]:  # gone while nobody looked
            del self.positions[id]
            yield Piece(id, None, b"")

    def scan(self) -> None:
        """Find containers that are new or have changed."""
        self.scanned = time.monotonic()
        self.unsettled = False
        there = [name for name in os.listdir(self.root) if len(name) == 64]
        for id in there:
            folder = os.path.join(self.root, id)
            try:
                changed = os.stat(os.path.join(folder, "config.v2.json")).st_mtime_ns
                if id not in self.known or self.known[id].changed != changed:
                    self.learn(id, folder, changed)
            except (OSError, ValueError):  # it is just being made, or removed
                self.unsettled = True
        for id in set(self.known).difference(there, self.tails):
            del self.known[id]

    def learn(self, id: str, folder: str, changed: int) -> None:
        """Read a container's folder; follow its log if it is chosen."""
        seen = self.choice.chosen(described(folder, id))
        driver = read(folder, "hostconfig.json")["LogConfig"]["Type"] if seen else ""
        fault = f"container {seen.origin.container}: {SILENT}" if seen and driver == "none" else ""
        self.known[id] = Known(changed, seen, fault)
        if seen and driver == "json-file":
            self.follow(id, folder, seen)

    def follow(self, id: str, folder: str, seen: Seen) -> None:
        if id in self.tails:
            self.tails[id].joiner.prefix = seen.origin.prefix
            return
        log = os.path.join(folder, f"{id}-json.log")
        self.tails[id] = Tail(log, seen.origin.prefix, self.most, self.positions.pop(id, None))


def described(folder: str, id: str) -> dict[str, Any]:
    """What the engine's API would say of it, as far as a choice needs it."""
    raw = read(folder, "config.v2.json")
    config, host = raw["Config"], read(folder, "hostconfig.json")
    return {
        "Id": id,
        "Name": raw["Name"],
        "Image": config.get("Image", ""),
        "Labels": config.get("Labels") or {},
        "Env": config.get("Env") or [],
        "Ports": [*(config.get("ExposedPorts") or {}), *(host.get("PortBindings") or {})],
        "Joins": joined(host),
    }


def read(folder: str, name: str) -> Any:
    with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as file:
        return json.load(file)
