"""What an engine answers over a unix socket, whole, in pieces, and broken."""

import socket
import threading
from contextlib import suppress

import pytest

from remora.engines.wire import Wire, members

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"


@pytest.fixture
def engine(tmp_path):
    """A function that has an engine answer with these bytes, one connection after the other, one answer a request."""
    path = str(tmp_path / "sock")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()

    def serve(connections):
        for answers in connections:
            client, _ = listener.accept()
            with client, suppress(OSError):  # who asked may hang up
                for answer in answers:
                    client.recv(4096)
                    for at in range(len(answer)):  # byte by byte: where a piece ends must not matter
                        client.sendall(answer[at : at + 1])

    def answering(*connections):
        threading.Thread(target=serve, args=(connections,), daemon=True).start()
        return Wire(path, 5)

    yield answering
    listener.close()


def test_an_answer_is_the_same_however_it_comes(engine):
    wire = engine([GOOD, CHUNKED, GOOD])
    assert [wire.get("/x") for _ in range(3)] == [(200, b"OK"), (200, b"abcde"), (200, b"OK")]


def test_a_kept_connection_that_the_engine_closed_is_replaced(engine):
    wire = engine([GOOD], [GOOD])
    assert [wire.get("/x") for _ in range(2)] == [(200, b"OK")] * 2


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"garbage\r\n\r\n", id="no code"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2p1\r\n", id="not HTTP, and no end of a head"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n", id="no end"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", id="a length that is none"),
    ],
)
def test_what_is_no_answer_is_refused_and_its_connection_thrown_away(engine, answer):
    wire = engine([answer], [GOOD])
    with pytest.raises((ValueError, IndexError)):
        wire.get("/x")
    assert wire.get("/x") == (200, b"OK")


def test_an_answer_that_breaks_off_is_an_error_of_the_connection(engine):
    wire = engine([CHUNKED[:-8]])
    with pytest.raises(ConnectionResetError):
        wire.get("/x")
    assert not wire.idle


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_a_list_is_read_piece_by_piece(size):
    text = '[{"a": "é"},\n {"b": [1, {"c": 2}]}]\n'.encode()
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    assert list(members(pieces)) == [{"a": "é"}, {"b": [1, {"c": 2}]}]
    assert list(members([b"[]\n"])) == []


@pytest.mark.parametrize("text", [b"", b"{}", b'[{"a": 1}', b'[{"a": 1}, {"b"'])
def test_a_list_that_breaks_off_is_refused(text):
    with pytest.raises(ValueError):
        list(members([text]))
