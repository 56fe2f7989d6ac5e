"""The engine in memory behaves as Docker does, where plans depend on it."""

import pytest
from worlds import compose, read, settle

from remora.core.event import OPENED, parse
from remora.core.plan import Attach, Detach, Prepare, Start
from remora.core.sidekick import App, Spec
from remora.engines.fake import FakeEngine
from remora.errors import RemoraError

STACK = compose(web={"scale": 2})


def engine(walls="{network: true}"):
    """Two app containers with a sidekick each."""
    made = FakeEngine()
    made.up(STACK)
    file = f"environments: {{prod: {{attach: [x]}}}}\nsidekicks: {{x: {{kind: container, image: busybox, for: web, walls: {walls}}}}}\n"
    assert settle(made, read(file), STACK) == []
    return made


def quiet(_):
    pass


def test_a_restart_leaves_who_shared_the_namespaces_behind():
    found = engine()
    found.restart("shop-web-1")
    sidekick = found.named("shop-web-1.x")
    assert (sidekick.running, found.in_place(sidekick)) == (True, False)


def test_who_shares_the_processes_dies_with_them():
    found = engine("{processes: true}")
    found.stop("shop-web-1")
    assert (found.named("shop-web-1.x").exit_code, found.named("shop-web-2.x").running) == (137, True)


def test_nobody_joins_a_container_that_does_not_run():
    found = engine()
    found.stop("shop-web-1")
    with pytest.raises(RemoraError, match="cannot join"):
        found.perform(Start(found.named("shop-web-1.x").id, "x", "", ""), quiet)


def test_a_new_container_has_a_new_id():
    found = engine()
    before = found.named("shop-web-1").id
    found.recreate("shop-web-1")
    assert found.named("shop-web-1").id != before


def test_the_highest_numbers_go_first():
    found = engine()
    found.scale(STACK, "web", 1)
    assert list(found.replicas("web")) == [1]


@pytest.mark.parametrize(
    "spec, words",
    [
        pytest.param(Spec("b", "x", "container", "shop", "prod", "/o", "nowhere"), "no such image", id="an image that is not there"),
        pytest.param(Spec("shop-web-1", "x", "container", "shop", "prod", "/o", "busybox"), "is not remora's", id="a name that is taken"),
    ],
)
def test_what_fails_leaves_nothing(spec, words):
    found = engine()
    before = dict(found.containers)
    with pytest.raises(RemoraError, match=words):
        found.perform(Attach(spec), quiet)
    assert found.containers == before


def test_a_fault_comes_when_it_is_asked_for():
    found = FakeEngine()
    found.fail("the engine says: no", after=1)
    found.perform(Prepare("a"), quiet)
    with pytest.raises(RemoraError, match=r"no$"):
        found.perform(Prepare("b"), quiet)
    assert found.having(["a", "b"]) == {"a"}


def test_removing_twice_does_no_harm():
    found = engine()
    action = Detach(found.named("shop-web-1.x").id, "x", "", "")
    found.perform(action, quiet)
    found.perform(action, quiet)
    assert len(found.containers) == 3


def test_events_tell_what_happened_since():
    found = engine()
    list(found.events())
    found.restart("shop-web-1")
    opened, *lines = found.events()
    told = [(each.action, each.name, each.of_sidekick) for each in map(parse, lines)]
    assert (opened, told) == (OPENED, [("die", "shop-web-1", False), ("start", "shop-web-1", False)])


def test_a_sidekicks_own_volume_can_be_forgotten():
    found = FakeEngine()
    found.up(STACK)
    settle(found, read("environments: {prod: {attach: [x]}}\nsidekicks: {x: {kind: logs, for: web, to: file:///l}}"), STACK)
    assert found.forget("shop", ["y"]) == ()
    assert found.forget("shop") == ("remora_shop_x",)


def test_a_container_that_compose_did_not_start():
    found = FakeEngine(files={("c", "/etc/passwd"): b"root"})
    started = found.run(App("", "web", "1", "web"))
    assert (started.labels, found.read("c", "/etc/passwd"), found.memory(started.id)) == ({}, b"root", 8 << 20)
