"""Following a log through rotations, with real files."""

import gzip
import json
import os
from pathlib import Path

from remora.images.logs.tail import Tail

LONG = 1 << 30


class Driver:
    """Writes and rotates as the engine's json-file driver does."""

    def __init__(self, folder: Path, keep: int = 3, compress: bool = False) -> None:
        self.log, self.keep, self.compress, self.number = folder / "c-json.log", keep, compress, 0
        self.log.touch()

    def write(self, count: int) -> None:
        with self.log.open("ab") as file:
            for _ in range(count):
                file.write(b'{"log":"%d\\n","stream":"stdout","time":"2026-01-01T00:00:00.%09dZ"}\n' % (self.number, self.number))
                self.number += 1

    def rotate(self) -> None:
        end = ".gz" if self.compress else ""
        for number in range(self.keep - 1, 1, -1):
            if (before := Path(f"{self.log}.{number - 1}{end}")).exists():
                before.rename(f"{self.log}.{number}{end}")
        rotated = self.log.rename(f"{self.log}.1")
        self.log.touch()
        if self.compress:
            Path(f"{rotated}.gz").write_bytes(gzip.compress(rotated.read_bytes()))
            rotated.unlink()


def numbers(tail: Tail) -> list[int]:
    return [int(json.loads(line)["log"]) for line in b"".join(tail.read(LONG)).split(b"\n")[:-1]]


def follow(driver: Driver, position: str = "{}") -> Tail:
    return Tail(str(driver.log), b'{"id":"c",', 1 << 20, json.loads(position))


def test_rotations_between_two_looks(tmp_path: Path) -> None:
    driver = Driver(tmp_path)
    tail = follow(driver)
    driver.write(10)
    assert numbers(tail) == list(range(10))
    driver.write(5)
    driver.rotate()
    driver.write(5)
    driver.rotate()
    driver.write(5)
    assert numbers(tail) == list(range(10, 25))
    assert not tail.gaps


def test_a_restart_in_the_middle_of_a_rotated_file(tmp_path: Path) -> None:
    for compress in (False, True):
        folder = tmp_path / str(compress)
        folder.mkdir()
        driver = Driver(folder, compress=compress)
        driver.write(10)
        first = follow(driver)
        assert numbers(first) == list(range(10))
        driver.write(10)
        driver.rotate()
        driver.write(10)
        driver.rotate()
        driver.write(10)
        assert numbers(follow(driver, first.position)) == list(range(10, 40))


def test_what_the_engine_deleted_unread_is_said(tmp_path: Path) -> None:
    driver = Driver(tmp_path, keep=2)
    driver.write(10)
    first = follow(driver)
    numbers(first)
    position = first.position
    first.close()
    for _ in range(4):
        driver.write(10)
        driver.rotate()
    again = follow(driver, position)
    assert numbers(again) == list(range(40, 50)) or again.gaps == 1


def test_a_removed_log_is_read_to_its_end(tmp_path: Path) -> None:
    folder = tmp_path / "container"
    folder.mkdir()
    driver = Driver(folder)
    tail = follow(driver)
    driver.write(1)
    assert numbers(tail) == [0]
    driver.write(1000)
    driver.log.unlink()
    folder.rmdir()
    assert numbers(tail) == list(range(1, 1001))
    assert tail.gone


def test_a_log_that_is_emptied_in_place(tmp_path: Path) -> None:
    driver = Driver(tmp_path)
    tail = follow(driver)
    driver.write(10)
    numbers(tail)
    os.truncate(driver.log, 0)
    driver.write(3)
    assert numbers(tail) == [10, 11, 12]


def test_a_line_that_is_just_being_written_waits(tmp_path: Path) -> None:
    driver = Driver(tmp_path)
    tail = follow(driver)
    with driver.log.open("ab") as file:
        file.write(b'{"log":"0\\n","stream":"std')
    assert numbers(tail) == []
    with driver.log.open("ab") as file:
        file.write(b'out","time":"2026-01-01T00:00:00Z"}\n')
    assert numbers(tail) == [0]
