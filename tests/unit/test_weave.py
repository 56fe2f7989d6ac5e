"""The two files and the app containers become sidekicks."""

from dataclasses import replace

import pytest
from worlds import coming, compose, read, specs, woven

from remora.core.sidekick import App, Spec
from remora.core.weave import expected, present
from remora.core.world import ONE_OFF, SERVICE, STACK, Container, Mount, World
from remora.errors import RemoraError

DATA = {"type": "volume", "source": "data", "target": "/data"}
STACKED = compose(web={"volumes": [DATA], "scale": 2, "user": "33"}, db={}, volumes={"data": {"name": "shop_data"}})


def file(settings, kind="container, image: busybox"):
    return f"environments: {{prod: {{attach: [x]}}}}\nsidekicks:\n  x:\n    {{kind: {kind}, for: web, {settings}}}\n"


def refused(settings, kind="container, image: busybox", stack=STACKED):
    with pytest.raises(RemoraError) as error:
        specs(file(settings, kind), stack)
    return str(error.value)


def test_each_replica_gets_its_own():
    assert [spec.name for spec in specs(file("tmpfs: []"), STACKED)] == ["shop-web-1.x", "shop-web-2.x"]


@pytest.mark.parametrize(
    "settings, key, value",
    [
        pytest.param("user: same", "user", "33", id="the app's user"),
        pytest.param("walls: {network: true, ipc: true}", "walls", ("network", "ipc"), id="walls"),
        pytest.param("walls: {network: true}", "network", "", id="no network of its own beside the app's"),
        pytest.param("network: back", "network", "back", id="a network of its own"),
        pytest.param("walls: {files: /data/x}", "mounts", (Mount("volume", "shop_data", "/data", True),), id="files by path"),
        pytest.param("walls: {files: data}", "mounts", (Mount("volume", "shop_data", "/data", True),), id="files by volume"),
        pytest.param("walls: {processes: true}", "init", False, id="no init where the app's is process 1"),
        pytest.param("command: echo a", "command", ("echo", "a"), id="a command"),
        pytest.param("stop_grace: 3", "stop_seconds", 3, id="time to end"),
        pytest.param("tmpfs: []", "why", "remora.yaml:3", id="the line that asks for it"),
    ],
)
def test_a_container_is_as_its_settings_say(settings, key, value):
    assert getattr(specs(file(settings), STACKED)[0], key) == value


@pytest.mark.parametrize(
    "settings, kind, words",
    [
        pytest.param(
            "walls: {files: /etc}",
            "container, image: i",
            "walls: `/etc` of shop-web-1 is in the container's own layer, which nobody else can mount; what lies outside of it: `/data`",
            id="a path in the container's own layer",
        ),
        pytest.param(
            "walls: {files: logs}", "container, image: i", "walls: shop-web-1 has no volume `logs`; it has `/data`", id="no such volume"
        ),
        pytest.param(
            "walls: {network: true}, network: back",
            "container, image: i",
            "network: the network wall is open: it has the app's network, and cannot have one of its own",
            id="two networks",
        ),
        pytest.param(
            "from: /etc/*.log, to: file:///l",
            "logs",
            "from: `/etc` of shop-web-1 is in the container's own layer, which nobody else can mount; what lies outside of it: `/data`",
            id="logs in the container's own layer",
        ),
    ],
)
def test_what_cannot_be_had_is_refused_with_its_line(settings, kind, words):
    assert refused(settings, kind) == f"remora.yaml:4: sidekicks.x.{words}"


def test_a_name_that_is_taken_is_refused():
    stack = compose(web={}, db={"container_name": "shop-web-1.x"})
    message = "remora.yaml:3: the container name `shop-web-1.x` is taken by an app container; rename the sidekick"
    assert refused("tmpfs: []", stack=stack) == message


def test_a_selector_that_matches_nothing_now_is_a_fault():
    found = woven(read(file("tmpfs: []")), [])
    assert found.faults == ("remora.yaml:4: sidekicks.x.for: matches no app container of shop",)


def test_a_driver_that_keeps_nothing_is_a_fault():
    found = woven(read(file("to: file:///l", "logs")), coming(compose(web={"logging": {"driver": "none"}})))
    assert found.faults == ("shop-web-1: its logging driver is `none`: what it prints is kept nowhere",)


def test_an_environment_that_attaches_nothing_weaves_nothing():
    assert specs("environments: {dev: }", STACKED) == ()


@pytest.mark.parametrize(
    "labels, stack, found",
    [
        pytest.param({STACK: "shop", SERVICE: "web"}, "shop", True, id="an app container"),
        pytest.param({STACK: "blog", SERVICE: "web"}, "shop", False, id="another stack's"),
        pytest.param({STACK: "blog", SERVICE: "web"}, "*", True, id="another stack's, for all stacks"),
        pytest.param({}, "*", True, id="one that Compose did not start, for all stacks"),
        pytest.param({STACK: "shop", SERVICE: "web", ONE_OFF: "True"}, "shop", False, id="a one-off command"),
        pytest.param({STACK: "shop", SERVICE: "x", "remora.sidekick": "x"}, "shop", False, id="a sidekick out of an overlay"),
        pytest.param({"remora.stack": "*", "remora.sidekick": "x"}, "*", False, id="a sidekick"),
    ],
)
def test_app_containers_are_told_apart(labels, stack, found):
    assert bool(present(World(containers=(Container("1", "c", labels=labels),)), stack)) is found


def test_what_is_coming_is_what_is_not_there():
    there = [App("shop", "web", "2", "shop-web-2")]
    assert [app.name for app in expected(STACKED, {}, there)] == ["shop-web-3", "shop-db-1"]
    assert [app.name for app in expected(STACKED, {}, there, only=["db"])] == ["shop-db-1"]


def test_nothing_is_coming_where_there_are_enough_whatever_their_numbers():
    there = [App("shop", "web", "7", "shop-web-7"), App("shop", "web", "4", "shop-web-4"), App("shop", "db", "1", "renamed")]
    assert expected(STACKED, {}, there) == ()


BASE = Spec("a.x", "x", "container", "shop", "prod", "/ops", "busybox", host="a", parent="1")


@pytest.mark.parametrize(
    "change, same",
    [
        pytest.param({"image": "alpine"}, False, id="another image"),
        pytest.param({"env": (("A", "b"),)}, False, id="another env"),
        pytest.param({"environment": "staging"}, False, id="another environment"),
        pytest.param({"parent": "2"}, True, id="another parent, which its label tells"),
        pytest.param({"why": "remora.yaml:9"}, True, id="another line of the file"),
    ],
)
def test_the_digest_tells_one_container_from_another(change, same):
    assert (replace(BASE, **change).digest == BASE.digest) is same
