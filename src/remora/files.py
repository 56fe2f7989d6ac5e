"""A file that is there as a whole or not at all, wherever a crash, a full disk or a kill comes in between."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """Write `path`: what was there before stays until all is written and on the disk. Its mode stays, and so does a link to it.

    What is no file, as /dev/stdout, is written to as it is. Raises OSError.
    """
    path = path.resolve() if path.is_symlink() and path.is_file() else path
    if path.exists() and not path.is_file():
        with path.open("wb") as file:
            yield file
        return
    temporary = path.with_name(f".{path.name[:200]}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as file:
            if path.exists():
                os.fchmod(file.fileno(), stat.S_IMODE(path.stat().st_mode))
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        settle(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def settle(folder: Path) -> None:
    """Have the names in a folder on the disk, too."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def write(path: Path, text: str) -> None:
    """Write a text, whole or not at all. Raises OSError."""
    with whole(path) as file:
        file.write(text.encode(errors="surrogateescape"))
