"""Podman's words, and Docker's: the tables of what is translated."""

import json

import pytest

from remora.core.event import Event, parse
from remora.engines.podman import Podman, familiar, holds_a_pod, is_podman, joined, numbers
from remora.images.logs.engine_api import unsplit, utc


@pytest.fixture
def podman() -> Podman:
    """One that nobody has connected."""
    made = Podman.__new__(Podman)
    made.health, made.given_up = {}, set()
    return made


def line(action: str, kind: str = "container", **attributes: str) -> str:
    actor = {"ID": "c1", "Attributes": {"name": "web", **attributes}}
    return json.dumps({"Type": kind, "Action": action, "status": action, "id": "c1", "Actor": actor})


@pytest.mark.parametrize(
    "given, action",
    [
        pytest.param("die", "die", id="the word is Docker's in newer ones"),
        pytest.param("died", "die", id="the word is Podman's own"),
        pytest.param("remove", "destroy", id="a removal"),
        pytest.param("rename", "rename", id="a word that both have"),
    ],
)
def test_events_are_told_in_docker_s_words(podman: Podman, given: str, action: str) -> None:
    assert parse(podman.retold(line(given))) == Event(action, "c1", "web", {"name": "web"})


def test_a_network_event_says_which_container(podman: Podman) -> None:
    assert parse(podman.retold(line("connect", "network"))) == Event("connect", "c1")


def test_only_a_probe_that_finds_something_new_is_told(podman: Podman) -> None:
    found = ["healthy", "healthy", "unhealthy", "unhealthy", "healthy"]
    told = [podman.retold(line("health_status", health_status=each)) != "" for each in found]
    assert told == [True, False, True, False, True]


def test_a_probe_that_does_not_say_what_it_found_is_always_told(podman: Podman) -> None:
    assert all(podman.retold(line("health_status")) for _ in range(3))


@pytest.mark.parametrize("text", ["", "no json", "[]", "{}", '{"Action": "die", "Actor": null}'])
def test_a_line_that_makes_no_sense_is_handed_on(podman: Podman, text: str) -> None:
    assert podman.retold(text) == text


@pytest.mark.parametrize(
    "image, called",
    [
        ("docker.io/library/debian:trixie-slim", "debian:trixie-slim"),
        ("docker.io/remora/logs:1", "remora/logs:1"),
        ("localhost/mine:1", "mine:1"),
        ("registry.example/x:1", "registry.example/x:1"),
    ],
)
def test_an_image_is_called_as_people_call_it(image: str, called: str) -> None:
    assert familiar(image) == called


def test_an_inspection_is_translated(podman: Podman) -> None:
    raw = {
        "Id": "c1",
        "Config": {
            "Image": "docker.io/library/debian:trixie-slim",
            "Env": ["TERM=xterm", "container=podman", "X=1", "HOME=/root", "HOSTNAME=c1"],
        },
        "HostConfig": {"LogConfig": {"Type": "json-file", "Config": None}, "PidsLimit": 2048},
        "State": {"Status": "initialized"},
        "NetworkSettings": {"Networks": {"podman": {}, "shop_default": {}}},
    }
    assert podman.translated(raw) == {
        "Id": "c1",
        "Config": {"Image": "debian:trixie-slim", "Env": ["X=1"]},
        "HostConfig": {"LogConfig": {"Type": "k8s-file", "Config": None}, "PidsLimit": 0},
        "State": {"Status": "created"},
        "NetworkSettings": {"Networks": {"bridge": {}, "shop_default": {}}},
    }


@pytest.mark.parametrize(
    "state, policy, labels, found",
    [
        ("stopped", "always", {}, "restarting"),
        ("stopped", "", {}, "exited"),
        ("exited", "always", {}, "exited"),
        ("stopped", "always", {"remora.sidekick": "net"}, "exited"),
    ],
)
def test_an_app_that_ended_and_is_not_cleaned_up_may_come_back(
    podman: Podman, state: str, policy: str, labels: dict[str, str], found: str
) -> None:
    host = {"LogConfig": {"Type": "json-file"}, "RestartPolicy": {"Name": policy}}
    raw = {"Config": {"Image": "x", "Env": [], "Labels": labels}, "HostConfig": host, "State": {"Status": state}}
    assert podman.translated(raw)["State"] == {"Status": found}


def test_the_network_is_joined_by_path_and_with_the_names_that_the_app_knows() -> None:
    parent = {"NetworkSettings": {"SandboxKey": "/run/netns/n1"}, "HostsPath": "/c1/hosts", "ResolvConfPath": "/c1/resolv.conf"}
    body = {"Image": "x", "HostConfig": {"NetworkMode": "container:c1", "Mounts": [], "Memory": 1}}
    assert joined(body, parent) == {
        "Image": "x",
        "HostConfig": {
            "NetworkMode": "ns:/run/netns/n1",
            "Mounts": [
                {"Type": "bind", "Source": "/c1/hosts", "Target": "/etc/hosts", "ReadOnly": True},
                {"Type": "bind", "Source": "/c1/resolv.conf", "Target": "/etc/resolv.conf", "ReadOnly": True},
            ],
            "Memory": 1,
        },
    }


def test_podman_is_told_by_its_components() -> None:
    assert is_podman({"ApiVersion": "1.41", "Components": [{"Name": "Podman Engine", "Version": "4.3.1"}]})
    assert not is_podman({"ApiVersion": "1.45", "Components": [{"Name": "Engine", "Version": "26.1.5"}]})
    assert not is_podman({"ApiVersion": "1.45", "Components": None})


@pytest.mark.parametrize("version, found", [("4.3.1", (4, 3)), ("5.0.0-rc1", (5, 0)), ("6", (6, 0)), ("dev", (0, 0))])
def test_the_first_two_numbers_of_a_version(version: str, found: tuple[int, int]) -> None:
    assert numbers(version) == found


@pytest.mark.parametrize(
    "name, image, does",
    [
        ("shop-infra", "localhost/podman-pause:4.3.1-0", True),
        ("/f393ef2bd119-infra", "debian:trixie-slim", True),
        ("x", "k8s.gcr.io/pause:3.5", True),
        ("infra", "debian:trixie-slim", False),
    ],
)
def test_what_only_holds_a_pod_is_no_app_container(name: str, image: str, does: bool) -> None:
    assert holds_a_pod(name, image) == does


@pytest.mark.parametrize(
    "at, written",
    [
        ("2026-11-25T12:40:11.123456789Z", "2026-11-25T12:40:11.123456789Z"),
        ("2026-11-25T12:40:11Z", "2026-11-25T12:40:11Z"),
        ("2026-11-25T14:40:11+02:00", "2026-11-25T12:40:11Z"),
        ("2026-11-25T14:40:11.123456789+02:00", "2026-11-25T12:40:11.123456Z"),
        ("no time", "no time"),
    ],
)
def test_the_time_of_a_message_is_docker_s(at: str, written: str) -> None:
    assert utc(at) == written


def test_a_terminal_s_line_of_podman_is_never_split() -> None:
    long = b"2026-11-25T12:40:11Z " + b"x" * 40000
    assert unsplit(long) == long
