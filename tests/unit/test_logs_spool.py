"""The spool: once, whatever happens."""

import os
import resource
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from remora.images.logs.senders import Keeper
from remora.images.logs.spool import HEAD, Limits, Spool


def content(root: Path, reader: str = "r") -> bytes:
    return b"".join(path.read_bytes()[HEAD:] for path in sorted((root / "segments" / reader).glob("*.jsonl")))


def state(root: Path, segment: Path, offset: int, destination: str = "d-1") -> None:
    """A state file as rsyslog's imfile writes it."""
    folder = root / "state" / destination
    folder.mkdir(parents=True, exist_ok=True)
    path = str(segment).replace("/", "\\/")
    text = f'{{ "filename": "{path}", "prev_was_nl": 0, "curr_offs": {offset}, "strt_offs": {offset} }}'
    (folder / f"imfile-state:{segment.stat().st_ino}:00").write_text(text)


def segments(root: Path) -> list[Path]:
    return sorted(path for path in (root / "segments" / "r").glob("*.jsonl") if path.is_file())


def test_what_is_appended_is_there_once(tmp_path: Path) -> None:
    for number in range(10):
        spool = Spool(str(tmp_path), "r", Limits())
        assert spool.positions == ({"c": str(number)} if number else {})
        spool.append(b"line %d\n" % number, {"c": str(number + 1)})
    assert content(tmp_path) == b"".join(b"line %d\n" % number for number in range(10))


WRITER = """
import sys
from remora.images.logs.spool import Limits, Spool
spool = Spool(sys.argv[1], "r", Limits(segment_bytes=300_000))
number = int(spool.positions.get("c", "0"))
print("up", flush=True)
while True:
    number += 1
    spool.append(b"".join(b"%d %d %s\\n" % (number, line, b"x" * 90) for line in range(1500)), {"c": str(number)})
"""


def test_a_process_killed_at_any_instant_loses_and_doubles_nothing(tmp_path: Path) -> None:
    for turn in range(12):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout and writer.stdout.readline() == b"up\n"
            select.select([], [], [], 0.011 * (turn + 1))
            writer.kill()
    last = Spool(str(tmp_path), "r", Limits())
    last.finish()
    count = int(last.positions["c"])
    wanted = ((b"%d %d" % (number, line)) for number in range(1, count + 1) for line in range(1500))
    assert count > 12
    assert all(line.startswith(want + b" ") for line, want in zip(content(tmp_path).splitlines(), wanted, strict=True))


@pytest.mark.parametrize("cut", [0, 1, 50, 99])
def test_a_torn_append_is_completed(tmp_path: Path, cut: int) -> None:
    spool = Spool(str(tmp_path), "r", Limits())
    spool.append(b"a" * 99 + b"\n", {"c": "1"})
    spool.append(b"b" * 99 + b"\n", {"c": "2"})
    os.truncate(segments(tmp_path)[0], HEAD + 100 + cut)
    again = Spool(str(tmp_path), "r", Limits())
    assert again.pending
    again.finish()
    assert content(tmp_path) == b"a" * 99 + b"\n" + b"b" * 99 + b"\n"


def test_a_torn_redo_slot_means_the_one_before(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path), "r", Limits())
    spool.append(b"a\n", {"c": "1"})
    spool.append(b"b\n", {"c": "2"})
    slot = tmp_path / "readers" / "r" / f"redo.{spool.number % 2}"
    slot.write_bytes(slot.read_bytes()[:-1] + b"?")
    assert Spool(str(tmp_path), "r", Limits()).positions == {"c": "1"}


def test_a_full_disk_is_waited_for(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path), "r", Limits())
    spool.append(b"a\n", {"c": "1"})
    small = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, small[1]))
    try:
        with pytest.raises(OSError):
            spool.append(b"b" * 500 + b"\n", {"c": "2"})
        assert spool.pending
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, small)
    spool.finish()
    assert content(tmp_path) == b"a\n" + b"b" * 500 + b"\n"


def filled(root: Path, count: int, limits: Limits, text: bytes = b"") -> Spool:
    spool = Spool(str(root), "r", limits)
    for number in range(count):
        spool.append(b"".join(b"%d %d%s\n" % (number, line, text) for line in range(200)), {"c": str(number)})
    return spool


def settled(keeper: Keeper) -> None:
    keeper.work()
    while keeper.going:
        keeper.sweep()


@pytest.mark.parametrize(
    "text, left",
    [
        pytest.param(b"x" * 1500, (4, 5, 6), id="two segments have the lines that RELP, and the bytes that TLS may go back for"),
        pytest.param(b"x" * 3000, (4, 5, 6), id="one has the bytes, two have the lines"),
        pytest.param(b"x" * 1000, (3, 4, 5, 6), id="two have the lines, three the bytes"),
    ],
)
def test_what_everyone_has_goes_but_for_the_newest_lines(tmp_path: Path, text: bytes, left: tuple[int, ...]) -> None:
    keeper = Keeper(filled(tmp_path, 6, Limits(segment_bytes=100), text), ["d-1", "d-2"])
    for path in segments(tmp_path)[:5]:
        state(tmp_path, path, path.stat().st_size)
    settled(keeper)
    assert len(segments(tmp_path)) == 6
    for path in segments(tmp_path)[:5]:
        state(tmp_path, path, path.stat().st_size, "d-2")
    settled(keeper)
    assert [path.name for path in segments(tmp_path)] == [f"{n:012d}.jsonl" for n in left]


def test_above_the_cap_the_oldest_that_nobody_reads_is_dropped_and_counted(tmp_path: Path) -> None:
    spool = filled(tmp_path, 6, Limits(bytes=8000, segment_bytes=100))
    one = segments(tmp_path)[0].stat().st_size
    keeper = Keeper(spool, ["d-1"])
    settled(keeper)
    gone = 6 - len(segments(tmp_path))
    assert gone and segments(tmp_path)[0].name == "000000000001.jsonl"
    assert spool.counted["dropped_lines"] == gone * 200
    assert sum(path.stat().st_size for path in segments(tmp_path)) <= 8000 < 6 * one
    assert Spool(str(tmp_path), "r", Limits()).counted["dropped_lines"] == gone * 200


def test_a_destination_tells_what_waits_for_it(tmp_path: Path) -> None:
    spool = filled(tmp_path, 1, Limits())
    keeper = Keeper(spool, ["d-1"])
    keeper.work()
    size = segments(tmp_path)[0].stat().st_size
    assert keeper.report == {"d-1": {"waiting_bytes": size - HEAD, "waiting_since": None}}
    state(tmp_path, segments(tmp_path)[0], size)
    keeper.work()
    assert keeper.report["d-1"]["waiting_bytes"] == 0


def test_an_empty_state_file_means_what_was_known(tmp_path: Path) -> None:
    keeper = Keeper(filled(tmp_path, 1, Limits()), ["d-1"])
    path = segments(tmp_path)[0]
    state(tmp_path, path, path.stat().st_size)
    keeper.work()
    next((tmp_path / "state" / "d-1").iterdir()).write_text("")
    keeper.work()
    assert keeper.report["d-1"]["waiting_bytes"] == 0
