"""The journal: the news of one stack, in a SQLite file of the state folder that has a cap and forgets what is old.

It is history and nothing else. Where it cannot be written, is damaged or gone, that is said once, and the watcher goes on; as soon as it
can be written again, it is. One watcher writes it, and any number may read meanwhile: that is what the write-ahead log is for.
"""

from __future__ import annotations

import json
import os
import random
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from remora.core.news import News
from remora.errors import RemoraError
from remora.session import state_folder
from remora.witness import Outlet

SIZE = 16 << 20  # bytes; with the write-ahead log it may be 4 MiB more
AGE = 30 * 86400  # seconds
AGAIN = 60.0  # seconds until a journal that could not be written is tried again
OFTEN = 64  # news between two looks at size and age
TABLE = "CREATE TABLE IF NOT EXISTS news (id INTEGER PRIMARY KEY AUTOINCREMENT, time TEXT NOT NULL, body TEXT NOT NULL)"
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

Stamp = tuple[int, int]


def place(stack: str, environment: str) -> Path:
    """Where the journal of a stack lies."""
    name = "host" if stack == "*" else re.sub(r"[^\w.-]", "_", stack)
    return state_folder() / f"{name}.{environment}.events"


class Journal(Outlet):
    """The writer. `say` gets a sentence when writing fails, and when it goes well again."""

    def __init__(self, path: Path, say: Callable[[str], None], size: int = SIZE, age: float = AGE) -> None:
        self.path, self.say, self.size, self.age = path, say, size, age
        self.database: sqlite3.Connection | None = None
        self.stamp: Stamp | None = None  # which file is open
        self.failed_at: float | None = None
        self.written = 0

    def tell(self, news: News) -> None:
        """Write one; what cannot be written is lost."""
        now = time.monotonic()
        if self.failed_at is not None and now - self.failed_at < AGAIN:
            return
        try:
            self.write(news)
        except (sqlite3.Error, OSError) as error:
            self.fail(error, now)
            return
        if self.failed_at is not None:
            self.failed_at = None
            self.say(f"the journal {self.path} is written again")

    def close(self) -> None:
        if self.database:
            with suppress(sqlite3.Error):
                self.database.close()
        self.database = None

    def write(self, news: News) -> None:
        row = (news.time, json.dumps(news.to_json(), default=str))
        for last in (False, True):
            try:
                self.reached().execute("INSERT INTO news (time, body) VALUES (?, ?)", row)
                break
            except sqlite3.DatabaseError as error:
                if last or not self.mended(error):
                    raise
        self.written += 1
        if self.written % OFTEN == 1:
            self.trim()

    def reached(self) -> sqlite3.Connection:
        """The database; opened anew when its file was removed or replaced."""
        if self.database and stamp(self.path) == self.stamp:
            return self.database
        self.close()
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        self.database = sqlite3.connect(self.path, isolation_level=None, timeout=1)
        self.database.execute("PRAGMA journal_mode=WAL")
        self.database.execute("PRAGMA synchronous=NORMAL")
        self.database.execute(f"PRAGMA journal_size_limit={4 << 20}")
        self.database.execute(f"PRAGMA max_page_count={self.size // self.pragma('page_size') + 1}")
        self.database.execute(TABLE)
        if not self.pragma("user_version"):  # names this very journal, for readers of the one before
            self.database.execute(f"PRAGMA user_version={random.getrandbits(31) or 1}")
        self.stamp = stamp(self.path)
        return self.database

    def pragma(self, name: str) -> int:
        assert self.database
        return int(self.database.execute(f"PRAGMA {name}").fetchone()[0])

    def mended(self, error: sqlite3.DatabaseError) -> bool:
        """Make room in a journal that is full, put one that is damaged aside; whether it is worth another try."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL and self.database:
            return self.make_room()
        if code not in DAMAGED:
            return False
        self.close()
        aside = self.path.with_name(self.path.name + ".damaged")
        self.path.replace(aside)
        for rest in ("-wal", "-shm"):
            self.path.with_name(self.path.name + rest).unlink(missing_ok=True)
        self.say(f"the journal {self.path} is damaged ({error}): history begins anew, and the old file is {aside}")
        return True

    def trim(self) -> None:
        """Forget what is too old, and the oldest when there is too much."""
        assert self.database
        oldest = datetime.now(UTC) - timedelta(seconds=self.age)
        self.database.execute("DELETE FROM news WHERE time < ?", (stamped(oldest),))
        used = (self.pragma("page_count") - self.pragma("freelist_count")) * self.pragma("page_size")
        if used > self.size * 0.9:
            self.make_room()

    def make_room(self) -> bool:
        """Forget the oldest quarter; whether there was any."""
        assert self.database
        quarter = "SELECT min(id) + (max(id) - min(id)) / 4 FROM news"
        return self.database.execute(f"DELETE FROM news WHERE id <= ({quarter})").rowcount > 0

    def fail(self, error: Exception, now: float) -> None:
        """Say it once, and try again later."""
        self.close()
        if self.failed_at is None:
            why = getattr(error, "strerror", None) or str(error)
            self.say(
                f"the journal {self.path} cannot be written ({why}): what happens is not kept for `remora events`; "
                f"make room, or name another folder with REMORA_STATE"
            )
        self.failed_at = now


class Reader:
    """Reads a journal from its beginning, or from a time on, and then what comes."""

    def __init__(self, path: Path, since: str = "") -> None:
        self.path, self.since = path, since
        self.journal = 0  # the number of the one that was read
        self.last = 0

    def more(self) -> Iterator[dict[str, Any]]:
        """The news that were not read yet, oldest first. Raises RemoraError for a journal that cannot be read."""
        if not self.path.exists():
            return
        try:
            with closing(sqlite3.connect(f"{self.path.resolve().as_uri()}?mode=ro", uri=True, timeout=5)) as database:
                found = database.execute("PRAGMA user_version").fetchone()[0]
                if found != self.journal:
                    self.journal, self.last = found, 0
                rows = "SELECT id, body FROM news WHERE id > ? AND time >= ? ORDER BY id"
                for number, body in database.execute(rows, (self.last, self.since)):
                    self.last = number
                    yield json.loads(body)
        except (sqlite3.Error, ValueError) as error:
            if "no such table" not in str(error):  # it is just being made
                raise RemoraError(f"the journal {self.path} cannot be read: {error}") from None


def stamp(path: Path) -> Stamp | None:
    """Which file lies there, None for none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino)


def stamped(when: datetime) -> str:
    """A time as the journal has it."""
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
