"""Whatever can go wrong is one sentence, the right exit code, and a world that is as it was."""

from __future__ import annotations

import io
import os
import re
import socket
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from stackkit import BESIDE, DEBIAN, IDLE, REMORA, Stack, name, until

from remora.engines.compose import PLUGINS, binary

pytestmark = pytest.mark.engine
root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount, and become somebody else")

WEB = f"services: {{web: {{{IDLE}}}}}"
LOGS = "environments: {prod: {attach: [logs]}}\nsidekicks:\n  logs: {kind: logs, for: web, to: TO}\n"
FAILED = re.compile(r"remora: docker compose up failed with exit code \d+; its own words are above")
NEEDED = "`docker compose version` must work, and be 2.24 or newer"


@pytest.fixture
def stack(stack: Stack) -> Stack:
    stack.developers(WEB)
    stack.attached(probe="for: web")
    return stack


def row(id: str, *values: object) -> Any:
    return pytest.param(*values, id=id)


def world(stack: Stack) -> tuple[object, ...]:
    """The files, and all that the engine has of this test."""
    files = {path: path.read_bytes() if path.is_file() else b"" for path in stack.folder.rglob("*")}
    containers = {name(each): (each["Id"], each["State"]["Status"]) for each in stack.containers()}
    return files, containers, sorted(stack.leftovers())


def refused(stack: Stack, *words: str, code: int = 1, before: tuple[str, ...] = (), **env: str) -> str:
    """What `remora` says on standard error, and all that it says there; the world must be as it was."""
    there = world(stack)
    said = stack.command([*before, REMORA, *words], code, env).stderr
    assert world(stack) == there
    return said


def own_words(stack: Stack, *words: str, **env: str) -> str:
    """What Compose itself says of the files, on one line."""
    done = subprocess.run(
        ["docker", "compose", *words, "config"], cwd=stack.folder, env={**stack.env, **env}, capture_output=True, text=True
    )
    assert done.returncode
    return " ".join(line.strip() for line in done.stderr.splitlines() if "level=warning" not in line)


# ---- the developers' file ----

NO_FILE = "there is none of compose.yaml, compose.yml, docker-compose.yml, docker-compose.yaml; name one with -f"


@pytest.mark.parametrize("verb", ["init", "up", "detach", "watch"])
def test_no_compose_file(stack: Stack, verb: str) -> None:
    (stack.folder / "compose.yaml").unlink()
    if verb == "init":
        (stack.folder / "remora.yaml").unlink()
    assert refused(stack, verb) == f"remora: no compose file in . or above: {NO_FILE}\n"


def test_neither_file(stack: Stack) -> None:
    (stack.folder / "compose.yaml").unlink()
    (stack.folder / "remora.yaml").unlink()
    assert refused(stack, "up") == f"remora: no compose file in . or above: {NO_FILE}\n"


COMPOSE = [
    row("an unknown key", "services: {web: {image: a, nope: 1}}", "Additional property"),
    row("a variable that is missing", "services: {web: {image: '${TAG:?say which}'}}", "say which"),
    row("a bracket left open", "services: [", "yaml"),
    row("a key twice", "services:\n  web: {image: a}\n  web: {image: b}", "already defined"),
    row("neither image nor build", "services: {web: {command: id}}", "neither an image nor a build"),
    row("an unknown service", "services: {web: {image: a, depends_on: [db]}}", "undefined service"),
    row("an unknown network", "services: {web: {image: a, networks: [back]}}", "undefined network"),
    row("a base that is not there", "services: {web: {extends: {file: base.yaml, service: web}}}", "no such file"),
    row("an env file that is not there", "services: {web: {image: a, env_file: [web.env]}}", "not found"),
    row("a port that is none", "services: {web: {image: a, ports: [http]}}", "http"),
]


@pytest.mark.parametrize("text, part", COMPOSE)
def test_what_compose_refuses_is_said_in_its_own_words(stack: Stack, text: str, part: str) -> None:
    stack.developers(text)
    said = own_words(stack)
    assert part.lower() in said.lower()
    assert refused(stack, "up") == f"remora: compose.yaml: docker compose says: {said}\n"


OPTIONS = [
    row("no such file", ("-f", "none.yaml"), "none.yaml"),
    row("no such env file", ("--env-file", "none.env"), "compose.yaml"),
    row("a project name that is none", ("-p", "Odd Name"), "compose.yaml"),
]


@pytest.mark.parametrize("words, where", OPTIONS)
def test_what_compose_refuses_of_its_options(stack: Stack, words: tuple[str, ...], where: str) -> None:
    assert refused(stack, "up", "--ops", "remora.yaml", *words) == f"remora: {where}: docker compose says: {own_words(stack, *words)}\n"


@pytest.mark.parametrize("odd", ["A_b-C.", "Ünï_"])
def test_a_project_name_of_odd_characters_is_what_compose_makes_of_it(stack: Stack, odd: str) -> None:
    (stack.folder / "compose.yaml").write_text(f"name: {stack.name}-{odd}\n{WEB}\n")
    stack.remora("up")
    apps = [name(each) for each in stack.apps()]
    assert [name(each) for each in stack.sidekicks()] == [f"{app}.probe" for app in apps] and len(apps) == 1
    stack.remora("down")
    assert stack.leftovers() == []


def test_a_port_that_compose_lets_pass(stack: Stack) -> None:
    stack.developers(f"services: {{web: {{{IDLE}, expose: [http]}}}}")
    said = "services.web.expose: `http` is not a port, nor a range such as 8000-8100"
    assert refused(stack, "up") == f"remora: the compose file: {said}\n"


# ---- the ops file ----

HEAD = "environments: {prod: {attach: [x]}}\nsidekicks:\n"
OPS = [
    row("a wrong type", "environments: {prod: {attach: x}}\n", "1: environments.prod.attach: must be a list"),
    row("an unknown sidekick", "environments: {prod: {attach: [x]}}\n", "1: environments.prod.attach.0: no sidekick `x`; there is none"),
    row(
        "an unknown kind",
        HEAD + "  x: {kind: mesh, for: web}\n",
        "3: sidekicks.x.kind: no kind `mesh`; there is `container`, `logs`",
    ),
    row(
        "an unknown service",
        HEAD + "  x: {kind: logs, for: wbe, to: file:///l}\n",
        "3: sidekicks.x.for: no service `wbe`; there is `web`",
    ),
    row(
        "a selector that can match nothing",
        HEAD + "  x: {kind: logs, for: {service: web, except: web}, to: file:///l}\n",
        "3: sidekicks.x.for: matches nothing: no service fits all of its conditions without being taken away by `except`",
    ),
    row(
        "a secret in clear",
        HEAD + "  x: {kind: container, for: web, image: a, env: {PASSWORD: hunter2}}\n",
        "3: sidekicks.x.env.PASSWORD: looks like a secret; a sidekick gets those as files: name it under `secrets`",
    ),
    row(
        "a destination that does not parse",
        HEAD + "  x: {kind: logs, for: web, to: 'relp://logs:often'}\n",
        "3: sidekicks.x.to: must be relp://HOST or relp://HOST:PORT",
    ),
    row(
        "the developers' side",
        "environments: {prod: {services: {web: {command: id}}}}\n",
        "1: environments.prod.services.web.command: the developers' side (what it runs), so that it is the same container everywhere; "
        "change it in their file",
    ),
    row(
        "an image that is none",
        HEAD + "  x: {kind: container, for: web, image: Web}\n",
        "3: sidekicks.x.image: must be an image, such as busybox:1.36",
    ),
]


@pytest.mark.parametrize("text, message", OPS)
def test_a_wrong_ops_file_changes_nothing(stack: Stack, text: str, message: str) -> None:
    (stack.folder / "remora.yaml").write_text(text)
    assert refused(stack, "up") == f"remora: remora.yaml:{message}\n"


def test_nothing_of_that_name(stack: Stack) -> None:
    assert refused(stack, "up", "wbe") == "remora: no service `wbe`; there is `web`\n"
    assert refused(stack, "attach") == f"remora: no app container of `{stack.name}` is there to attach to; start it, or use `remora up`\n"
    stack.remora("up")
    for verb in ("logs", "detach"):
        assert refused(stack, verb, "proxy") == f"remora: no sidekick `proxy` is attached to {stack.name}; there is `probe`\n"


# ---- secrets ----

SECRETS = [
    row("a variable", "env:NOT_SET_HERE", "is missing: the variable NOT_SET_HERE is not set"),
    row("a file", "file:none", "cannot be read: No such file or directory"),
    row("a folder", "file:/", "cannot be read: Is a directory"),
]


@pytest.mark.parametrize("reference, message", SECRETS)
def test_a_secret_that_is_missing(stack: Stack, reference: str, message: str) -> None:
    stack.attached(one="for: web", two=f"for: web, secrets: {{pw: '{reference}'}}")
    said = f"remora: remora.yaml:4: the secret `{reference}` {message}\n"
    assert refused(stack, "up") == said
    stack.compose("up", "-d")
    assert refused(stack, "attach") == said


def test_a_variable_of_a_declared_difference_that_is_missing(stack: Stack) -> None:
    stack.ops("environments: {prod: {services: {web: {environment: {TOKEN: 'env:NOT_SET_HERE'}}}}}\n")
    said = stack.refused("up")
    assert FAILED.fullmatch(said.splitlines()[-1])
    assert "required variable NOT_SET_HERE is missing a value: the variable NOT_SET_HERE is not set" in said
    assert stack.leftovers() == []
    stack.remora("up", NOT_SET_HERE="x")
    stack.remora("down")
    assert stack.leftovers() == []


# ---- images ----


def test_an_image_that_cannot_be_built(stack: Stack) -> None:
    stack.ops(LOGS.replace("TO", "file:///nowhere"))
    for words in (["up", "-q"], ["images", "build"]):
        where = "remora.yaml:3: " if words[0] == "up" else ""
        said = refused(stack, *words, REMORA_BASE="does-not-exist:1")
        tag = said.partition("`")[2].partition("`")[0]
        start = f"remora: {where}the image `{tag}` cannot be built from `does-not-exist:1`, which REMORA_BASE may change: "
        assert (said.startswith(start), said.count("\n"), tag.partition(":")[0]) == (True, 1, "remora/logs")


def test_an_image_that_cannot_be_pulled(stack: Stack) -> None:
    stack.ops("environments: {prod: {attach: [x]}}\nsidekicks:\n  x: {kind: container, for: web, image: 'does-not-exist:1'}\n")
    said = refused(stack, "up", "-q")
    assert said.startswith("remora: remora.yaml:3: the image `does-not-exist:1` is not here and cannot be pulled: ")
    assert said.count("\n") == 1


def test_an_image_that_cannot_be_pulled_costs_no_sidekick_that_runs(stack: Stack) -> None:
    stack.remora("up")
    stack.ops(
        f"environments: {{prod: {{attach: [probe]}}}}\nsidekicks: {{probe: {{{BESIDE.replace(DEBIAN, 'does-not-exist:1')}, for: web}}}}\n"
    )
    for verb in ("up", "attach"):
        assert "`does-not-exist:1` is not here and cannot be pulled" in refused(stack, verb, "-q")


def tar(folder: Path, *members: str) -> str:
    with tarfile.open(folder / "some.tar", "w") as made:
        for member in members:
            made.addfile(tarfile.TarInfo(member), io.BytesIO())
    return "some.tar"


def test_files_that_hold_no_images(stack: Stack) -> None:
    made = "`remora images save FILE` makes one"
    assert refused(stack, "images", "load", "none.tar") == f"remora: none.tar: no such file; {made}\n"
    assert refused(stack, "images", "load", "compose.yaml") == f"remora: compose.yaml: not a file of images, or not all of it; {made}\n"
    assert refused(stack, "images", "load", ".") == "remora: .: cannot be read: Is a directory\n"
    assert refused(stack, "images", "load", tar(stack.folder, "compose.yaml")) == f"remora: some.tar: not a file of images; {made}\n"
    assert refused(stack, "images", "save", "none/x.tar") == "remora: none/x.tar: cannot be written: No such file or directory\n"
    assert refused(stack, "images", "save", ".") == "remora: .: cannot be written: Is a directory\n"


# ---- conflicts ----


@pytest.mark.parametrize("secret", ["", ", secrets: {pw: 'env:HOME'}"])
def test_a_stranger_has_the_name_of_a_sidekick(stack: Stack, secret: str) -> None:
    stack.attached(other="for: web", probe=f"for: web{secret}")
    theirs = f"{stack.name}-web-1.probe"
    stack.docker("create", "--name", theirs, DEBIAN)
    said = f"remora: remora.yaml:4: a container that is not remora's has the name `{theirs}`; rename it, or the sidekick\n"
    assert refused(stack, "up") == said
    stack.compose("up", "-d")
    assert refused(stack, "attach") == said


def test_another_ops_file_has_the_stack(stack: Stack) -> None:
    stack.remora("up")
    stack.ops((stack.folder / "remora.yaml").read_text(), "other.yaml")
    ways = "detach them with that file, or take them over with --take-over"
    file = f"{stack.folder}/remora.yaml (see container `{stack.name}-web-1.probe`)"
    for verb in ("plan", "up", "attach", "detach", "down"):
        said = refused(stack, verb, "--ops", "other.yaml")
        assert said == f"remora: the sidekicks of `{stack.name}` belong to the ops file {file}; {ways}\n"
    stack.remora("up", "--ops", "other.yaml", "--take-over")
    assert f"{stack.folder}/other.yaml (see" in refused(stack, "up")


def test_a_port_of_the_app_that_is_taken(stack: Stack) -> None:
    """Compose's own words, and what Compose leaves behind; none of it is a sidekick, and once the port is free, `up` goes on from there."""
    with socket.create_server(("0.0.0.0", 0)) as theirs:  # noqa: S104 - all addresses, as Compose asks for
        port = theirs.getsockname()[1]
        stack.developers(f"services: {{web: {{{IDLE}, ports: ['{port}:80']}}}}")
        said = stack.refused("up")
        assert "address already in use" in said
        assert FAILED.fullmatch(said.splitlines()[-1])
        assert stack.sidekicks() == []
    stack.remora("up")
    assert [each["State"]["Status"] for each in stack.containers()] == ["running", "running"]


# ---- what a sidekick cannot have ----


@pytest.mark.parametrize("ops", [f"{BESIDE}, for: web, network: none-such", "kind: logs, for: web, to: 'relp://logs', network: none-such"])
def test_a_network_that_there_is_not(stack: Stack, ops: str) -> None:
    stack.ops(f"environments: {{prod: {{attach: [x]}}}}\nsidekicks:\n  x: {{{ops}}}\n")
    said = "remora: remora.yaml:3: the engine has no network `none-such`; create it, or name another\n"
    assert refused(stack, "up") == said
    stack.compose("up", "-d")
    assert refused(stack, "attach") == said


def test_a_network_that_compose_is_about_to_make(stack: Stack) -> None:
    stack.attached(probe=f"for: web, network: {stack.name}_default")
    stack.remora("up")
    assert len(stack.sidekicks()) == 1


@pytest.mark.parametrize("folder", ["/proc/nowhere", "/etc/passwd/logs"])
def test_a_folder_that_cannot_be_made(stack: Stack, folder: str) -> None:
    stack.ops(LOGS.replace("TO", f"file://{folder}"))
    stack.compose("up", "-d")
    said = refused(stack, "attach", "-q")
    assert said.startswith("remora: remora.yaml:3: the engine says: ") and f"{folder}:" in said and said.count("\n") == 1


@root
def test_a_folder_that_cannot_be_written_costs_no_line(stack: Stack) -> None:
    """One that is a file, and one that is somebody else's."""
    (stack.folder / "file").write_text("")
    (stack.folder / "theirs").mkdir(mode=0o700)
    os.chown(stack.folder / "theirs", 65534, 65534)
    stack.developers(f"services: {{web: {{image: {DEBIAN}, init: true, command: 'sh -c \"echo hello; sleep infinity\"'}}}}")
    stack.ops(LOGS.replace("TO", f"[file://{stack.folder}/file, file://{stack.folder}/theirs]"))
    stack.remora("up")
    until(lambda: sum("exit code 1" in str(each["remark"]) for each in stack.json("status")["sidekicks"]) == 2)
    said = stack.remora("logs", "logs")
    for place, why in (("file", "/out is no folder"), ("theirs", "/out is not for root to write in")):
        assert f"sender: file://{stack.folder}/{place}: {why}; what is printed waits in the spool" in said
    os.chown(stack.folder / "theirs", 0, 0)
    until(lambda: (stack.folder / f"theirs/{stack.name}/web.log").exists())


def test_a_sidekick_that_cannot_be_started_leaves_nothing_behind(stack: Stack) -> None:
    stack.attached(probe="for: web, user: '4294967295', secrets: {pw: env:HOME}")
    stack.compose("up", "-d")
    said = "remora: remora.yaml:3: the engine says: uids and gids must be in range 0-2147483647\n"
    assert refused(stack, "attach", "-q") == said


# ---- the state folder ----

DIFFERENT = "environments: {prod: {services: {web: {environment: {A: b}}}}}\n"


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[Path]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", *options, "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@root
def test_a_disk_that_is_full(stack: Stack) -> None:
    stack.ops(DIFFERENT)
    with mounted(stack.folder / "state", "-o", "size=64k") as folder:
        (folder / "filled").write_bytes(bytes(64 << 10))
        said = "cannot be written: No space left on device; make room, or name another with REMORA_STATE"
        assert refused(stack, "up") == f"remora: {folder}: the state folder {said}\n"
    stack.remora("up")


@root
def test_a_disk_that_cannot_be_written(stack: Stack) -> None:
    stack.ops(DIFFERENT)
    with mounted(stack.folder / "state", "-o", "ro") as folder:
        said = "cannot be written: Read-only file system; make room, or name another with REMORA_STATE"
        assert refused(stack, "up") == f"remora: {folder}: the state folder {said}\n"


def test_a_state_folder_that_is_a_file(stack: Stack) -> None:
    stack.ops(DIFFERENT)
    (stack.folder / "state").write_text("mine")
    said = "the state folder cannot be written: File exists; make room, or name another with REMORA_STATE"
    assert refused(stack, "up") == f"remora: {stack.folder}/state: {said}\n"


# ---- parity ----


def test_parity_with_what_there_is_not(stack: Stack) -> None:
    said = "remora.yaml:1: environments: no environment `staging`; there is `dev`, `prod`"
    assert refused(stack, "parity", "dev", "staging") == f"remora: {said}\n"
    written = "`remora parity ENVIRONMENT --save x.json` writes it"
    assert refused(stack, "parity", "dev", "x.json") == f"remora: x.json: no such file; {written}\n"
    assert refused(stack, "parity", "dev", "--save", "none/x.json") == "remora: none/x.json: cannot be written: No such file or directory\n"
    for torn in ('{"environment":', "[]", '{"environment": 5, "expected": [], "actual": 5, "source": 1, "allowed": 3}'):
        (stack.folder / "x.json").write_text(torn)
        assert refused(stack, "parity", "dev", "x.json") == f"remora: x.json: not a file of parity facts; {written}\n"


# ---- Compose ----


@root
def test_no_compose(stack: Stack) -> None:
    folders = " ".join(PLUGINS)
    hidden = f'set -- "$@"; for f in {folders}; do [ ! -d $f ] || mount -t tmpfs tmpfs $f; done; exec env PATH=/nowhere "$@"'
    before = ("unshare", "-m", "sh", "-c", hidden, "sh")
    said = refused(stack, "up", before=before, HOME=str(stack.folder), DOCKER_CONFIG="")
    assert said == f"remora: Docker Compose is not installed: {NEEDED}\n"


def plugin(stack: Stack, script: str, mode: int = 0o755) -> str:
    """A Compose of the user's own, before that of the machine; the settings folder that it lies in."""
    path = stack.folder / "docker/cli-plugins/docker-compose"
    path.parent.mkdir(parents=True)
    path.write_text(script)
    path.chmod(mode)
    return str(path.parent.parent)


OLD = '#!/bin/sh\n[ "$*" != "version --short" ] || { echo v2.10.0; exit; }\n'


def test_a_compose_that_refuses_because_it_is_too_old(stack: Stack) -> None:
    folder = plugin(stack, OLD + "echo unknown flag >&2; exit 1\n")
    said = f"{folder}/cli-plugins/docker-compose: Docker Compose v2.10.0 is too old: {NEEDED}"
    assert refused(stack, "up", DOCKER_CONFIG=folder) == f"remora: {said}\n"


def test_a_compose_that_would_take_an_override_for_something_else(stack: Stack) -> None:
    folder = plugin(stack, OLD + f'exec {" ".join(binary())} "$@"\n')
    stack.ops(DIFFERENT)
    said = f"{folder}/cli-plugins/docker-compose: Docker Compose v2.10.0 is too old: {NEEDED}"
    assert refused(stack, "up", DOCKER_CONFIG=folder) == f"remora: {said}\n"


BROKEN = [
    row("not to be run", "", 0o644, f"cannot be run: Permission denied; {NEEDED}"),
    row("of another machine", "\x7fELF", 0o755, f"cannot be run: Exec format error; {NEEDED}"),
    row("that says nothing", "#!/bin/sh\nexit 1\n", 0o755, f"does not answer: {NEEDED}"),
    row("that says something else", "#!/bin/sh\necho hello\n", 0o755, f"does not answer: {NEEDED}"),
]


@pytest.mark.parametrize("script, mode, message", BROKEN)
def test_a_compose_that_is_broken(stack: Stack, script: str, mode: int, message: str) -> None:
    folder = plugin(stack, script, mode)
    assert refused(stack, "up", DOCKER_CONFIG=folder) == f"remora: {folder}/cli-plugins/docker-compose: {message}\n"


# ---- the engine ----

AWAY = "start it, or say where it is with -H or DOCKER_HOST"


@pytest.mark.parametrize("verb", ["up", "down", "status", "watch"])
def test_no_engine(stack: Stack, verb: str) -> None:
    said = f"remora: no engine answers at unix:///nowhere.sock (No such file or directory): {AWAY}\n"
    assert refused(stack, verb, "-H", "unix:///nowhere.sock") == said


@pytest.fixture(scope="module", autouse=True)
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """An engine that takes connections and says nothing, and who waits for it while the other tests run."""
    folder = tmp_path_factory.mktemp("silent")
    (folder / "compose.yaml").write_text(WEB)
    (folder / "remora.yaml").write_text(LOGS.replace("TO", "relp://logs"))
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(folder / "x.sock"))
        silent.listen()
        host = f"unix://{folder}/x.sock"
        with subprocess.Popen([REMORA, "up", "-H", host], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            yield host, process
            process.kill()


def test_an_engine_that_says_nothing(waiting: tuple[str, subprocess.Popen[str]]) -> None:
    host, process = waiting
    said = process.communicate(timeout=20)
    assert (process.returncode, *said) == (1, "", f"remora: no engine answers at {host} (nothing came in time): {AWAY}\n")


# ---- standard output ----


def test_a_reader_who_has_seen_enough_stops_nothing(stack: Stack) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([REMORA, "up", "-q"], cwd=stack.folder, env=stack.env, stdout=writer, stderr=subprocess.PIPE)
    assert (done.returncode, len(stack.sidekicks())) == (0, 1), done.stderr
    for words in (["plan"], ["status"], ["status", "--json"], ["render", "-q"], ["logs", "probe"], ["parity", "dev", "prod"]):
        done = subprocess.run([REMORA, *words], cwd=stack.folder, env=stack.env, stdout=writer, stderr=subprocess.PIPE)
        assert (done.returncode, done.stderr) == (0, b"")
    os.close(writer)


def test_a_disk_that_is_full_under_standard_output(stack: Stack) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([REMORA, "plan"], cwd=stack.folder, env=stack.env, stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (1, b"remora: standard output: cannot be written: No space left on device\n")
