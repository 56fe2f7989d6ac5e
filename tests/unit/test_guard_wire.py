"""The guard's sockets: what HTTP has for tricks, who hangs up, and who is slow. Behind it stands an engine of a few canned answers."""

import grp
import json
import os
import re
import socket
import stat
import threading
import time
from contextlib import contextmanager

import pytest

from remora.commands.guard import allowed_capabilities, allowed_paths, allowed_volumes
from remora.core.admission import Policy
from remora.engines.guard import Guard, Patience, listening
from remora.errors import RemoraError

INFO = {"ID": "ENGINE:ID", "DockerRootDir": "/var/lib/docker"}
WEB = {"Id": "a" * 64, "Name": "/web", "Config": {"Labels": None}, "State": {"Status": "running"}, "HostConfig": {"NetworkMode": "x"}}
LONG = 5.0  # seconds that no test takes


def row(id, *values):
    return pytest.param(*values, id=id)


def answered(body, status="200 OK", more=""):
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{more}Content-Length: {len(text)}\r\n\r\n".encode() + text


class Engine:
    """Takes one call a connection, keeps it, and gives what is canned for its path, else {}."""

    def __init__(self, path):
        self.calls, self.canned, self.ended = [], {"/info": answered(INFO), "/containers/web/json": answered(WEB)}, threading.Event()
        self.canned["/containers/x/json"] = answered({"message": "no"}, "404 Not Found")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(64)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.one, args=(client,), daemon=True).start()

    def one(self, client):
        with client:
            head, body = read(client, b"\r\n\r\n").split(b"\r\n\r\n", 1)
            size = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
            while len(body) < sum(size):
                body += client.recv(65536)
            self.calls.append((head.decode(), body))
            answer = self.canned.get(head.split(b" ")[1].split(b"?")[0].decode(), answered({}))
            if callable(answer):
                answer(client)
            else:
                client.sendall(answer)

    def asked(self):
        """The calls that were handed on, without what the guard asks itself."""
        return [(head, body) for head, body in self.calls if " /info " not in head or "x-" in head]


def read(client, until=b""):
    """What comes until it holds `until`, or ends."""
    found = b""
    while not until or until not in found:
        piece = client.recv(65536)
        if not piece:
            break
        found += piece
    return found


@pytest.fixture
def engine(tmp_path):
    made = Engine(tmp_path / "engine.sock")
    yield made
    made.listener.shutdown(socket.SHUT_RDWR)
    made.listener.close()


@contextmanager
def guarded(tmp_path, patience, policy):
    """A guard, what it logs, and a way to reach it."""
    log = []
    with listening(tmp_path / "guard.sock", None) as listener:
        guard = Guard(str(tmp_path / "engine.sock"), policy, log.append, patience)
        thread = threading.Thread(target=guard.serve, args=(listener,))
        thread.start()

        def reach(*pieces):
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(LONG)
            client.connect(str(tmp_path / "guard.sock"))
            for piece in pieces:
                client.sendall(piece if isinstance(piece, bytes) else piece.encode())
            return client

        reach.log = log
        yield reach
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(LONG)


QUICK = Patience(idle=0.3, request=0.3, answer=0.3, engine=1, linger=0.3)


@pytest.fixture
def reach(engine, tmp_path):
    with guarded(tmp_path, Patience(), Policy()) as found:
        yield found


@pytest.fixture
def quick(engine, tmp_path):
    with guarded(tmp_path, QUICK, Policy()) as found:
        yield found


def http(line, *headers, body=""):
    return "\r\n".join([f"{line} HTTP/1.1", "Host: x", *headers, "", body])


def ended(client):
    """All that still comes."""
    with client:
        return read(client).decode()


CLOSE = "Connection: close"
MAKE = "POST /volumes/create"
VOLUME = json.dumps({"Name": "remora_x", "Labels": {"remora.stack": "shop"}})


# ---- what goes through ----


def test_a_call_goes_on_without_what_is_not_its_own(reach, engine):
    said = ended(reach(http("GET /v1.45/version", CLOSE, "X-Registry-Auth: secret", "X-Y: z", "Cookie: a", "Accept: */*")))
    assert said.startswith("HTTP/1.1 200 OK\r\n") and said.endswith("{}")
    expected = "GET /v1.45/version HTTP/1.1\r\nHost: engine\r\nUser-Agent: remora-guard\r\nConnection: close"
    assert engine.asked() == [(expected, b"")]


def test_credentials_go_on_with_a_pull(reach, engine):
    ended(reach(http("POST /images/create?fromImage=debian&tag=1", CLOSE, "X-Registry-Auth: abc", "Content-Length: 0")))
    assert "x-registry-auth: abc" in engine.asked()[0][0].lower()


def test_a_connection_is_kept(reach, engine):
    with reach() as client:
        for _ in range(3):
            client.sendall(http("GET /version").encode())
            assert read(client, b"{}").startswith(b"HTTP/1.1 200")
        client.sendall(http("POST /exec/x/start", "Content-Length: 4", body="{  }").encode())
        assert read(client, b"}").startswith(b"HTTP/1.1 403")
        client.sendall(http("GET /version", CLOSE).encode())
        assert read(client).startswith(b"HTTP/1.1 200")
    assert len(engine.asked()) == 4


def test_two_requests_in_one_piece_are_two(reach, engine):
    said = ended(reach(http("GET /version") + http("POST /swarm/init") + http("GET /_ping", CLOSE)))
    assert re.findall(r"HTTP/1.1 (\d+)", said) == ["200", "403", "200"]
    assert [head.split(" ")[1] for head, _ in engine.asked()] == ["/version", "/_ping"]


def test_a_body_in_chunks_goes_on_whole(reach, engine):
    chunks = "".join(f"{len(part):x};x=y\r\n{part}\r\n" for part in (VOLUME[:7], VOLUME[7:])) + "0\r\nTrailer: x\r\n\r\n"
    ended(reach(http(MAKE, CLOSE, "Transfer-Encoding: chunked", body=chunks)))
    [(head, body)] = engine.asked()
    assert "Content-Type: application/json" in head and f"Content-Length: {len(body)}" in head and "chunked" not in head.lower()
    assert json.loads(body) == json.loads(VOLUME)


def test_who_waits_to_be_asked_for_the_body_is_asked(reach, engine):
    with reach(http(MAKE, CLOSE, "Expect: 100-continue", f"Content-Length: {len(VOLUME)}")) as client:
        assert read(client, b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        client.sendall(VOLUME.encode())
        assert read(client).startswith(b"HTTP/1.1 200 ")


def test_a_head_has_no_body(reach, engine):
    engine.canned["/_ping"] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nApi-Version: 1.45\r\n\r\n"
    said = ended(reach(http("HEAD /_ping", CLOSE)))
    assert "api-version: 1.45" in said.lower() and said.endswith("\r\n\r\n")
    assert ended(reach(http("HEAD /info", CLOSE))).endswith("\r\n\r\n")


def test_an_old_client_is_answered_to_the_end(reach, engine):
    engine.canned["/events"] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    assert ended(reach("GET /events HTTP/1.0\r\n\r\n")).endswith("\r\n\r\nabc")


def test_what_flows_is_not_held_back(reach, engine):
    go_on = threading.Event()

    def flow(client):
        client.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in (b"one", b"two"):
            client.sendall(b"3\r\n" + piece + b"\r\n")
            assert go_on.wait(LONG)
        client.sendall(b"0\r\n\r\n")

    engine.canned["/events"] = flow
    with reach(http("GET /events", CLOSE)) as client:
        read(client, b"one")
        go_on.set()
        assert read(client).endswith(b"3\r\ntwo\r\n0\r\n\r\n")


def test_twenty_clients_are_served_at_once(reach, engine):
    together = threading.Barrier(20)

    def flow(client):
        together.wait(LONG)  # until all twenty are here
        client.sendall(answered({}))

    engine.canned["/events"] = flow
    clients = [reach(http("GET /events", CLOSE)) for _ in range(20)]
    assert {ended(client).split("\r\n")[0] for client in clients} == {"HTTP/1.1 200 OK"}


# ---- what does not ----


def test_a_refusal_is_said_and_logged(reach, engine):
    said = ended(reach(http("POST /v1.45/swarm/init", CLOSE)))
    words = "the guard refuses POST /v1.45/swarm/init: remora makes no such call"
    assert said.startswith("HTTP/1.1 403 Forbidden\r\n") and json.loads(said.split("\r\n\r\n")[1]) == {"message": words}
    assert (reach.log, engine.asked()) == ([f"{words} (user {os.geteuid()}, process {os.getpid()})"], [])


def test_what_is_not_there_is_not_found(reach, engine):
    said = ended(reach(http("POST /containers/x/stop", CLOSE)))
    assert said.startswith("HTTP/1.1 404 Not Found\r\n") and said.endswith('{"message": "No such container: x"}')
    assert [head.split(" ")[:2] for head, _ in engine.asked()] == [["GET", "/containers/x/json"]]


CHUNKED = "Transfer-Encoding: chunked"
TRICKS = [
    row("an upgrade", http("GET /version", "Connection: Upgrade", "Upgrade: tcp"), "403", "no connection is handed over"),
    row("an upgrade without a name", http("GET /version", "Connection: keep-alive, UPGRADE"), "403", "no connection is handed over"),
    row("HTTP/2", http("GET /version", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c"), "403", "no connection is handed over"),
    row("HTTP/2 at once", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "403", "remora makes no such call"),
    row("two lengths", http(MAKE, "Content-Length: 3", "Content-Length: 4", body="abcd"), "400", "does not understand"),
    row("two lengths in one", http(MAKE, "Content-Length: 3, 4", body="abcd"), "400", "does not understand"),
    row("a length in words", http(MAKE, "Content-Length: four"), "400", "does not understand"),
    row("a length with a sign", http(MAKE, "Content-Length: +4", body="abcd"), "400", "does not understand"),
    row("a length below nothing", http(MAKE, "Content-Length: -1"), "400", "does not understand"),
    row(
        "a length and chunks",
        http(MAKE, "Content-Length: 5", CHUNKED, body="0\r\n\r\nGET /x"),
        "403",
        "stands there twice",
    ),
    row("chunks and a length", http(MAKE, CHUNKED, "Content-Length: 5", body="0\r\n\r\n"), "403", "stands there twice"),
    row("chunks twice", http(MAKE, CHUNKED, CHUNKED, body="0\r\n\r\n"), "501", "does not understand"),
    row("another encoding", http(MAKE, "Transfer-Encoding: gzip, chunked", body="0\r\n\r\n"), "501", "does not understand"),
    row("chunks, nearly", http(MAKE, "Transfer-Encoding: xchunked", body="0\r\n\r\n"), "501", "does not understand"),
    row("a chunk of no size", http(MAKE, CHUNKED, body="zz\r\n\r\n"), "400", "does not understand"),
    row("a chunk of a size with a sign", http(MAKE, CHUNKED, body="-1\r\n\r\n"), "400", "does not understand"),
    row("no host", "GET /version HTTP/1.1\r\n\r\n", "400", "does not understand"),
    row("a blank before the colon", http("GET /version", "Content-Length : 4"), "400", "does not understand"),
    row("a blank in the target", http("GET /version /info"), "400", "does not understand"),
    row("a zero byte in a header", http("GET /version", "X: a\0b"), "400", "does not understand"),
    row("a header without a name", http("GET /version", ": x"), "400", "does not understand"),
    row("no HTTP", "hello\r\n\r\n", "400", "does not understand"),
    row("the oldest HTTP", "GET /version\r\n\r\n", "400", "does not understand"),
    row("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "400", "does not understand"),
    row("a very long line", http("GET /" + "x" * 600_000), "431", "does not understand"),
    row("very many headers", http("GET /version", *[f"X-{n}: y" for n in range(60_000)]), "431", "does not understand"),
    row("credentials twice", http("GET /version", "X-Registry-Auth: a", "X-Registry-Auth: b"), "403", "credentials for registries"),
    row("a tunnel", "CONNECT engine:80 HTTP/1.1\r\nHost: x\r\n\r\n", "403", "remora makes no such call"),
    row("a body that is longer than may be", http(MAKE, "Content-Length: 70000", body="x" * 70_000), "403", "65536 bytes"),
    row("a body where none belongs", http("GET /version", "Content-Length: 2", body="{}"), "403", "remora sends none"),
    row("a body of chunks where none belongs", http("GET /version", CHUNKED, body="2\r\n{}\r\n0\r\n\r\n"), "403", "remora sends none"),
]


@pytest.mark.parametrize("request_, status, words", TRICKS)
def test_a_trick_of_http_reaches_no_engine(reach, engine, request_, status, words):
    with reach() as client:
        try:
            client.sendall(request_ if isinstance(request_, bytes) else request_.encode())
            client.shutdown(socket.SHUT_WR)
        except BrokenPipeError:
            pass  # it had seen enough
        said = read(client).decode()
    assert said.split(" ")[1] == status and words in said, said
    assert engine.asked() == []


def test_what_is_hidden_behind_a_body_is_not_a_second_request(reach, engine):
    """The engine gets the body that was understood, and nothing of what came behind it."""
    ended(reach(http(MAKE, CLOSE, f"Content-Length: {len(VOLUME)}", body=VOLUME + http("POST /swarm/init"))))
    [(head, body)] = engine.asked()
    assert (head.split(" ")[1], json.loads(body)) == ("/volumes/create", json.loads(VOLUME))


# ---- who is slow, and who hangs up ----


@pytest.mark.parametrize("begun", ["GET /ver", "GET /version HTTP/1.1\r\nHost: x\r\n", http(MAKE, "Content-Length: 9", body="{")])
def test_a_request_that_does_not_come_to_its_end(quick, engine, begun):
    began = time.monotonic()
    said = ended(quick(begun))
    assert said.startswith("HTTP/1.1 408 ") and "in time" in said and time.monotonic() - began < 2
    assert engine.asked() == []


def test_a_request_by_drops_gets_no_more_time(quick, engine):
    with quick() as client:
        began = time.monotonic()
        with pytest.raises(BrokenPipeError):
            for letter in "GET /version HTTP/1.1\r\nX: " + "x" * 1000:
                client.sendall(letter.encode())
                time.sleep(0.02)
        assert time.monotonic() - began < 2


def test_a_client_that_says_nothing_is_left(quick):
    assert ended(quick()) == ""


def test_a_client_that_takes_nothing_is_left(quick, engine):
    def flood(client):
        client.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                client.sendall(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
        except OSError:
            engine.ended.set()

    engine.canned["/events"] = flood
    with quick(http("GET /events")):
        assert engine.ended.wait(LONG)


def test_who_hangs_up_ends_the_call(reach, engine):
    def silent(client):
        client.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert client.recv(1) == b""
        engine.ended.set()

    engine.canned["/events"] = silent
    with reach(http("GET /events")) as client:
        read(client, b"\r\n\r\n")
        assert not engine.ended.is_set()
    assert engine.ended.wait(LONG)


def test_who_hangs_up_before_the_answer_ends_the_call(reach, engine):
    begun = threading.Event()

    def silent(client):
        begun.set()
        assert client.recv(1) == b""
        engine.ended.set()

    engine.canned["/events"] = silent
    with reach(http("GET /events")):
        assert begun.wait(LONG)
    assert engine.ended.wait(LONG)


def test_an_engine_that_hangs_up_in_the_middle_is_not_taken_for_one_that_ended(reach, engine):
    engine.canned["/events"] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
    assert ended(reach(http("GET /events"))).endswith("\r\n\r\n3\r\nabc\r\n")
    engine.canned["/version"] = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"
    assert ended(reach(http("GET /version"))).endswith("\r\n\r\nabc")


AWAY = [
    row("hangs up", b""),
    row("speaks something else", b"SSH-2.0-OpenSSH\r\n"),
    row("wants to hand over", b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"),
    row("says no JSON", answered(b"hello")),
    row("leaves out what is needed", answered({})),
    row("fails", answered({"message": "ouch"}, "500 Internal Server Error")),
]


@pytest.mark.parametrize("answer", AWAY)
def test_an_engine_that_makes_no_sense(reach, engine, answer):
    """What the guard needs to know and cannot is a refusal by another name."""
    engine.canned["/containers/web/json"] = answer
    said = ended(reach(http("POST /containers/web/stop", CLOSE)))
    assert said.startswith("HTTP/1.1 502 Bad Gateway\r\n") and '{"message": "the guard cannot reach the engine: ' in said
    assert [head.split(" ")[0] for head, _ in engine.asked()] == ["GET"]


def test_an_engine_that_is_not_there(reach, engine, tmp_path):
    (tmp_path / "engine.sock").unlink()
    said = ended(reach(http("GET /version", CLOSE)))
    words = "the guard cannot reach the engine: No such file or directory"
    assert (said.endswith(json.dumps({"message": words})), reach.log) == (True, [words])


def test_an_engine_that_hands_over_unasked(reach, engine):
    engine.canned["/version"] = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nraw"
    assert ended(reach(http("GET /version", CLOSE))).startswith("HTTP/1.1 502 ")


# ---- the socket ----


def test_the_socket_is_for_its_owner_and_one_group(tmp_path):
    path = tmp_path / "guard.sock"
    group = grp.getgrgid(os.getgid()).gr_name
    with listening(path, group):
        found = path.stat()
        assert (stat.S_IMODE(found.st_mode), found.st_gid) == (0o660, os.getgid())
    assert not path.exists()


def test_what_a_guard_left_behind_is_no_hindrance(tmp_path):
    path = tmp_path / "guard.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with listening(path, None):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660


def test_a_socket_of_another_is_left_alone(tmp_path):
    path = tmp_path / "guard.sock"
    with listening(path, None):
        path.unlink()
        path.write_text("mine")
    assert path.read_text() == "mine"


def not_made(path, group=None):
    with pytest.raises(RemoraError) as error, listening(path, group):
        pass
    return str(error.value)


def test_where_no_socket_can_be(tmp_path):
    (tmp_path / "file").write_text("mine")
    path = tmp_path / "guard.sock"
    assert not_made(tmp_path / "file") == f"--listen {tmp_path}/file: something that is no socket lies there; name another place"
    assert not_made(tmp_path / "no/guard.sock") == f"--listen {tmp_path}/no/guard.sock: cannot be made: No such file or directory"
    missing = "--group nobodys: this machine has no such group; make it with `groupadd --system nobodys`"
    assert (not_made(path, "nobodys"), path.exists()) == (missing, False)
    with listening(path, None):
        assert not_made(path) == f"--listen {path}: somebody listens there already; end that one first, or name another place"


# ---- what is allowed ----

SHORT = "must be an absolute path below /, without `.`, `..` and a slash at its end"
PATHS = [
    row("a relative path", ["srv"], f"--allow-path srv: {SHORT}"),
    row("a way up", ["/srv/../etc"], f"--allow-path /srv/../etc: {SHORT}"),
    row("a slash at the end", ["/srv/"], f"--allow-path /srv/: {SHORT}"),
    row("everything", ["/"], f"--allow-path /: {SHORT}"),
    row(
        "a folder with the engine's socket",
        ["/run"],
        "--allow-path /run: the engine's socket /run/x/engine.sock lies in it, which is root; name what else lies there",
    ),
    row(
        "a path below a writable one",
        ["/srv/logs:rw", "/srv/logs/html"],
        "--allow-path /srv/logs/html: who may write to /srv/logs may make it lead anywhere; allow one of the two",
    ),
]


@pytest.mark.parametrize("words, message", PATHS)
def test_a_path_that_gives_away_more_is_refused(words, message):
    with pytest.raises(RemoraError) as error:
        allowed_paths(words, "/run/x/engine.sock")
    assert str(error.value) == message


def test_what_is_allowed_is_read_or_written():
    paths = allowed_paths(["/srv/logs:rw", "/srv/html", "/srv/both", "/srv/both:rw", "/run/x/engine.sock"], "/run/x/engine.sock")
    assert paths == {"/srv/logs": True, "/srv/html": False, "/srv/both": True, "/run/x/engine.sock": False}
    assert allowed_volumes(["data", "uploads:rw"]) == {"data": False, "uploads": True}
    assert allowed_capabilities(["net_raw", "CAP_SYS_PTRACE"]) == {"NET_RAW", "SYS_PTRACE"}


def test_what_is_no_volume_and_no_capability_is_refused():
    with pytest.raises(RemoraError) as error:
        allowed_volumes(["/srv"])
    assert str(error.value) == "--allow-volume /srv: must be the name of a volume, as `docker volume ls` shows it"
    with pytest.raises(RemoraError) as error:
        allowed_capabilities(["NET_RAV"])
    assert str(error.value) == "--allow-capability NET_RAV: no such capability; did you mean `NET_RAW`?"
