"""The README, word for word, as a new user would: install, try it, see the demo."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

pytestmark = pytest.mark.engine

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(heading: str) -> list[str]:
    """The shell blocks under a heading."""
    section = README.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"```sh\n(.*?)```", section, re.DOTALL)


def shell(script: str, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(["bash", "-euc", script], cwd=folder, env={**os.environ, **env}, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done


def containers(project: str) -> list[str]:
    """Names of a project's containers and of its sidekicks."""
    client = docker.from_env()
    filters = [f"com.docker.compose.project={project}", f"remora.stack={project}"]
    return [each.name for label in filters for each in client.containers.list(all=True, filters={"label": label})]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with remora in it, and nothing of the checkout's."""
    place = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    command = blocks("Install")[0].split("or, in an environment of your own: ")[1].strip()
    assert command == "pip install ."
    shell(f"{place}/bin/{command} -q --disable-pip-version-check", ROOT)
    return place / "bin"


@pytest.fixture
def cleared() -> Iterator[None]:
    yield
    left = docker.from_env()
    for name in containers("hello"):
        left.containers.get(name).remove(force=True)
    left.containers.run("debian:trixie-slim", ["rm", "-rf", "/host/remora-hello"], volumes={"/tmp": {"bind": "/host"}}, remove=True)


def test_try_it(installed: Path, tmp_path: Path, cleared: None) -> None:
    *before, commands = blocks("Try it")
    env = {"PATH": f"{installed}:{os.environ['PATH']}"}
    env |= {"DOCKER_HOST": os.environ["DOCKER_HOST"]} if "DOCKER_HOST" in os.environ else {}
    shell("\n".join(before), tmp_path, **env)
    folder = tmp_path / "hello"
    said = {line.split("#")[0].strip(): shell(line, folder, **env).stdout for line in commands.splitlines()}
    assert "+ attach hello-web-2.peek (container; walls: network) because of remora.yaml:12" in said["remora plan -e prod"]
    status = said["remora status -e prod"]
    assert [line.split("\t")[2:4] for line in status.splitlines() if "\tpeek\t" in line] == [["peek", "running"]] * 2
    assert "the app containers of 1 service are the same, but for 2 declared differences" in said["remora parity dev prod"]
    assert "remora-peek-web:" in said["remora render -e prod"]
    assert containers("hello") == []


def test_every_target_that_is_named_can_be_made() -> None:
    targets = {line.split()[1] for block in blocks("Test it") + blocks("See it") for line in block.splitlines()}
    assert {"demo", "check", "test", "bench"} <= targets
    for target in targets:
        shell(f"make -n {target}", ROOT)


def test_see_it() -> None:
    """The demo; on a port of its own, for 8000 is popular."""
    if containers("coins"):
        pytest.skip("the demo is running on this engine")
    try:
        said = shell(blocks("See it")[0], ROOT, COINS_PORT="8098").stdout
        assert "300 requests, 0 failed; coins.logs.reader is running" in said
        assert "the app containers of 5 services are the same, but for 4 declared differences" in said
        received = said.partition("The same lines at the log server")[2].partition("==")[0]
        assert re.search(r'^\S+Z (worker|rng|hasher) \[remora@32473 stack="coins"', received, re.MULTILINE)
    finally:
        shell("make demo-down", ROOT, COINS_PORT="8098")
    assert containers("coins") == []
