"""From what is there to what is wanted: every branch of the plan."""

from dataclasses import replace

import pytest

from remora.core.plan import Attach, Detach, Prepare, Start, Stop, plan, prepared
from remora.core.sidekick import Spec
from remora.core.world import MARK, SIGN, STACK, Container, World, mark
from remora.errors import RemoraError

OPS = "/srv/remora.yaml"
APP = Container("a1", "shop-web-1", labels={STACK: "shop"}, started_at="2024-01-01T00:00:05Z")
SPEC = Spec("shop-web-1.probe", "probe", "container", "shop", "prod", OPS, "busybox", host="shop-web-1", parent="a1", walls=("network",))
FILES = replace(SPEC, walls=())
GONE = "- detach shop-web-1.probe: "


def sidekick(spec=SPEC, started_at="2024-01-01T00:00:06Z", **more):
    return made("s1", spec.name, spec.labels, started_at=started_at, restart="unless-stopped", **more)


def made(id, name, labels, **more):
    """A container that remora made."""
    sign = mark("", name, labels)
    return Container(id, name, labels={**labels, MARK: sign}, env={SIGN: sign}, **more)


def words(actions):
    return [str(action) for action in actions]


def todo(specs, *containers, owner=OPS, take_over=False):
    return words(plan(specs, World(containers=containers), "shop", owner, take_over))


ATTACH = "+ attach shop-web-1.probe (container; walls: network) because of "
ATTACH_FILES = "+ attach shop-web-1.probe (container; walls: none) because of "
STOPPED = replace(APP, state="exited")
AGAIN = "~ restart shop-web-1.probe: "


@pytest.mark.parametrize(
    "specs, containers, expected",
    [
        pytest.param([], [], [], id="nothing is wanted and nothing there"),
        pytest.param([SPEC], [APP], [ATTACH], id="a new sidekick"),
        pytest.param([SPEC], [APP, sidekick()], [], id="all is as it should be"),
        pytest.param([], [APP, sidekick()], [f"{GONE}no longer asked for"], id="no longer wanted"),
        pytest.param([], [sidekick()], [f"{GONE}its app container is gone"], id="its app is gone"),
        pytest.param([replace(SPEC, image="x")], [APP, sidekick()], [f"{GONE}its definition changed", ATTACH], id="its definition changed"),
        pytest.param(
            [replace(SPEC, parent="a2")],
            [replace(APP, id="a2"), sidekick()],
            [f"{GONE}shop-web-1 is a new container", ATTACH],
            id="its app was made anew",
        ),
        pytest.param([SPEC], [STOPPED], [], id="its app stands still: nothing to join"),
        pytest.param([FILES], [STOPPED], [ATTACH_FILES], id="its app stands still, and only files are shared"),
        pytest.param([SPEC], [STOPPED, sidekick()], ["~ stop shop-web-1.probe: shop-web-1 is not running"], id="its app was stopped"),
        pytest.param([SPEC], [STOPPED, sidekick(state="exited")], [], id="both stand still"),
        pytest.param(
            [replace(SPEC, image="x")], [STOPPED, sidekick()], [f"{GONE}its definition changed"], id="changed while its app is away"
        ),
        pytest.param([SPEC], [APP, sidekick(state="exited", exit_code=3)], [f"{AGAIN}it ended with exit code 3"], id="it ended"),
        pytest.param([SPEC], [APP, sidekick(state="exited", oom_killed=True)], [f"{AGAIN}it ran out of memory"], id="it ran out of memory"),
        pytest.param([SPEC], [APP, sidekick(state="created")], [f"{AGAIN}it was never started"], id="it was never started"),
        pytest.param([SPEC], [APP, sidekick(state="restarting")], [], id="the engine is starting it again"),
        pytest.param([SPEC], [APP, sidekick(state="paused")], [], id="somebody paused it"),
        pytest.param(
            [SPEC],
            [APP, sidekick(started_at="2024-01-01T00:00:04Z")],
            [f"{AGAIN}shop-web-1 was restarted and has new namespaces"],
            id="its app was restarted",
        ),
        pytest.param([FILES], [APP, sidekick(FILES, "2024-01-01T00:00:04Z")], [], id="its app was restarted, and only files are shared"),
        pytest.param([SPEC], [APP, sidekick(started_at="2024-01-01T00:00:05.000000001Z")], [], id="a nanosecond later than its app"),
        pytest.param(
            [SPEC],
            [replace(APP, started_at="2024-01-01T00:00:05.12Z"), sidekick(started_at="2024-01-01T00:00:05.1199Z")],
            [f"{AGAIN}shop-web-1 was restarted and has new namespaces"],
            id="fractions of unequal length",
        ),
        pytest.param([SPEC], [replace(APP, state="restarting")], [], id="its app crashed, and is not back yet"),
        pytest.param([SPEC], [replace(APP, state="restarting"), sidekick()], [], id="its app crashed, and it waits for it"),
        pytest.param([SPEC], [replace(APP, state="restarting"), sidekick(state="exited")], [], id="its app crashed and took it along"),
        pytest.param([FILES], [replace(APP, state="restarting")], [ATTACH_FILES], id="its app crashed, and only files are shared"),
        pytest.param([FILES], [replace(APP, state="created")], [], id="its app never ran: it may be there for a moment only"),
        pytest.param([], [replace(sidekick(), labels={**SPEC.labels, STACK: "shop"})], [], id="a sidekick out of an overlay is Compose's"),
        pytest.param([], [replace(sidekick(), labels={**SPEC.labels, "remora.stack": "blog"})], [], id="a sidekick of another stack"),
    ],
)
def test_the_plan_goes_from_what_is_there_to_what_is_wanted(specs, containers, expected):
    assert todo(specs, *containers) == expected


def test_the_sidekicks_of_another_ops_file_are_refused():
    with pytest.raises(RemoraError) as refused:
        todo([SPEC], APP, sidekick(), owner="/home/me/remora.yaml")
    assert str(refused.value) == (
        "the sidekicks of `shop` belong to the ops file /srv/remora.yaml (see container `shop-web-1.probe`); "
        "detach them with that file, or take them over with --take-over"
    )


def test_the_sidekicks_of_another_ops_file_can_be_taken_over():
    mine = replace(SPEC, owner="/home/me/remora.yaml")
    assert todo([mine], APP, sidekick(), owner=mine.owner, take_over=True) == [f"{GONE}its definition changed", ATTACH]


def test_images_come_first_then_removals_then_shippers_then_the_rest():
    reader = replace(FILES, name="shop.logs.reader", kind="logs", role="reader", image="remora/logs:1", recipe="logs", first=-1)
    sender = replace(reader, name="shop.logs.sender-1", role="sender-1", first=-2)
    old = [made(each.name, f"old.{each.name}", each.labels) for each in (sender, reader, FILES)]
    actions = prepared(plan([FILES, reader, sender], World(containers=(APP, *old)), "shop", OPS), frozenset())
    assert [getattr(a, "name", "") or getattr(a, "image", "") or a.spec.name for a in actions] == [
        "busybox",
        "remora/logs:1",
        "old.shop-web-1.probe",
        "old.shop.logs.reader",
        "old.shop.logs.sender-1",
        "shop.logs.sender-1",
        "shop.logs.reader",
        "shop-web-1.probe",
    ]


@pytest.mark.parametrize(
    "there, expected",
    [
        pytest.param((), [Prepare("busybox"), Attach(SPEC)], id="the image is missing"),
        pytest.param(("busybox",), [Attach(SPEC)], id="the image is there"),
    ],
)
def test_images_are_prepared_that_are_missing(there, expected):
    assert list(prepared([Attach(SPEC)], frozenset(there))) == expected


def test_an_image_is_prepared_once_for_all():
    two = [Attach(SPEC), Attach(replace(SPEC, name="other"))]
    assert next(str(action) for action in prepared(two, frozenset())) == "+ pull image busybox"
    assert len(prepared(two, frozenset())) == 3


@pytest.mark.parametrize(
    "action, beside",
    [(Attach(SPEC), "shop-web-1"), (Detach("s1", "x", "", "y"), ""), (Prepare("busybox"), ""), (Start("s", "x", "web", "y"), "web")],
    ids=["attach", "detach", "prepare", "start"],
)
def test_an_action_knows_beside_whom_it_is(action, beside):
    assert action.beside == beside


def test_actions_say_what_they_do():
    assert str(Prepare("remora/logs:1", "logs")) == "+ build image remora/logs:1"
    assert str(Stop("s1", "x", "web", "web is not running")) == "~ stop x: web is not running"
