"""An engine that answers by drops is waited for no longer than one that says nothing."""

import json
import socket
import threading
import time
from contextlib import suppress
from itertools import chain, repeat

import pytest

from remora.core.plan import GiveUp
from remora.engines.connect import connect
from remora.engines.host import Host
from remora.errors import RemoraError

DROP = 0.05  # seconds between two bytes: far less than any patience here
VERSION = {"Version": "26.1.5", "ApiVersion": "1.45", "MinAPIVersion": "1.24"}


def http(body):
    text = json.dumps(body)
    return f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode()


@pytest.fixture
def trickling(tmp_path):
    """A function that starts an engine which answers so many calls well, the next ones byte by byte from `drops` on; gives its address."""
    ended = threading.Event()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "sock"))
    listener.listen()

    def answer(client, whole):
        with suppress(OSError), client:
            while client.recv(65536):
                if next(whole, False):
                    client.sendall(http(VERSION))
                    continue
                head = http([]).partition(b"\r\n\r\n")[0]
                client.sendall(head[: drops[0]])
                rest = chain(head[drops[0] :], repeat(ord("x")))
                while not ended.wait(DROP):
                    client.sendall(bytes([next(rest)]))

    def serve(whole):
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=answer, args=(client, whole), daemon=True).start()

    drops = [0]

    def start(well, at):
        drops[0] = at
        threading.Thread(target=serve, args=(iter([True] * well),), daemon=True).start()
        return Host(f"unix://{tmp_path}/sock")

    yield start
    ended.set()
    listener.close()


@pytest.mark.parametrize("at", [0, 20], ids=["from the first byte", "in the middle of the head"])
def test_at_the_start(trickling, at):
    began = time.monotonic()
    host = trickling(0, at)
    with pytest.raises(RemoraError) as error:
        connect(host, greeting=0.4)
    assert str(error.value) == (f"no engine answers at {host} (nothing came in time): start it, or say where it is with -H or DOCKER_HOST")
    assert time.monotonic() - began < 2


CALLS = [
    pytest.param(lambda engine: engine.observe("shop"), "", id="a look"),
    pytest.param(lambda engine: engine.inspect(["x"]), "", id="an inspection"),
    pytest.param(lambda engine: engine.perform(GiveUp("x", "shop-web-1.x", "", ""), print), "shop-web-1.x: ", id="an action"),
    pytest.param(lambda engine: engine.having(["x"]), "", id="images"),
]


@pytest.mark.parametrize("call, where", CALLS)
def test_in_the_middle(trickling, call, where):
    engine = connect(trickling(1, 0), patience=0.4)
    began = time.monotonic()
    with pytest.raises(RemoraError) as error:
        call(engine)
    assert str(error.value) == f"{where}the engine does not answer: nothing came in time"
    assert time.monotonic() - began < 2
