"""The watcher on an engine in memory: whatever happens in whatever order, when the world is quiet all is as it should be."""

import io
import queue
import random
from contextlib import redirect_stderr
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from worlds import compose, read

from remora.core import weave
from remora.core.event import OPENED, parse
from remora.core.plan import plan
from remora.core.sidekick import Context
from remora.core.world import MARK, Container, World
from remora.daemon import MANY, Watch, portion
from remora.engines.compose import Compose
from remora.engines.fake import FakeEngine
from remora.errors import RemoraError
from remora.output import Output
from remora.session import Asked, Session
from remora.sidekicks import KINDS

WEB = compose(web={"scale": 2}, db={}, worker={"scale": 1})
OPS = [
    read(f"environments: {{prod: {{attach: [{attach}]}}}}\nsidekicks: {{{sidekicks}}}\n")
    for attach, sidekicks in (
        ("net", "net: {kind: container, image: busybox, for: '*', walls: {network: true}}"),
        ("net, proc", "net: {kind: container, image: busybox, for: web, walls: {network: true}}, "
         "proc: {kind: container, image: busybox, for: '*', walls: {processes: true}}"),
        ("logs", "logs: {kind: logs, for: '*', to: file:///srv/logs}"),
        ("", "net: {kind: container, image: busybox, for: '*'}"),
    )
]  # fmt: skip


class Clock:
    """A clock that goes forward when somebody waits."""

    now = 1000.0

    def __call__(self):
        return self.now


class Inline:
    """Workers that work at once."""

    def submit(self, work, *args):
        work(*args)

    def shutdown(self, **_):
        pass


class Slow(Inline):
    """Workers that work when they are let."""

    def __init__(self):
        self.todo = []

    def submit(self, work, *args):
        self.todo.append((work, args))

    def go(self):
        while self.todo:
            work, args = self.todo.pop(0)
            work(*args)


def watch(engine, ops, stack=WEB, **more):
    """A watcher that never sleeps."""
    session = Session(Asked(), engine, ops, "prod", Compose(), stack, {"logs": "remora/logs:1"})
    made = Watch(session, Output(quiet=True), 30, clock=Clock(), **more)
    made.workers = Inline()
    made.stamp = lambda: made.stamped
    return made


def hear(watcher, engine, order=None):
    """Hand over what the engine told, in an order of the test's own."""
    lines = [line for line in engine.events() if line != OPENED]
    for line in order(lines) if order else lines:
        watcher.news.put(line)


def settle(watcher, engine, seconds=120):
    """Let time pass until there is nothing to do at once; a resync is among it."""
    until = watcher.clock.now + seconds
    with redirect_stderr(io.StringIO()):
        while watcher.clock.now < until:
            hear(watcher, engine)
            while True:
                try:
                    watcher.take(watcher.news.get_nowait())
                except queue.Empty:
                    break
            watcher.clock.now = max(watcher.clock.now, min(watcher.due(), until))
            if watcher.due() <= watcher.clock.now:
                watcher.look()
            watcher.clock.now += 0.01


def right(engine, ops, stack=WEB):
    """Whether the sidekicks are just those that are wanted, each in its app's namespaces of now."""
    world = engine.observe("shop")
    context = Context("shop", "prod", ops.owner, world.engine, {"logs": "remora/logs:1"}, stack.volumes)
    specs = weave.weave(ops, weave.present(world, "shop"), context, KINDS).specs
    todo = plan(specs, world, "shop", ops.owner)
    placed = all(engine.in_place(each) for each in world.sidekicks("shop") if each.running)
    return not todo and placed


@pytest.mark.parametrize("what", ["stop", "start", "restart", "recreate", "crash", "remove"])
def test_what_happens_to_an_app_is_followed_without_a_resync(what):
    engine = FakeEngine()
    engine.up(WEB)
    watcher = watch(engine, OPS[1])
    settle(watcher, engine, 1)
    assert right(engine, OPS[1])
    getattr(engine, what)("shop-web-1")
    settle(watcher, engine, 2)
    assert right(engine, OPS[1]) and watcher.next_list > watcher.clock.now


def test_what_waited_for_another_action_on_the_sidekick_is_done_at_once():
    engine = FakeEngine()
    engine.up(WEB)
    watcher = watch(engine, OPS[0])
    settle(watcher, engine, 1)
    watcher.workers = Slow()
    engine.stop("shop-web-1")
    settle(watcher, engine, 1)
    engine.start("shop-web-1")
    settle(watcher, engine, 1)
    watcher.workers.go()  # the stop, only now
    while not watcher.news.empty():
        watcher.take(watcher.news.get_nowait())
    assert watcher.due() == watcher.clock.now
    watcher.look()
    watcher.workers.go()
    assert right(engine, OPS[0])


def test_an_engine_that_does_not_answer_is_no_empty_world():
    engine = FakeEngine()
    engine.up(WEB)
    watcher = watch(engine, OPS[0])
    settle(watcher, engine, 1)
    there = set(engine.containers)
    observe, inspect = engine.observe, engine.inspect

    def away(*_):
        raise RemoraError("the engine does not answer: nothing came in time")

    engine.observe = engine.inspect = away
    engine.restart("shop-web-1")
    settle(watcher, engine, 300)
    assert set(engine.containers) == there
    engine.observe, engine.inspect = observe, inspect
    settle(watcher, engine, 120)
    assert right(engine, OPS[0])


def test_one_sidekick_that_cannot_be_had_holds_up_no_other():
    ops = read("""
        environments: {prod: {attach: [bad, good]}}
        sidekicks:
          bad: {kind: container, image: busybox, for: db, walls: {files: /nowhere}}
          good: {kind: container, image: busybox, for: web, walls: {network: true}}
    """)
    engine = FakeEngine()
    engine.up(WEB)
    watcher = watch(engine, ops)
    settle(watcher, engine, 1)
    assert {c.labels["remora.sidekick"] for c in engine.observe("shop").sidekicks("shop")} == {"good"}
    assert watcher.faults[0].startswith("remora.yaml:3: sidekicks.bad.walls: `/nowhere` of shop-db-1 is in the container's own layer")


def test_what_fails_is_tried_again_later_and_holds_up_no_other():
    engine = FakeEngine(images={"busybox": (("x",), {})})
    engine.up(WEB)
    engine.fail()
    watcher = watch(engine, OPS[0])
    settle(watcher, engine, 0.1)
    assert len(engine.observe("shop").sidekicks("shop")) == 3
    settle(watcher, engine, 3)
    assert right(engine, OPS[0])


def test_a_sidekick_that_ends_at_once_for_ever_is_given_up_and_named():
    engine = FakeEngine()
    engine.up(WEB)
    watcher = watch(engine, OPS[0])
    settle(watcher, engine, 1)
    for number in range(1, 11):
        ended = replace(engine.named("shop-db-1.net"), restarts=number, state="restarting", exit_code=3)
        engine.containers[ended.id] = ended
        engine.tell("die", ended)
        settle(watcher, engine, 1)
    found = engine.named("shop-db-1.net")
    assert (found.state, found.restart) == ("exited", "no")
    settle(watcher, engine, 200)
    assert engine.named("shop-db-1.net").state == "exited"
    given_up = [str(action) for action in engine.done if type(action).__name__ == "GiveUp"]
    assert given_up == ["! give up shop-db-1.net: it ended with exit code 3, 10 times in a row"]


def test_a_clock_that_jumps_back_hides_no_restart():
    engine = FakeEngine()
    engine.up(WEB)
    watcher = watch(engine, OPS[0])
    settle(watcher, engine, 1)
    engine.ticks -= 5000
    engine.restart("shop-web-1")
    assert not engine.in_place(engine.named("shop-web-1.net"))
    settle(watcher, engine, 2)
    assert engine.in_place(engine.named("shop-web-1.net"))


def test_labels_that_a_stranger_copied_lead_to_nothing():
    engine = FakeEngine()
    engine.up(WEB)
    watcher = watch(engine, OPS[0])
    settle(watcher, engine, 1)
    ours = engine.named("shop-web-1.net")
    for name, labels in (
        ("copied", dict(ours.labels)),
        ("made-up", {"remora.stack": "shop", "remora.sidekick": "net", "remora.parent": "x", "remora.ops": "/other", MARK: "0" * 16}),
        ("unmarked", {"remora.stack": "shop", "remora.sidekick": "net", "remora.parent": engine.named("shop-db-1").id}),
    ):
        engine.begin(Container(engine.new_id(), name, image="busybox", labels=labels))
    before = dict(engine.containers)
    settle(watcher, engine, 100)
    assert engine.containers == before
    assert [fault.split("`")[1] for fault in watcher.faults] == ["copied", "made-up", "unmarked"]


def test_a_helper_of_a_sidekick_gets_nothing_where_there_is_much():
    """Where only what changed is looked at, what it is beside is not."""
    stack = compose(**{f"s{number}": {} for number in range(MANY)})
    engine = FakeEngine()
    engine.up(stack)
    watcher = watch(engine, OPS[0], stack)
    settle(watcher, engine, 1)
    labels = {"com.docker.compose.project": "shop", "com.docker.compose.service": "s7"}
    engine.begin(Container(engine.new_id(), "helper", image="busybox", labels=labels, joins=(engine.named("shop-s7-1.net").id,)))
    before = list(engine.done)
    settle(watcher, engine, 2)
    assert engine.done == before
    engine.begin(Container(engine.new_id(), "honest", image="busybox", labels=labels))
    settle(watcher, engine, 2)
    assert engine.named("honest.net")


def test_what_changed_comes_first_where_there_is_much():
    stack = compose(**{f"s{number}": {} for number in range(MANY)})
    engine = FakeEngine()
    engine.up(stack)
    watcher = watch(engine, OPS[0], stack)
    settle(watcher, engine, 1)
    assert right(engine, OPS[0], stack)
    engine.restart("shop-s7-1")
    engine.recreate("shop-s8-1")
    hear(watcher, engine)
    while not watcher.news.empty():
        watcher.take(watcher.news.get_nowait())
    looked = watcher.look()
    assert {getattr(action, "name", "") or action.spec.name for action in looked} == {"shop-s7-1.net", "shop-s8-1.net"}
    settle(watcher, engine, 2)
    assert right(engine, OPS[0], stack)


def test_a_portion_has_who_changed_and_all_beside_them():
    engine = FakeEngine()
    engine.up(WEB)
    watcher = watch(engine, OPS[1])
    settle(watcher, engine, 1)
    world = engine.observe("shop")
    names = {each.name for each in portion(world, {engine.named("shop-web-1.net").id}).containers}
    assert names == {"shop-web-1", "shop-web-1.net", "shop-web-1.proc"}


class Anything(RuleBasedStateMachine):
    """Any interleaving of app lives, ops files, lost, doubled, late and reordered events, failing calls and killed watchers."""

    def __init__(self):
        super().__init__()
        self.engine = FakeEngine()
        self.engine.up(WEB)
        self.ops = OPS[0]
        self.watcher = watch(self.engine, self.ops)
        self.settled = False
        self.touched = None

    def apps(self):
        return sorted(c.name for c in self.engine.containers.values() if not c.is_sidekick)

    @rule(number=st.integers(0, 99), what=st.sampled_from(["stop", "start", "restart", "recreate", "remove", "crash"]))
    def an_app_lives(self, number, what):
        if names := self.apps():
            getattr(self.engine, what)(names[number % len(names)])
        self.settled = False

    @rule(number=st.integers(0, 99))
    def a_sidekick_dies(self, number):
        if names := sorted(c.name for c in self.engine.containers.values() if c.is_sidekick):
            self.engine.crash(names[number % len(names)])
        self.settled = False

    @rule(service=st.sampled_from(["web", "db", "worker"]), count=st.integers(0, 3))
    def it_is_scaled(self, service, count):
        self.engine.scale(WEB, service, count)
        self.settled = False

    @rule(number=st.integers(0, len(OPS) - 1))
    def the_ops_file_changes(self, number):
        self.ops = OPS[number]
        self.watcher.session.ops = self.ops
        self.watcher.next_list = self.watcher.clock.now
        self.settled = False

    @rule()
    def events_are_lost(self):
        self.engine.news.clear()

    @rule(data=st.data())
    def events_are_reordered_and_doubled(self, data):
        hear(self.watcher, self.engine, lambda lines: data.draw(st.permutations(lines + lines[::2])))

    @rule(after=st.integers(0, 3))
    def calls_fail(self, after):
        self.engine.fail(after=after)
        self.settled = False

    @rule()
    def the_watcher_is_killed(self):
        self.watcher = watch(self.engine, self.ops)

    @rule()
    def a_moment_passes(self):
        settle(self.watcher, self.engine, 0.3)

    @precondition(lambda self: not self.settled)
    @rule()
    def the_world_is_quiet(self):
        self.engine.faults.clear()
        apps = {c.id: c for c in self.engine.containers.values() if not c.is_sidekick}
        settle(self.watcher, self.engine, 150)
        assert right(self.engine, self.ops)
        assert {c.id: c for c in self.engine.containers.values() if not c.is_sidekick} == apps
        self.settled = True

    @invariant()
    def nothing_that_is_not_ours_was_ever_touched(self):
        names = {getattr(action, "name", "") or getattr(getattr(action, "spec", None), "name", "") for action in self.engine.done}
        assert not names & {f"shop-{service}-{n}" for service in WEB.services for n in range(4)}


Anything.TestCase.settings = settings(stateful_step_count=30, deadline=None)
TestAnything = Anything.TestCase


@pytest.mark.parametrize("seed", range(20))
def test_a_world_that_is_carried_along_knows_what_a_new_one_would(seed):
    chance = random.Random(seed)
    engine = FakeEngine()
    engine.up(WEB)
    watcher = watch(engine, OPS[1])
    settle(watcher, engine, 1)
    carried = engine.observe("shop")
    for _ in range(20):
        apps = [each.name for each in carried.containers if not each.is_sidekick]
        getattr(engine, chance.choice(["restart", "recreate", "crash"]))(chance.choice(apps))
        settle(watcher, engine, chance.choice([0, 1]))
        ids = {each.container for each in map(parse, engine.events()) if each} | carried.by_id.keys()
        carried = carried.renewed(ids, list(engine.inspect(ids | engine.containers.keys()).values()))
        fresh = World(carried.engine, carried.containers)
        assert (carried.by_id, carried.beside) == (fresh.by_id, fresh.beside)
