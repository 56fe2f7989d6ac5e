"""Compose's canonical JSON becomes a project."""

import pytest
from worlds import compose

from remora.core.project import words
from remora.core.world import Mount
from remora.errors import RemoraError

NAMED = {"data": {"name": "shop_data"}}


@pytest.mark.parametrize(
    "entry, setting, expected",
    [
        pytest.param({}, "replicas", 1, id="one container unless more are asked for"),
        pytest.param({"scale": 3, "deploy": {"replicas": 2}}, "replicas", 3, id="scale wins over deploy"),
        pytest.param({"deploy": {"replicas": 0}}, "replicas", 0, id="no containers at all"),
        pytest.param({"image": None}, "image", "shop-web", id="Compose names what it builds"),
        pytest.param({"environment": {"A": "b", "C": None}}, "env", {"A": "b"}, id="an env value that is not set"),
        pytest.param({"environment": {"C": ""}}, "env", {"C": ""}, id="an env value that is empty"),
        pytest.param({"labels": {"tier": "front"}}, "labels", {"tier": "front"}, id="labels"),
        pytest.param({"user": "1000:1000"}, "user", "1000:1000", id="a user"),
        pytest.param({}, "user", None, id="a user that only the image knows"),
        pytest.param({"container_name": "front"}, "container_name", "front", id="a container name"),
        pytest.param({"logging": {"driver": "local"}}, "log_driver", "local", id="a logging driver"),
        pytest.param({"logging": {"options": {"max-size": "1m"}}}, "log_driver", "json-file", id="logging options without a driver"),
        pytest.param({"ports": [{"target": 80, "published": "8080"}]}, "ports", {80}, id="a published port"),
        pytest.param({"expose": ["9000", "8000-8002/udp"]}, "ports", {9000, 8000, 8001, 8002}, id="exposed ports and ranges"),
        pytest.param({"networks": {"back": None, "own": {}}}, "networks", ("shop_back", "own"), id="networks by the engine's names"),
        pytest.param({"tmpfs": "/tmp:size=1m"}, "mounts", (Mount("tmpfs", "", "/tmp"),), id="a tmpfs with options"),
        pytest.param({"tmpfs": ["/a", "/b"]}, "mounts", (Mount("tmpfs", "", "/a"), Mount("tmpfs", "", "/b")), id="two tmpfs"),
    ],
)
def test_a_service_is_read(entry, setting, expected):
    found = compose(web=entry, networks={"back": {"name": "shop_back"}}).services["web"]
    assert getattr(found, setting) == expected


@pytest.mark.parametrize("port", ["http", "8000-", "²"])
def test_what_compose_lets_pass_for_a_port(port):
    with pytest.raises(RemoraError) as error:
        compose(web={"expose": [port]})
    assert str(error.value) == f"the compose file: services.web.expose: `{port}` is not a port, nor a range such as 8000-8100"


@pytest.mark.parametrize(
    "volume, expected",
    [
        pytest.param(
            {"type": "volume", "source": "data", "target": "/d"}, Mount("volume", "shop_data", "/d"), id="a volume by the engine's name"
        ),
        pytest.param({"type": "volume", "target": "/d"}, Mount("volume", "", "/d"), id="an anonymous volume has no name yet"),
        pytest.param({"type": "bind", "source": "/srv", "target": "/d", "read_only": True}, Mount("bind", "/srv", "/d", True), id="a bind"),
        pytest.param({"type": "tmpfs", "target": "/d"}, Mount("tmpfs", "", "/d"), id="a tmpfs in the long form"),
    ],
)
def test_a_mount_is_read(volume, expected):
    assert compose(web={"volumes": [volume]}, volumes=NAMED).services["web"].mounts == (expected,)


@pytest.mark.parametrize(
    "command, expected",
    [
        pytest.param(None, None, id="nothing stays nothing"),
        pytest.param("echo 'a b'", ("echo", "a b"), id="text is split as a shell would"),
        pytest.param(["echo", 5], ("echo", "5"), id="a list is taken as it is"),
    ],
)
def test_a_command_becomes_words(command, expected):
    assert words(command) == expected


def test_a_project_without_volumes_has_none():
    assert compose(web={}).volumes == {}


def test_volumes_know_the_engines_names():
    assert compose(volumes={"data": {"name": "shop_data"}, "plain": None}).volumes == {"data": "shop_data", "plain": "plain"}
