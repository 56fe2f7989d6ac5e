"""Which engine: what is asked for, DOCKER_HOST, the docker context, the usual sockets; in this order."""

import hashlib
import json
import socket

import pytest

from remora.engines.host import current_context, find
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


ADDRESSES = [
    ("an unknown scheme", "gopher://engine"),
    ("no scheme", "engine:2375"),
    ("one word", "engine"),
    ("a relative socket", "unix://engine.sock"),
    ("no path", "unix://"),
    ("no port", "tcp://engine"),
    ("a port that is a word", "tcp://engine:docker"),
    ("no server", "tcp://:2375"),
    ("no server behind ssh", "ssh://"),
    ("an option for a server", "ssh://-oProxyCommand=id"),
    ("an option for a user", "ssh://-oProxyCommand=id@engine"),
    ("a password", "ssh://ops:hunter2@engine"),
]


@pytest.mark.parametrize("address", [pytest.param(address, id=id) for id, address in ADDRESSES])
def test_an_address_that_is_none(bare, monkeypatch, address):
    monkeypatch.setenv("DOCKER_HOST", address)
    for asked, source in ((address, "-H"), (None, "DOCKER_HOST")):
        with pytest.raises(RemoraError) as error:
            find(asked)
        ways = "write unix:///PATH, tcp://HOST:PORT or ssh://USER@HOST"
        shown = address.replace("hunter2", "…")
        assert str(error.value) == f"{source} {shown}: not an engine's address; {ways}"


@pytest.mark.parametrize("address", ["unix:///a b/x.sock", "tcp://10.0.0.1:1/", "tcp://[::1]:2376", "ssh://ops@a-b.c:22/run/x.sock"])
def test_an_address(bare, address):
    assert find(address).url == address


def test_tls_without_certificates(bare, monkeypatch):
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", "/nowhere")
    with pytest.raises(RemoraError) as error:
        find("tcp://engine:2376")
    where = "say with DOCKER_CERT_PATH where they are"
    assert str(error.value) == f"/nowhere: DOCKER_TLS_VERIFY asks for ca.pem, cert.pem, key.pem here; {where}"


def context(folder, name, meta):
    """A docker context as `docker context create` writes it."""
    place = folder / "docker/contexts/meta" / hashlib.sha256(name.encode()).hexdigest()
    place.mkdir(parents=True)
    (place / "meta.json").write_text(meta)
    return place / "meta.json"


def test_a_context(bare, monkeypatch):
    context(bare, "far", json.dumps({"Name": "far", "Endpoints": {"docker": {"Host": "ssh://ops@engine"}}}))
    monkeypatch.setenv("DOCKER_CONTEXT", "far")
    assert (find(None).url, find(None).env) == ("ssh://ops@engine", {"DOCKER_CONTEXT": "far"})


def test_the_context_in_use(bare):
    context(bare, "far", json.dumps({"Name": "far", "Endpoints": {"docker": {"Host": "tcp://engine:2375"}}}))
    (bare / "docker/config.json").write_text('{"currentContext": "far"}')
    assert find(None).url == "tcp://engine:2375"


def test_a_context_that_is_not_there(bare, monkeypatch):
    monkeypatch.setenv("DOCKER_CONTEXT", "nowhere")
    with pytest.raises(RemoraError) as error:
        find(None)
    assert str(error.value) == f"{bare}/docker: no docker context `nowhere` here; see `docker context ls`"


@pytest.mark.parametrize("meta", ["{", "[]", "{}", '{"Endpoints": 5}', '{"Endpoints": {"docker": null}}'])
def test_a_context_that_is_none(bare, monkeypatch, meta):
    file = context(bare, "torn", meta)
    monkeypatch.setenv("DOCKER_CONTEXT", "torn")
    with pytest.raises(RemoraError) as error:
        find(None)
    assert str(error.value) == f"{file}: not a docker context; remove `torn` and create it again with `docker context`"


@pytest.mark.parametrize("config", ["{", "[]", '{"currentContext": "default"}', "{}"])
def test_settings_without_a_context(bare, config):
    (bare / "docker").mkdir()
    (bare / "docker/config.json").write_text(config)
    assert current_context() is None


def test_the_default_context_stands_for_the_usual_sockets(bare):
    (bare / "docker").mkdir()
    (bare / "docker/config.json").write_text(json.dumps({"currentContext": "default"}))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(bare / "docker.sock"))
        assert find(None).url in (f"unix://{bare}/docker.sock", "unix:///var/run/docker.sock")
