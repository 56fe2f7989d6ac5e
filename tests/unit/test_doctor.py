"""The doctor's findings, as tables."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from remora.core.doctor import Engine, Facts, Finding, findings, well

DOCKER = Engine("docker", "26.1.5", "1.45", "unix:///var/run/docker.sock", "2", "overlay2", "json-file")
PODMAN = Engine("podman", "5.4.0", "1.41", "unix:///run/podman/podman.sock", "2", "overlay", "journald")


def found(engine: Engine, what: str) -> Finding:
    return next(each for each in findings(Facts(engine, compose="2.26.1")) if each.what == what)


def test_on_docker_all_of_it_works() -> None:
    assert well(findings(Facts(DOCKER, compose="2.26.1")))


@pytest.mark.parametrize(
    "facts, finding",
    [
        pytest.param(
            Facts(no_engine="no engine found: start Docker, or say where it is with -H or DOCKER_HOST", compose="2.26.1"),
            Finding("engine", "no", "no engine found", "start Docker, or say where it is with -H or DOCKER_HOST"),
            id="no engine",
        ),
        pytest.param(
            Facts(no_engine="not allowed", compose="2.26.1"),
            Finding("engine", "no", "not allowed", "start Docker or Podman, or say where it is with -H or DOCKER_HOST"),
            id="an engine that says no more",
        ),
        pytest.param(
            Facts(DOCKER, no_compose="Docker Compose is not installed"),
            Finding("compose", "no", "Docker Compose is not installed", "install Docker Compose 2.24 or newer"),
            id="no Compose",
        ),
    ],
)
def test_what_is_missing_is_said(facts: Facts, finding: Finding) -> None:
    assert finding in findings(facts)
    assert not well(findings(facts))


@pytest.mark.parametrize(
    "engine, what, works, why",
    [
        pytest.param(
            replace(DOCKER, rootless=True, cgroup="1"),
            "caps",
            "no",
            "without root and with cgroup v1 the engine caps nothing: a sidekick may take what it likes of the machine",
            id="no caps without root on cgroup v1",
        ),
        pytest.param(
            replace(DOCKER, capless=("memory", "processes")),
            "caps",
            "no",
            "the engine cannot cap memory and processes",
            id="no controllers",
        ),
        pytest.param(DOCKER, "caps", "yes", "memory, processor and processes of sidekicks are capped", id="caps"),
        pytest.param(
            replace(DOCKER, logging="none"),
            "logs",
            "no",
            "the default logging driver is `none`: what containers print is kept nowhere",
            id="nothing is kept",
        ),
        pytest.param(replace(DOCKER, logging="local"), "logs", "yes", "read through the engine's API (`local`)", id="no files to read"),
        pytest.param(PODMAN, "logs", "yes", "read through the engine's API (`journald`), with times in whole seconds", id="logs of Podman"),
        pytest.param(
            PODMAN,
            "walls",
            "partly",
            "Podman cannot remove or recreate an app container whose processes or ipc a sidekick shares, so these walls are refused",
            id="walls of Podman",
        ),
        pytest.param(PODMAN, "watch", "yes", "starts, restarts and ends are followed", id="Podman 5"),
        pytest.param(
            replace(PODMAN, version="4.3.1"),
            "watch",
            "partly",
            "Podman before 5.0 changes no restart policy: that a sidekick was given up is known to the running `remora watch` alone",
            id="Podman 4",
        ),
    ],
)
def test_what_works_on_an_engine(engine: Engine, what: str, works: str, why: str) -> None:
    each = found(engine, what)
    assert (each.works, each.why, bool(each.todo)) == (works, why, works != "yes")


def test_the_command_works_without_an_engine(tmp_path) -> None:
    command = [Path(sys.executable).with_name("remora"), "doctor", "-H", f"unix://{tmp_path}/none", "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    said = json.loads(done.stdout)
    assert (done.returncode, done.stderr, said["engine"], said["well"]) == (1, "", None, False)
    assert said["findings"][0] == {
        "what": "engine",
        "works": "no",
        "why": f"no engine answers at unix://{tmp_path}/none (No such file or directory)",
        "todo": "start it, or say where it is with -H or DOCKER_HOST",
    }
