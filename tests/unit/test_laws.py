"""What holds for every stack, every ops file and everything that may happen."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from worlds import OWNER, coming, compose, planned, read, settle, wanted, woven

from remora.core.overlay import overlay
from remora.core.plan import plan
from remora.core.sidekick import App
from remora.core.weave import present
from remora.core.world import SERVICE, STACK
from remora.engines.fake import FakeEngine

NAMES = st.sampled_from(["web", "api", "db", "remora-x0-web", "queue"])
DATA = {"type": "volume", "source": "data", "target": "/data"}


@st.composite
def stacks(draw):
    """A stack of a few services with replicas, labels, volumes and logging drivers."""
    entry = st.fixed_dictionaries(
        {
            "image": st.sampled_from(["nginx:1", "redis:7"]),
            "scale": st.integers(0, 3),
            "labels": st.sampled_from([{}, {"tier": "front"}]),
            "volumes": st.just([DATA]),
            "logging": st.sampled_from([{"driver": "json-file"}, {"driver": "local"}, {"driver": "none"}]),
        }
    )
    return compose(volumes={"data": {"name": "shop_data"}}, **draw(st.dictionaries(NAMES, entry, min_size=1)))


WALLS = st.sampled_from(["{}", "{network: true}", "{processes: true}", "{ipc: true, network: true}", "{files: /data}"])
FOR = st.sampled_from(['"*"', "{image: nginx}", "{label: tier}", '{service: "*", except: {image: redis}}', '{service: "?e*"}'])
LOGS = st.sampled_from(["to: file:///srv/logs", "from: /data, to: [file:///srv/logs, 'relp://logs']"])


@st.composite
def files(draw):
    """An ops file with a few sidekicks, all attached."""
    containers = [f"{{kind: container, image: busybox, for: {draw(FOR)}, walls: {draw(WALLS)}}}" for _ in range(draw(st.integers(0, 2)))]
    shippers = [f"{{kind: logs, for: {draw(FOR)}, {draw(LOGS)}}}" for _ in range(draw(st.integers(0, 2)))]
    entries = {f"x{number}": text for number, text in enumerate(draw(st.permutations(containers + shippers)))}
    lines = [f"  {name}: {text}\n" for name, text in entries.items()]
    return read(f"environments: {{prod: {{attach: [{', '.join(entries)}]}}}}\n" + ("sidekicks:\n" + "".join(lines) if lines else ""))


HAPPENINGS = st.lists(st.tuples(st.sampled_from(["stop", "start", "restart", "recreate", "crash", "remove", "scale"]), st.integers(0, 99)))


def happen(engine, stack, happenings):
    """Let things happen to app containers, as developers, Compose and fate have it; sidekicks crash, too."""
    for what, number in happenings:
        names = sorted(c.name for c in engine.containers.values() if what == "crash" or not c.is_sidekick)
        if what == "scale":
            engine.scale(stack, sorted(stack.services)[number % len(stack.services)], number % 4)
        elif names:
            getattr(engine, what)(names[number % len(names)])


def running(stack):
    engine = FakeEngine()
    engine.up(stack)
    return engine


def own(container):
    return container.labels.get("remora.stack") == "shop" and STACK not in container.labels


def settled(engine, found, stack):
    """Perform until there is nothing to do; one round is to be enough."""
    assert settle(engine, found, stack) == []
    assert planned(engine, found, stack) == ()


@given(files(), stacks())
def test_weaving_is_deterministic(found, stack):
    assert woven(found, coming(stack)) == woven(found, coming(stack))


@given(files(), stacks(), st.randoms())
def test_the_order_of_containers_does_not_matter(found, stack, random):
    apps = list(coming(stack))
    shuffled = random.sample(apps, len(apps))
    assert woven(found, shuffled).specs == woven(found, apps).specs


@given(files(), stacks(), st.randoms())
def test_the_order_of_sidekicks_in_the_file_does_not_matter(found, stack, random):
    names = random.sample(list(found.sidekicks), len(found.sidekicks))
    prod = replace_attach(found, tuple(names))
    assert set(woven(prod, coming(stack)).specs) == set(woven(found, coming(stack)).specs)


def replace_attach(found, names):
    return replace(found, environments={"prod": found.environments["prod"].model_copy(update={"attach": names})})


@given(files(), stacks())
def test_doing_the_plan_leaves_nothing_to_plan(found, stack):
    settled(running(stack), found, stack)


@given(files(), stacks())
def test_doing_the_plan_twice_does_no_harm(found, stack):
    engine = running(stack)
    actions = planned(engine, found, stack)
    for action in (*actions, *actions):
        engine.perform(action, lambda _: None)
    assert planned(engine, found, stack) == ()


@given(files(), stacks(), HAPPENINGS)
def test_whatever_happens_one_plan_mends_it(found, stack, happenings):
    engine = running(stack)
    settled(engine, found, stack)
    happen(engine, stack, happenings)
    settled(engine, found, stack)


@given(files(), stacks(), HAPPENINGS)
def test_every_running_app_has_exactly_its_sidekicks_and_none_is_stale(found, stack, happenings):
    engine = running(stack)
    settled(engine, found, stack)
    happen(engine, stack, happenings)
    settled(engine, found, stack)
    specs, world = wanted(engine, found, stack)
    there = {c.name: c for c in world.sidekicks("shop")}
    halted = {c.id for c in world.apps if not c.running}
    assert {s.name for s in specs if not (s.walls and s.parent in halted)} <= there.keys() <= {s.name for s in specs}
    assert all(engine.in_place(there[s.name]) for s in specs if s.name in there and there[s.name].running)
    assert all(there[s.name].running for s in specs if s.name in there and s.parent not in halted)


@given(files(), stacks(), HAPPENINGS)
def test_no_action_touches_an_app_container_and_only_own_ones_are_removed(found, stack, happenings):
    engine = running(stack)
    settled(engine, found, stack)
    happen(engine, stack, happenings)
    ours = {c.id for c in engine.containers.values() if own(c)}
    apps = {c.id: c for c in engine.containers.values() if not own(c)}
    actions = planned(engine, found, stack)
    assert {action.container for action in actions if hasattr(action, "container")} <= ours
    settled(engine, found, stack)
    assert {c.id: c for c in engine.containers.values() if not own(c)} == apps


@given(files(), stacks())
def test_a_sidekick_is_never_taken_for_an_app(found, stack):
    engine = running(stack)
    settled(engine, found, stack)
    names = {app.name for app in present(engine.observe("shop"), "shop")}
    assert names == {app.name for app in coming(stack)}


@given(files(), stacks(), st.integers(0, 12))
def test_what_was_interrupted_is_finished_by_the_next_plan(found, stack, after):
    engine = running(stack)
    engine.fail(after=after)
    settle(engine, found, stack)
    engine.faults.clear()
    settled(engine, found, stack)


@given(files(), files(), stacks())
def test_a_changed_ops_file_leaves_nothing_of_the_old_one(old, new, stack):
    engine = running(stack)
    settled(engine, old, stack)
    settled(engine, new, stack)
    assert {c.name for c in engine.containers.values() if own(c)} == {spec.name for spec in wanted(engine, new, stack)[0]}


@given(files(), stacks())
def test_an_overlay_only_adds(found, stack):
    apps = coming(stack)
    content = overlay(stack, woven(found, apps, volumes=stack.volumes).specs, {app.name: app.service for app in apps}).content
    assert content["services"].keys().isdisjoint(stack.services)
    assert content.get("volumes", {}).keys().isdisjoint(stack.volumes)
    assert content.keys() <= {"services", "volumes", "networks", "secrets"}


@given(files(), stacks())
def test_every_sidekick_is_capped(found, stack):
    for spec in woven(found, coming(stack)).specs:
        assert spec.caps.memory and spec.caps.cpus and spec.caps.pids and spec.read_only


@given(files(), stacks(), st.randoms())
def test_the_order_of_the_world_does_not_matter(found, stack, random):
    engine = running(stack)
    settle(engine, found, stack)
    happen(engine, stack, [("restart", 0), ("recreate", 1), ("stop", 2)])
    specs, world = wanted(engine, found, stack)
    mixed = replace(world, containers=tuple(random.sample(world.containers, len(world.containers))))
    assert plan(specs, mixed, "shop", OWNER) == plan(specs, world, "shop", OWNER)


def test_a_stack_of_a_thousand_services_is_planned_at_once():
    stack = compose(**{f"s{number}": {} for number in range(1000)})
    found = read("environments: {prod: {attach: [x]}}\nsidekicks: {x: {kind: container, image: busybox, for: '*', walls: {network: true}}}")
    engine = running(stack)
    settled(engine, found, stack)
    assert len(engine.containers) == 2000


def test_a_container_that_compose_did_not_start_is_its_own_service():
    engine = FakeEngine()
    engine.run(App("", "web", "1", "web", image="nginx"))
    app = present(engine.observe("*"), "*")[0]
    assert (app.service, SERVICE in app.labels) == ("web", False)
