"""The reader: takes lines from its sources to the spool, and waits for nobody.

It has no network. What it was told is JSON in the variable REMORA_LOGS; what it says goes to standard error, a sentence a
line, and into the status file.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any, Protocol

from remora.images.logs.engine_files import SHARE, EngineFiles, Piece
from remora.images.logs.record import stamp
from remora.images.logs.senders import Keeper
from remora.images.logs.spool import Limits, Spool
from remora.images.logs.watch import Watch

BATCH = 256 << 10
BUSY, IDLE = 0.02, 0.1  # seconds between two looks
UPKEEP = 1.0
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)


class Source(Protocol):
    """Where lines come from. `stopping` is set before the last turn."""

    stopping: bool

    @property
    def followed(self) -> list[dict[str, str]]:
        """The containers whose lines are read."""

    @property
    def faults(self) -> list[str]:
        """What cannot be read, and why."""

    def pieces(self, appeared: bool) -> Iterator[Piece]:
        """What is new, a turn for each; `appeared` says that a watched folder changed."""


class Reader:
    """The loop."""

    def __init__(self, settings: dict[str, Any], root: str = "/spool") -> None:
        self.limits = Limits(**settings.get("spool", {}))
        settings["spool"] = {"max_message_bytes": self.limits.max_message_bytes}
        self.name = settings["reader"]
        self.spool = Spool(root, self.name, self.limits)
        self.keeper = Keeper(self.spool, settings["destinations"])
        self.watch = Watch()
        self.source = source(settings, self.spool.positions, self.watch)
        self.stopping = False
        self.kept = 0.0  # when upkeep was last done
        self.full = ""
        self.behind = False  # whether the last look left something unread
        self.status = os.path.join(root, "status", f"{self.name}.json")
        os.makedirs(os.path.dirname(self.status), exist_ok=True)
        self.said: dict[str, Any] = {}

    def run(self) -> None:
        """Until told to stop; then once more, to the end."""
        say(f"{self.name}: reading")
        appeared = True
        while not self.stopping:
            moved = self.turn(appeared)
            self.keeper.sweep()
            self.upkeep()
            appeared = self.watch.wait(UPKEEP if self.full else 0 if self.behind else BUSY if moved else IDLE)
        self.source.stopping = True
        end = time.monotonic() + 1.5
        while self.turn(True) and time.monotonic() < end:
            pass
        self.spool.close()
        self.upkeep(last=True)
        say(f"{self.name}: stopped after {self.spool.counted['lines']} lines")

    def turn(self, appeared: bool) -> bool:
        """One look at every source; whether there was anything."""
        batch: list[bytes] = []
        positions: dict[str, str | None] = {}
        size = 0
        self.behind = False
        try:
            self.spool.finish()
            for piece in self.source.pieces(appeared):
                batch.append(piece.data)
                positions[piece.source] = piece.position
                size += len(piece.data)
                self.behind = self.behind or len(piece.data) >= SHARE
                if size >= BATCH:
                    batch, data = [], b"".join(batch)
                    size = 0
                    self.spool.append(data, positions)
                    positions = {}
            if positions:
                self.spool.append(b"".join(batch), positions)
            self.spool.age()
        except OSError as error:
            self.stall(error)
            return False
        self.full = ""
        return bool(batch) or size > 0

    def stall(self, error: OSError) -> None:
        """The disk is full: keep what is in hand and try again."""
        if error.errno not in FULL:
            raise error
        if not self.full:
            say(f"{self.name}: cannot write to the spool: {error.strerror}; trying again every second")
        self.full = f"cannot write to the spool: {error.strerror}"

    def upkeep(self, last: bool = False) -> None:
        """Every second: delete what is sent or too much, and write the status."""
        now = time.monotonic()
        if now - self.kept < UPKEEP and not last:
            return
        self.kept = now
        dropped = self.spool.counted["dropped_lines"]
        try:
            self.keeper.work()
            if (more := self.spool.counted["dropped_lines"] - dropped) > 0:
                say(f"{self.name}: the spool is full: {more} lines that were not sent yet are dropped")
            self.write_status()
        except OSError as error:
            self.stall(error)
        self.tell()

    def tell(self) -> None:
        """Say what has changed: containers, faults, destinations."""
        names = {each["container"] for each in self.source.followed}
        before = self.said.get("names", set())
        for name in sorted(names - before):
            say(f"{self.name}: follows {name}")
        faults = set(self.source.faults)
        for fault in sorted(faults - self.said.get("faults", set())):
            say(fault)
        away = {name for name, sender in self.keeper.senders.items() if sender.stuck}
        for name in sorted(away - self.said.get("away", set())):
            say(f"{self.name}: destination {name} takes nothing; its lines wait in the spool")
        for name in sorted(self.said.get("away", set()) - away):
            say(f"{self.name}: destination {name} takes lines again")
        self.said = {"names": names, "faults": faults, "away": away}

    def write_status(self) -> None:
        counted = self.spool.counted
        status = {
            "time": stamp(time.time_ns()),
            "followed": self.source.followed,
            "lines": counted["lines"],
            "bytes": counted["bytes"],
            "dropped": {"lines": counted["dropped_lines"], "bytes": counted["dropped_bytes"]},
            "spooled_bytes": sum(self.keeper.sizes.values()),
            "destinations": self.keeper.report,
            "faults": [*self.source.faults, *([self.full] if self.full else [])],
        }
        draft = self.status + ".new"
        with open(draft, "w", encoding="utf-8") as file:
            json.dump(status, file)
        os.rename(draft, self.status)


def source(settings: dict[str, Any], positions: dict[str, str], watch: Watch) -> Source:
    """The source that the settings ask for; each is loaded only where it is needed."""
    if settings["source"] == "api":
        from remora.images.logs.engine_api import EngineApi

        return EngineApi(settings, positions, watch)
    if settings["source"] == "files":
        from remora.images.logs.files import Files

        return Files(settings, positions, watch)
    return EngineFiles(settings, positions, watch)


def say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def main() -> None:
    reader = Reader(json.loads(os.environ["REMORA_LOGS"]))

    def stop(*_: object) -> None:
        reader.stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    signal.set_wakeup_fd(reader.watch.alarm)
    reader.run()


if __name__ == "__main__":
    main()
