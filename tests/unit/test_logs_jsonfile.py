"""Lines of the json-file driver into records."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.images.logs.jsonfile import CUT, Joiner
from remora.images.logs.record import Origin, safe, stamp

ORIGIN = Origin("coins", "prod", "web", "1", "coins-web-1", "0123456789ab")
MOST = 256 << 10


def driver(text: str, stream: str = "stdout", at: int = 0) -> bytes:
    """A line as the engine writes it: compact, with <, > and & escaped."""
    line = json.dumps({"log": text, "stream": stream, "time": stamp(at)}, separators=(",", ":"), ensure_ascii=False)
    return line.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026").encode() + b"\n"


def read(chunk: bytes) -> list[dict[str, str]]:
    return [json.loads(line) for line in chunk.split(b"\n")[:-1]]


def joiner() -> Joiner:
    return Joiner(ORIGIN.prefix, MOST)


def test_a_record_has_the_metadata_first() -> None:
    assert joiner().convert(driver("hello\n", at=5)) == (
        b'{"stack":"coins","environment":"prod","service":"web","replica":"1","container":"coins-web-1",'
        b'"id":"0123456789ab","log":"hello","stream":"stdout","time":"1970-01-01T00:00:00.000000005Z"}\n'
    )


@given(st.lists(st.tuples(st.text(), st.sampled_from(["stdout", "stderr"])), min_size=1))
def test_any_text_arrives_as_it_was(messages: list[tuple[str, str]]) -> None:
    chunk = b"".join(driver(text + "\n", stream) for text, stream in messages)
    assert [(each["log"], each["stream"]) for each in read(joiner().convert(chunk))] == messages


@given(st.lists(st.tuples(st.text(min_size=1), st.booleans()), min_size=1))
def test_the_fast_way_and_the_slow_way_agree(messages: list[tuple[str, bool]]) -> None:
    lines = [driver(text + "\n" * ends) for text, ends in messages]
    slow = b"".join(joiner().line(line) for line in lines)
    assert joiner().convert(b"".join(lines)) == slow


@pytest.mark.parametrize("text", ["\\n", "\\\\n", "a\\\n\\n", '","stream":"', '\\n","stream":"x', "\\ufffd"])
def test_texts_that_look_like_the_end(text: str) -> None:
    assert [each["log"] for each in read(joiner().convert(driver(text + "\n") + driver("next\n")))] == [text, "next"]


def test_parts_are_joined_by_stream() -> None:
    out, err = "o" * 40000, "e" * 40000
    pieces = [
        driver(text[start : start + CUT] + ("\n" if start + CUT > 40000 else ""), stream, at=start)
        for start in range(0, 40000, CUT)
        for text, stream in ((out, "stdout"), (err, "stderr"))
    ]
    assert [(each["log"], each["time"]) for each in read(joiner().convert(b"".join(pieces)))] == [(out, stamp(0)), (err, stamp(0))]


def test_a_part_waits_through_a_restart() -> None:
    first = joiner()
    assert first.convert(driver("é" * (CUT // 2))) == b""
    second = Joiner(ORIGIN.prefix, MOST, json.loads(json.dumps(first.state)))
    assert [each["log"] for each in read(second.convert(driver("!\n")))] == ["é" * (CUT // 2) + "!"]


def test_bytes_that_are_no_text_count_as_one() -> None:
    part = driver("x" * (CUT - 2) + "\ufffd" * 2).replace("\ufffd".encode(), b"\\ufffd")
    both = joiner()
    assert both.convert(part) == b""
    assert len(read(both.convert(driver("y\n")))[0]["log"]) == CUT + 1


def test_last_words_without_newline_do_not_wait() -> None:
    assert [each["log"] for each in read(joiner().convert(driver("bye")))] == ["bye"]


def test_an_endless_message_is_cut() -> None:
    small = Joiner(ORIGIN.prefix, 2 * CUT)
    records = b"".join(small.convert(driver("x" * CUT)) for _ in range(5)) + small.convert(driver("\n"))
    assert [len(each["log"]) for each in read(records)] == [2 * CUT, 2 * CUT, CUT]


def test_attributes_of_the_driver_stay() -> None:
    line = b'{"log":"a\\n","stream":"stdout","attrs":{"tag":"t"},"time":"2026-01-01T00:00:00Z"}\n'
    assert read(joiner().convert(line + line))[1]["attrs"] == {"tag": "t"}


@pytest.mark.parametrize("torn", ['{"log":"to', '{"log":"torn\\n","stream":"std', '{"log":"torn\\n","stream":"stdout","time":"2026'])
def test_a_line_that_a_crash_of_the_engine_tore_is_kept(torn: str) -> None:
    found = read(joiner().convert(driver("a\n") + torn.encode() + driver("b\n")))
    assert [each["log"] for each in found] == ["a", torn, "b"]


def test_metadata_never_needs_escaping() -> None:
    assert safe('a"b\\c]d\ne') == "a_b_c_d_e"
    assert b'"service":"my_web"' in ORIGIN._replace(service="my web").prefix
