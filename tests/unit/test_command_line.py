"""What the command itself refuses, without any engine: one sentence, the right exit code, and no file made."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from test_examples import compose_is_there

from remora.engines.connect import connect
from remora.engines.host import Host
from remora.errors import RemoraError

REMORA = str(Path(sys.executable).with_name("remora"))
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
READER = ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]  # the interpreter may lie where nobody may look


def row(id, *values):
    return pytest.param(*values, id=id)


def files(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def remora(tmp_path):
    """The command in an empty folder, for a user without any setting; it must leave the folder as it finds it."""

    def run(*words, code=1, before=(), folder=tmp_path, **env):
        unset = ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_CONFIG", "REMORA_ENVIRONMENT")
        given = {key: value for key, value in os.environ.items() if key not in unset}
        given |= {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path), **env}
        there = files(tmp_path)
        done = subprocess.run([*before, REMORA, *words], cwd=folder, env=given, capture_output=True, text=True, timeout=60)
        assert (done.returncode, files(tmp_path)) == (code, there), done.stderr
        return done.stderr

    return run


USAGE = [
    row("no such command", ["xyzzy"], "No such command 'xyzzy'. See `remora --help`."),
    row("no such option", ["status", "--xyzzy"], "status: No such option '--xyzzy'. See `remora status --help`."),
    row("no value", ["plan", "-H"], "Option '-H' requires an argument. See `remora --help`."),
    row("no sidekick", ["logs"], "logs: Missing argument 'SIDEKICK'. See `remora logs --help`."),
    row("one word too many", ["schema", "x"], "schema: Got unexpected extra argument (x). See `remora schema --help`."),
    row(
        "lines that are no number",
        ["logs", "-n", "all", "x"],
        "logs: Invalid value for '-n' / '--tail': 'all' is not a valid integer. See `remora logs --help`.",
    ),
    row(
        "a target that there is not",
        ["render", "--to", "nomad"],
        "render: Invalid value for '--to': 'nomad' is not 'compose'. See `remora render --help`.",
    ),
    row("a time that is none", ["watch", "--resync", "often"], "--resync: `often` is not a time; write it like 30s, 5m or 1h30m"),
    row("no file to save to", ["images", "save"], "images save: name the file: `remora images save FILE`"),
    row("no file to load", ["images", "load"], "images load: name the file: `remora images load FILE`"),
    row("an image that there is not", ["images", "list", "--only", "log"], "images --only log: no such image; did you mean `logs`?"),
    row("parity of one", ["parity", "prod"], "parity: name two environments to compare, or one and --save FILE"),
]


@pytest.mark.parametrize("words, message", USAGE)
def test_wrong_usage(remora, words, message):
    assert remora(*words, code=2) == f"remora: {message}\n"


def test_no_command_at_all_is_answered_with_help(remora):
    assert remora(code=2).startswith("Usage: remora [OPTIONS] COMMAND [ARGS]...")


def test_a_kind_that_there_is_not(remora):
    assert remora("kinds", "mesh") == "remora: no kind `mesh`; there is `container`, `logs`\n"


# ---- standard output ----


@pytest.mark.parametrize(
    "words", [["schema"], ["kinds", "logs"], ["completion", "bash"], ["--help"], ["plan", "--help"], ["--version"]], ids=" ".join
)
def test_a_reader_who_has_seen_enough_is_no_error(words):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([REMORA, *words], stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("code, words", [(2, "xyzzy"), (2, ""), (1, "images list -H unix:///nowhere.sock"), (0, "kinds")])
@pytest.mark.parametrize("lost", ["2>/dev/full", "2>&1 | true"])
def test_words_that_nobody_can_read_change_no_exit_code(code, words, lost):
    """A reader of standard error who has gone, and a disk of it that is full."""
    script = f'trap "" PIPE; sleep 0.05; "$0" {words} {lost}; exit ${{PIPESTATUS[0]}}'
    assert subprocess.run(["bash", "-c", script, REMORA], capture_output=True).returncode == code


@pytest.mark.parametrize(
    "words", [["schema"], ["kinds"], ["completion", "bash"], ["--help"], ["plan", "--help"], ["--version"]], ids=" ".join
)
def test_a_disk_that_is_full(words):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([REMORA, *words], stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (1, b"remora: standard output: cannot be written: No space left on device\n")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_a_stream_that_is_closed_is_no_error(closed):
    done = subprocess.run(["sh", "-c", f'exec "$0" kinds {closed}', REMORA], capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_terminal_that_lacks_letters(remora):
    said = remora("images", "list", "-H", "unix:///\N{SNOWMAN}", PYTHONIOENCODING="latin-1")
    assert said.startswith("remora: no engine answers at unix:///\\u2603 (No such file or directory)")


# ---- engines that are none ----


@contextmanager
def answering(path, answer, times=1000):
    """Something on a socket that gives `answer` to whatever it is asked so many times, and then takes connections and says nothing."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def serve():
            for _ in range(times):
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                with client:
                    client.recv(65536)
                    client.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield f"unix://{path}"
        server.shutdown(socket.SHUT_RDWR)


def http(body, status="200 OK", kind="application/json"):
    text = body if isinstance(body, str) else json.dumps(body)
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode()


OLD = {"Version": "20.10.24", "ApiVersion": "1.41", "MinAPIVersion": "1.12", "Components": [{"Name": "Engine", "Version": "20.10.24"}]}
OLD_PODMAN = {
    "Version": "4.2.0",
    "ApiVersion": "1.41",
    "MinAPIVersion": "1.24",
    "Components": [{"Name": "Podman Engine", "Version": "4.2.0"}],
}
NONE = "what answers at HERE is not an engine: say where one is with -H or DOCKER_HOST"
TAKES = "what answers at HERE is not an engine that takes us: it says"
IMPOSTORS = [
    row("one of ssh", b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", NONE),
    row("a page", http("<html>welcome</html>", kind="text/html"), NONE),
    row("a list", http([]), NONE),
    row("no version", http({}), NONE),
    row("a version that is null", http({"ApiVersion": None}), NONE),
    row("a version in words", http({"ApiVersion": "latest"}), NONE),
    row("nothing to be found", http("nothing here", "404 Not Found", "text/plain"), f"{TAKES} 404 Not Found"),
    row("a gate", http({"message": "no"}, "403 Forbidden"), f"{TAKES} 403 Forbidden"),
    row("a failure", http({"message": "ouch"}, "500 Internal Server Error"), f"{TAKES} 500 Internal Server Error"),
    row("an old Podman", http(OLD_PODMAN), "the engine at HERE is too old: it is Podman 4.2.0, and 4.3 is needed"),
    row("an old engine", http(OLD), "the engine at HERE is too old: it speaks API 1.41, and 1.42 (Docker 23) is needed"),
]


@pytest.mark.parametrize("answer, message", IMPOSTORS)
def test_what_answers_is_not_an_engine_for_us(remora, tmp_path, answer, message):
    with answering(tmp_path / "x.sock", answer) as host:
        assert remora("images", "list", "-H", host) == f"remora: {message.replace('HERE', host)}\n"


def test_an_engine_that_says_nothing(tmp_path):
    with answering(tmp_path / "x.sock", b"", times=0) as host, pytest.raises(RemoraError) as error:
        connect(Host(host), greeting=0.1)
    assert str(error.value) == f"no engine answers at {host} (nothing came in time): {AWAY}"


def test_an_engine_that_falls_silent(tmp_path):
    with answering(tmp_path / "x.sock", http({"ApiVersion": "1.45"}), times=1) as host, pytest.raises(RemoraError) as error:
        connect(Host(host), patience=0.1).observe("shop")
    assert str(error.value) == "the engine does not answer: nothing came in time"


AWAY = "start it, or say where it is with -H or DOCKER_HOST"
HOSTS = [
    row("no socket", "unix:///nowhere.sock", f"no engine answers at unix:///nowhere.sock (No such file or directory): {AWAY}"),
    row("a folder", "unix:///tmp", f"no engine answers at unix:///tmp (Connection refused): {AWAY}"),
    row("a closed port", "tcp://127.0.0.1:1", f"no engine answers at tcp://127.0.0.1:1 (Connection refused): {AWAY}"),
    row("nonsense", "engine", "SOURCE engine: not an engine's address; write unix:///PATH, tcp://HOST:PORT or ssh://USER@HOST"),
]


@pytest.mark.parametrize("host, message", HOSTS)
def test_no_engine_there(remora, host, message):
    assert remora("images", "list", "-H", host) == f"remora: {message.replace('SOURCE', '-H')}\n"
    assert remora("images", "list", DOCKER_HOST=host) == f"remora: {message.replace('SOURCE', 'DOCKER_HOST')}\n"


@pytest.mark.skipif(not shutil.which("ssh"), reason="no ssh here")
def test_a_server_that_there_is_not(remora):
    said = remora("images", "list", "-H", "ssh://ops@nowhere.invalid")
    assert said.startswith(
        "remora: no engine answers at ssh://ops@nowhere.invalid: ssh says: ssh: Could not resolve hostname nowhere.invalid"
    )
    assert said.count("\n") == 1


def test_no_docker_context_of_that_name(remora, tmp_path):
    said = remora("images", "list", DOCKER_CONTEXT="nowhere")
    assert said == f"remora: {tmp_path}/.docker: no docker context `nowhere` here; see `docker context ls`\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may do less")
def test_a_socket_of_somebody_else(remora, tmp_path):
    for folder in [tmp_path, *tmp_path.parents][:3]:
        folder.chmod(0o755)
    with answering(tmp_path / "x.sock", b"") as host:
        (tmp_path / "x.sock").chmod(0o600)
        said = remora("images", "list", "-H", host, before=[*NOBODY, *READER])
        assert said == f"remora: not allowed to use the engine at {host}: join the group that owns the socket, or use sudo\n"


# ---- the two files ----

GOOD = "environments: {dev: , prod: }\n"
COMPOSE = "name: remora-test-shop\nservices: {web: {image: nginx}}\n"
OPS = [
    row("none", None, [], "remora.yaml: no ops file here; write one with `remora init`, or name it with --ops"),
    row(
        "none of that name", GOOD, ["--ops", "ops.yaml"], "ops.yaml: no ops file here; write one with `remora init`, or name it with --ops"
    ),
    row("a folder", GOOD, ["--ops", "."], ".: cannot be read: Is a directory"),
    row("not UTF-8", GOOD.encode("utf-16"), [], "remora.yaml: cannot be read: it is not UTF-8 text"),
    row("not YAML", "environments: [\n", [], "remora.yaml:2: not YAML: expected the node content, but found '<stream end>'"),
    row("a key twice", GOOD + "environments: {}\n", [], "remora.yaml:2: the key `environments` stands here twice; keep one"),
    row("an unknown key", GOOD + "sidekcks: {}\n", [], "remora.yaml:2: sidekcks: no such setting; did you mean `sidekicks`?"),
    row("no environment of several", GOOD, [], "remora.yaml: which environment? there is `dev`, `prod`; say -e NAME or REMORA_ENVIRONMENT"),
    row("an unknown environment", GOOD, ["-e", "prd"], "remora.yaml:1: environments: no environment `prd`; did you mean `prod`?"),
]


@pytest.mark.skipif(not compose_is_there(), reason="no Docker Compose here")
@pytest.mark.parametrize("text, words, message", OPS)
def test_an_ops_file_that_will_not_do(remora, tmp_path, text, words, message):
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    if text:
        (tmp_path / "remora.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert remora("up", *words) == f"remora: {message}\n"


@pytest.mark.skipif(not compose_is_there(), reason="no Docker Compose here")
def test_an_unknown_environment_of_the_shell(remora, tmp_path):
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    (tmp_path / "remora.yaml").write_text(GOOD)
    said = remora("up", REMORA_ENVIRONMENT="test")
    assert said == "remora: remora.yaml:1: environments: no environment `test`; there is `dev`, `prod`\n"


def test_a_starter_writes_over_nothing(remora, tmp_path):
    (tmp_path / "remora.yaml").write_text(GOOD)
    assert remora("init") == "remora: remora.yaml: is there already, and is not overwritten\n"


@pytest.mark.skipif(not compose_is_there(), reason="no Docker Compose here")
def test_both_files_are_found_from_a_folder_below(remora, tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    said = remora("plan", folder=tmp_path / "src")
    assert said == "remora: ../remora.yaml: no ops file here; write one with `remora init`, or name it with --ops\n"
    (tmp_path / "remora.yaml").write_text(GOOD)
    said = remora("plan", "-e", "test", folder=tmp_path / "src")
    assert said == "remora: ../remora.yaml:1: environments: no environment `test`; there is `dev`, `prod`\n"
