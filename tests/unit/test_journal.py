"""The journal keeps what happened, and costs nothing but history when it cannot."""

import os
import resource
import sqlite3
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from remora import journal
from remora.commands.events import line, moment
from remora.core.news import News
from remora.errors import RemoraError, WrongUsage
from remora.journal import Journal, Reader, place, stamped

KEPT = "what happens is not kept for `remora events`; make room, or name another folder with REMORA_STATE"


def news(number=0, words="it happened", ago=0.0):
    return News("app.started", stamped(datetime.now(UTC) - timedelta(seconds=ago)), words, "shop", "prod", facts={"number": number})


def numbers(path, since=""):
    return [each["facts"]["number"] for each in Reader(path, since).more()]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "shop.prod.events"


@contextmanager
def written(path, *found, **more):
    """A journal with these news in it, and what it had to say."""
    said = []
    writer = Journal(path, said.append, **more)
    for each in found:
        writer.tell(each)
    yield writer, said
    writer.close()


def test_what_is_written_can_be_read(path):
    with written(path, news(1), news(2)) as (_, said):
        assert (numbers(path), said) == ([1, 2], [])
    [first, _] = Reader(path).more()
    assert {**first, "time": ""} == {**news(1).to_json(), "time": ""}


def test_it_goes_on_after_a_restart(path):
    for number in range(3):
        with written(path, news(number)):
            pass
    assert numbers(path) == [0, 1, 2]


def test_only_its_owner_may_read_it(path):
    with written(path, news()):
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_reader_follows(path):
    reader = Reader(path)
    assert list(reader.more()) == []
    with written(path, news(1)) as (writer, _):
        assert len(list(reader.more())) == 1
        writer.tell(news(2))
        assert [each["facts"]["number"] for each in reader.more()] == [2]
        assert list(reader.more()) == []


def test_a_reader_begins_where_it_is_told(path):
    with written(path, news(1, ago=7200), news(2, ago=60)):
        assert numbers(path, stamped(moment("1h"))) == [2]


def test_it_forgets_what_is_old(path):
    with written(path, news(1, ago=100), age=50) as (writer, _):
        for number in range(2, 2 + journal.OFTEN):
            writer.tell(news(number))
    assert numbers(path)[0] == 2


def test_it_forgets_the_oldest_when_there_is_too_much(path):
    size = 1 << 20
    with written(path, *(news(number, "x" * 10_000) for number in range(500)), size=size) as (_, said):
        assert sum(each.stat().st_size for each in path.parent.iterdir()) < size + (5 << 20)
    assert path.stat().st_size <= size + 8192
    assert (numbers(path)[-1], said) == (499, [])


def test_one_that_is_killed_while_it_writes_leaves_a_whole_journal(path):
    program = f"""
from remora.journal import Journal
from remora.core.news import News
import os, pathlib
writer = Journal(pathlib.Path({str(path)!r}), print)
for number in range(100):
    writer.tell(News("app.started", {stamped(datetime.now(UTC))!r}, "w", facts={{"number": number}}))
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", program], check=False)
    with written(path, news(100)) as (_, said):
        assert (numbers(path), said) == ([*range(101)], [])


# ---- what can go wrong ----


def test_garbage_is_put_aside(path):
    path.parent.mkdir()
    path.write_bytes(b"not a database, and long enough to be looked at as one " * 100)
    with written(path, news(1), news(2)) as (_, said):
        assert numbers(path) == [1, 2]
    aside = f"{path}.damaged"
    assert said == [f"the journal {path} is damaged (file is not a database): history begins anew, and the old file is {aside}"]
    assert Path(aside).exists()


def test_a_torn_file_is_put_aside(path):
    with written(path, *(news(number, "x" * 1000) for number in range(200))):
        pass
    path.write_bytes(path.read_bytes()[:5000] + os.urandom(50_000))
    with written(path, news(1)) as (_, said):
        assert numbers(path) == [1]
    assert len(said) == 1 and "is damaged" in said[0]


def test_one_that_is_removed_meanwhile_begins_anew(path):
    with written(path, news(1)) as (writer, said):
        reader = Reader(path)
        assert len(list(reader.more())) == 1
        for each in path.parent.iterdir():
            each.unlink()
        writer.tell(news(2))
        assert (numbers(path), len(list(reader.more())), said) == ([2], 1, [])


def test_a_folder_that_cannot_be_made_is_said_once(tmp_path):
    (tmp_path / "state").write_text("a file")
    path = tmp_path / "state" / "shop.prod.events"
    with written(path, news(1), news(2)) as (_, said):
        assert said == [f"the journal {path} cannot be written (File exists): {KEPT}"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_a_folder_that_is_read_only_is_said_once_and_written_again_as_soon_as_it_can_be(tmp_path, monkeypatch):
    with mounted(tmp_path / "state", "size=8m") as folder:
        path = folder / "shop.prod.events"
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        with written(path, news(1), news(2)) as (writer, said):
            assert said == [f"the journal {path} cannot be written (Read-only file system): {KEPT}"]
            subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)
            writer.tell(news(3))
            assert not path.exists()
            writer.failed_at -= journal.AGAIN
            writer.tell(news(4))
            assert (numbers(path), said[1:]) == ([4], [f"the journal {path} is written again"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_a_disk_that_becomes_full_costs_history_alone(tmp_path):
    with mounted(tmp_path / "state", "size=256k") as folder:
        path = folder / "shop.prod.events"
        with written(path, *(news(number, "x" * 5000) for number in range(200))) as (_, said):
            assert len(said) == 1
            assert said[0].startswith(f"the journal {path} cannot be written (")
            assert said[0].endswith(KEPT)
        assert numbers(path)[:3] == [0, 1, 2]


def test_a_file_that_may_not_grow_costs_history_alone(path):
    """A quota, or a limit of the service: the write fails, whatever the disk has left."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with written(path, *(news(number, "x" * 5000) for number in range(50))) as (_, said):
            assert len(said) == 1 and "cannot be written" in said[0]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_one_that_somebody_holds_is_said_once(path):
    with written(path, news(1)) as (writer, said):
        with sqlite3.connect(path, isolation_level=None) as other:
            other.execute("BEGIN EXCLUSIVE")
            writer.tell(news(2))
            other.execute("COMMIT")
        other.close()
        assert said == [f"the journal {path} cannot be written (database is locked): {KEPT}"]


def test_a_reader_of_garbage_says_so(path):
    path.parent.mkdir()
    path.write_bytes(b"not a database, and long enough to be looked at as one " * 100)
    with pytest.raises(RemoraError) as error:
        list(Reader(path).more())
    assert str(error.value) == f"the journal {path} cannot be read: file is not a database"


@contextmanager
def mounted(folder, options):
    """A disk of its own at `folder`."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "remora-test", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


# ---- where it lies, and what is printed ----


@pytest.mark.parametrize(
    "stack, name",
    [
        pytest.param("shop", "shop.prod.events", id="a stack"),
        pytest.param("*", "host.prod.events", id="the whole host"),
        pytest.param("../x", ".._x.prod.events", id="a name that would lead elsewhere"),
    ],
)
def test_each_stack_has_one_of_its_own(monkeypatch, tmp_path, stack, name):
    monkeypatch.setenv("REMORA_STATE", str(tmp_path))
    assert place(stack, "prod") == tmp_path / name


def test_a_line_says_when_what_and_how():
    found = {"time": "2024-05-01T12:00:00.123Z", "name": "app.oom", "words": "shop-web-1 ran out of memory"}
    assert line(found) == "2024-05-01T12:00:00Z  app.oom             shop-web-1 ran out of memory"


def test_a_time_may_be_written_in_many_ways():
    assert stamped(moment("2024-05-01T12:00:00Z")) == stamped(moment("2024-05-01T14:00:00+02:00")) == "2024-05-01T12:00:00.000Z"
    assert moment("2024-05-01").isoformat()[:10] == "2024-05-01"
    assert abs(datetime.now(UTC) - moment("1h") - timedelta(hours=1)) < timedelta(minutes=1)


def test_a_time_that_is_none_is_refused():
    with pytest.raises(WrongUsage) as error:
        moment("yesterday")
    words = "--since: `yesterday` is not a time; write it like 10m, 2d, 2024-05-31 or 2024-05-31T12:00:00Z"
    assert str(error.value) == words
