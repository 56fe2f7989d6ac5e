"""What changed in the ops file since its sidekicks were attached."""

from dataclasses import replace

import pytest
from worlds import compose, read, settle, wanted

from remora.core.diff import changed, changes
from remora.core.sidekick import Caps, Spec
from remora.core.world import Container, Mount
from remora.engines.fake import FakeEngine

STACK = compose(web={"scale": 2}, db={})
OLD = """
    environments: {prod: {attach: [net, more]}}
    sidekicks:
      net: {kind: container, image: "busybox:1", for: web, env: {A: x, B: x}}
      more: {kind: container, image: busybox, for: db}
"""


def said(new, old=OLD):
    """What a new ops file changes beside the sidekicks of an old one."""
    engine = FakeEngine()
    engine.up(STACK)
    assert settle(engine, read(old), STACK) == []
    found = read(new)
    specs, world = wanted(engine, found, STACK)
    return [str(each) for each in changes(found, "prod", specs, world, "shop")]


@pytest.mark.parametrize(
    "old, new, words",
    [
        pytest.param("", "", [], id="nothing"),
        pytest.param(":1", ":2", ["~ net (remora.yaml:3): image busybox:1 is now busybox:2"], id="an image"),
        pytest.param("B: x", "B: y", ["~ net (remora.yaml:3): env B as it was is now another"], id="a value, which is not told"),
        pytest.param("B: x", "C: x", ["~ net (remora.yaml:3): env C (not there) is now there"], id="another variable"),
        pytest.param("for: db", "for: db, limits: {memory: 32m}", ["~ more (remora.yaml:4): memory 64 MiB is now 32 MiB"], id="a cap"),
        pytest.param("for: db", "for: db, restart: 'no'", ["~ more (remora.yaml:4): restart unless-stopped is now no"], id="a policy"),
        pytest.param(
            "for: db", "for: db, limits: {pids: 3}", ["~ more (remora.yaml:4): changed in what its container does not show"], id="pids"
        ),
        pytest.param("for: db", "for: web", [], id="another place is no change, but something to do"),
        pytest.param("net, more", "net", ["- more (remora.yaml:4): is not attached in prod"], id="attached no more"),
        pytest.param(
            "more", "other", ["+ other (remora.yaml:4): is not attached yet", "- more: is not in the ops file any more"], id="renamed"
        ),
        pytest.param("for: db", "for: {env: NOBODY}", ["~ more (remora.yaml:4): is for no app container any more"], id="for nobody"),
    ],
)
def test_what_changed_is_told(old, new, words):
    assert said(OLD.replace(old, new)) == words


SPEC = Spec("n", "net", "container", "shop", "prod", "/new.yaml", "busybox", walls=("network",), command=("sleep", "1"), caps=Caps())
THERE = Container(
    "1",
    "n",
    image="busybox",
    labels={"remora.ops": "/old.yaml", "remora.environment": "test", "remora.kind": "container"},
    restart="unless-stopped",
    memory=64 << 20,
    mounts=(Mount("tmpfs", "", "/tmp"), Mount("volume", "s", "/run/secrets"), Mount("volume", "data", "/data")),
    config={"HostConfig": {"NetworkMode": "none", "PidMode": "container:1"}, "Config": {"Cmd": ["sleep", "2"]}},
)


def test_all_that_a_container_shows_is_compared():
    assert changed(SPEC, THERE) == [
        "ops file /old.yaml is now /new.yaml",
        "environment test is now prod",
        "walls processes is now network",
        "command sleep 2 is now sleep 1",
        "mounts `/data` is now none",
    ]


def test_what_an_image_brings_is_no_change():
    same = replace(THERE, config={"Config": {"Cmd": ["nginx"]}}, labels={}, mounts=())
    spec = replace(SPEC, command=None, owner="", environment="", kind="")
    assert changed(spec, same) == ["changed in what its container does not show"]
