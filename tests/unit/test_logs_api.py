"""Reading what containers print through the engine's API."""

import socket
import threading
import time

import pytest

from remora.images.logs.choice import Seen
from remora.images.logs.engine_api import Follower
from remora.images.logs.record import Origin

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
TEXT = b"2026-01-02T03:04:05.000000001Z hello\n"
MESSAGE = b"\1\0\0\0" + len(TEXT).to_bytes(4, "big") + TEXT
CHUNK = b"%x\r\n%b\r\n" % (len(MESSAGE), MESSAGE)


@pytest.mark.parametrize("pieces", [[HEAD + CHUNK], [HEAD, CHUNK], [HEAD + CHUNK[:9], CHUNK[9:]]], ids=["together", "apart", "torn"])
def test_a_message_is_read_however_it_comes(tmp_path, pieces):
    """Also when nothing comes behind it."""
    done = threading.Event()

    def serve(server):
        client, _ = server.accept()
        with client:
            client.recv(65536)
            for piece in pieces:
                client.sendall(piece)
                time.sleep(0.02)
            done.wait(5)

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "engine.sock"))
        server.listen()
        threading.Thread(target=serve, args=(server,), daemon=True).start()
        follower = Follower(Seen(Origin("shop", "prod", "web", "1", "shop-web-1", "abc")), False, 1 << 20, None)
        follower.connect(str(tmp_path / "engine.sock"))
        until, found = time.monotonic() + 5, b""
        while not found and time.monotonic() < until:
            found = follower.read()
        done.set()
        follower.hang_up()
    assert b'"log":"hello"' in found
