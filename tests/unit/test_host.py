"""Which engine: what is asked for, DOCKER_HOST, the docker context, the usual sockets; in this order."""

import json
import socket

import pytest

from remora.engines.host import find
from remora.errors import RemoraError


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """A user without any setting, and without an engine."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


def test_what_is_asked_for_comes_first(bare, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///elsewhere")
    assert find("tcp://engine:2375").url == "tcp://engine:2375"


def test_docker_host_comes_next(bare, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "ssh://ops@engine")
    assert find(None).env == {"DOCKER_HOST": "ssh://ops@engine"}


def test_a_context_that_is_not_there(bare, monkeypatch):
    monkeypatch.setenv("DOCKER_CONTEXT", "nowhere")
    with pytest.raises(RemoraError, match="nowhere"):
        find(None)


def test_an_address_that_is_none(bare):
    with pytest.raises(RemoraError) as error:
        find("gopher://engine")
    assert str(error.value).endswith("; write unix://PATH, tcp://HOST:PORT or ssh://USER@HOST")


def test_the_default_context_stands_for_the_usual_sockets(bare):
    (bare / "docker").mkdir()
    (bare / "docker/config.json").write_text(json.dumps({"currentContext": "default"}))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(bare / "docker.sock"))
        assert find(None).url in (f"unix://{bare}/docker.sock", "unix:///var/run/docker.sock")
