"""Text files of an app, with real files."""

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

from remora.images.logs.files import Files
from remora.images.logs.watch import Watch

LONG_AGO = time.time() - 100


def source(root: Path, positions: dict[str, str] | None = None) -> Files:
    about: dict[str, Any] = {"stack": "s", "environment": "prod", "service": "web", "replica": "1", "container": "web-1"}
    about |= {"paths": [f"{root}/*"], "files": str(root), "spool": {"max_message_bytes": 1 << 18}}
    return Files(about, positions or {}, Watch())


def read(files: Files, positions: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """What a look finds; positions are noted as the spool does."""
    found = b""
    for piece in files.pieces(appeared=True):
        found += piece.data
        if positions is not None and piece.position is not None:
            positions[piece.source] = piece.position
    return [json.loads(line) for line in found.split(b"\n")[:-1]]


def texts(records: list[dict[str, Any]]) -> list[str]:
    return [record["log"] for record in records]


def test_a_line_is_a_record(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b'one "q" \\ \xc3\xa9\nno text \xff\n\nlast without newline')
    records = read(source(tmp_path))
    assert texts(records) == ['one "q" \\ é', "no text \ufffd", ""]
    assert list(records[0]) == ["stack", "environment", "service", "replica", "container", "id", "log", "stream", "time", "offset"]
    assert records[0]["stream"] == "/a.log" and len({record["time"] for record in records}) == 3


def test_renamed_and_followed(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("1\n")
    files = source(tmp_path)
    assert texts(read(files)) == ["1"]
    with log.open("a") as writer:
        log.rename(tmp_path / "a.log.1")
        writer.write("2\n")
    log.write_text("3\n")
    assert sorted(texts(read(files))) == ["2", "3"]


def test_copytruncate_doubles_nothing_and_loses_nothing(tmp_path: Path) -> None:
    log, copy = tmp_path / "a.log", tmp_path / "a.log.1"
    log.write_text("1\n2\n")
    positions: dict[str, str] = {}
    files = source(tmp_path)
    assert texts(read(files, positions)) == ["1", "2"]
    with log.open("a") as writer:
        writer.write("3\n")
    shutil.copy(log, copy)
    os.truncate(log, 0)
    os.utime(copy, (LONG_AGO, LONG_AGO))
    log.write_text("4\n")
    assert sorted(texts(read(files, positions))) == ["3", "4"]
    assert read(source(tmp_path, positions)) == []


def test_a_copy_that_is_read_already_stays_read_after_a_restart(tmp_path: Path) -> None:
    log, copy = tmp_path / "a.log", tmp_path / "a.log.1"
    log.write_text("1\n2\n")
    positions: dict[str, str] = {}
    files = source(tmp_path)
    read(files, positions)
    shutil.copy(log, copy)
    os.truncate(log, 0)
    os.utime(copy, (LONG_AGO, LONG_AGO))
    assert read(files, positions) == []
    log.write_text("3\n")
    assert texts(read(files, positions)) == ["3"]
    assert read(source(tmp_path, positions)) == []


def test_an_end_without_newline_is_taken_at_the_stop(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("whole\nhalf")
    files = source(tmp_path)
    assert texts(read(files)) == ["whole"]
    files.stopping = True
    assert texts(read(files)) == ["half"]


def test_compressed_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.log.2.gz").write_bytes(b"\x1f\x8b rest\n")
    assert read(source(tmp_path)) == []


def test_a_file_that_was_emptied_and_is_as_long_again_is_another(tmp_path: Path) -> None:
    """While nobody looked, it was copied, emptied, and filled to the same length: only its content tells."""
    log = tmp_path / "a.log"
    log.write_text("one\ntwo\n")
    positions: dict[str, str] = {}
    assert texts(read(source(tmp_path), positions)) == ["one", "two"]
    shutil.copy(log, tmp_path / "a.log.1")
    os.utime(tmp_path / "a.log.1", (LONG_AGO, LONG_AGO))
    os.truncate(log, 0)
    log.write_text("six\nten\n")
    assert texts(read(source(tmp_path, positions), positions)) == ["six", "ten"]
