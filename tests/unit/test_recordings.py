"""What real engines told and showed, replayed: which news are told of each life, and what is done, step by step.

`tests/recordings/README.md` says how they are recorded. The app containers are the recording's; the sidekicks are those of the engine in
memory, beside them.
"""

import json
import random
import re
import socket
from dataclasses import dataclass
from pathlib import Path

import pytest
from test_daemon import right, settle, watch
from worlds import compose, read

from remora.core.event import OPENED, parse
from remora.core.plan import Attach, Detach, Start, Stop
from remora.engines import inspection
from remora.engines.docker import WORTH
from remora.engines.fake import FakeEngine
from remora.engines.podman import Podman
from remora.witness import Outlet, Witness

RECORDED = Path(__file__).parents[1] / "recordings"
ENGINES = {  # the newest of each
    place.name.partition("-")[0]: place for place in sorted(RECORDED.glob("*-*"), key=lambda each: int(each.name.partition("-")[2]))
}
STACK = compose(web={}, once={})
OPS = read("""
    environments: {prod: {attach: [net, plain]}}
    sidekicks:
      net: {kind: container, image: busybox, for: "*", walls: {network: true}}
      plain: {kind: container, image: busybox, for: "*"}
""")
VERBS = {Attach: "attach", Detach: "detach", Start: "start", Stop: "stop"}
OF_ACTIONS = {"attach": "sidekick.attached", "detach": "sidekick.detached", "start": "sidekick.restarted"}
STEP = 100  # seconds between the steps of a recording

# For each life and step: the news of app containers and of the engine, `:`, and what is done.
# `1.net` is the sidekick `net` beside shop-web-1.
UP = {"up": "app.started: attach 1.net, attach 1.plain"}
BOTH_UP = {"up": "app.started, app.started once-1: attach 1.net, attach 1.plain, attach once-1.net, attach once-1.plain"}
BOTH = {
    "start": {"made": "", "started": UP["up"]},
    "stop": UP | {"stopped": "app.stopped: stop 1.net", "started again": "app.restarted: start 1.net"},
    "crash": UP | {"crashed": "app.died: stop 1.net", "started again": "app.restarted: start 1.net"},
    "crash-and-come-back": UP | {"crashed, and came back": "app.died, app.restarted: start 1.net"},
    "restart": UP | {"restarted": "app.stopped, app.restarted: start 1.net"},
    "kill": UP | {"killed": "app.stopped: stop 1.net"},
    "recreate": UP | {"recreated": "app.stopped, app.recreated, app.started: detach 1.net, detach 1.plain, attach 1.net, attach 1.plain"},
    "rename": UP
    | {
        "renamed": "app.renamed front: detach 1.net, detach 1.plain, attach front.net, attach front.plain",
        "restarted": "app.stopped front, app.restarted front: start front.net",
    },
    "pause": UP | {"paused": "app.paused", "unpaused": "app.unpaused"},
    "network": UP | {"connected": "app.network", "disconnected": "app.network"},
    "scale": UP
    | {
        "scaled up": "app.started 2, app.started 3: attach 2.net, attach 2.plain, attach 3.net, attach 3.plain",
        "scaled down": "app.stopped 2, app.gone 2, app.stopped 3, app.gone 3: detach 2.net, detach 2.plain, detach 3.net, detach 3.plain",
    },
    "down-and-up": UP | {"down": "app.stopped, app.gone: detach 1.net, detach 1.plain", "up again": UP["up"]},
    "removed": UP | {"removed": "app.stopped, app.gone: detach 1.net, detach 1.plain"},
}
DOCKER = {
    "back-off": UP | {"the engine waits…": "app.died, app.restarted, app.died", "came back": "app.restarted: start 1.net"},
    "exits-for-ever": {
        "up…": UP["up"],
        "exited again and again…": "app.died, app.restarted, app.died",
        "stopped": "stop 1.net",  # while it waits there is no life to end: the engine tells of a `stop`, and of no `die`
    },
    "oom": UP | {"out of memory": "app.oom: stop 1.net"},
    "oom-of-a-child": UP | {"a child out of memory": "app.oom_child"},
    "health": {
        "healthy": "app.started, app.healthy: attach 1.net, attach 1.plain",
        "unhealthy": "app.unhealthy",
        "healthy again": "app.healthy",
    },
    # What happens while no engine runs, nobody tells: the list that follows shows it.
    "engine-restart": BOTH_UP
    | {"the engine is back": "engine.lost, engine.back, app.stopped, app.restarted, app.stopped once-1: stop once-1.net, start 1.net"},
    "engine-restart-live": BOTH_UP | {"the engine is back": "engine.lost, engine.back"},
    "host-reboot": BOTH_UP
    | {"the host is back": "engine.lost, engine.back, app.stopped, app.restarted, app.died once-1: stop once-1.net, start 1.net"},
}
PODMAN = {
    "back-off": UP | {"came back": "app.died, app.restarted: start 1.net"},  # it waits for nothing
    "exits-for-ever": {
        "up…": UP["up"],
        "exited again and again…": "app.died, app.restarted, app.died",
        "stopped": "app.restarted, app.stopped: stop 1.net",  # in its next life
    },
    "oom": UP | {"out of memory": "app.died: stop 1.net"},  # it knows of no lack of memory
    "oom-of-a-child": UP | {"a child out of memory": ""},
    "health": DOCKER["health"],
}
TABLES = {"docker": {**BOTH, **DOCKER}, "podman": {**BOTH, **PODMAN}}


class Recorded:
    """One recording, in Docker's words: the lines that the watcher would get, and the containers."""

    def __init__(self, file):
        self.podman = file.parent.name.startswith("podman")
        self.steps = json.loads(file.read_text())["steps"]
        self.door = Podman.__new__(Podman)  # nobody has connected it
        self.door.health, self.door.given_up = {}, set()

    def lines(self, step):
        """What the watcher hears: OPENED where the stream was opened anew."""
        worth = Podman.worth if self.podman else WORTH
        wanted = [each for each in step["events"] if each is None or each["Action"].partition(":")[0] in worth]
        found = [OPENED if each is None else json.dumps(each) for each in wanted]
        return [line for line in (self.door.retold(line) if self.podman and line else line for line in found) if line or not self.podman]

    def containers(self, step):
        return [inspection.container(self.door.translated(raw) if self.podman else raw, lean=True) for raw in step["containers"]]


class Replaying(FakeEngine):
    """The engine in memory, where the app containers do as recorded."""

    def __post_init__(self):
        super().__post_init__()
        self.shown = {}  # the app containers of the recording so far, as they were last, by id

    def show(self, number, containers, gone):
        self.ticks = max(self.ticks, (number * STEP) + STEP // 2)  # its clock goes along with the recording's
        for id in gone:
            self.ids.pop(self.containers.pop(id).name, None)
        for each in containers:
            before = self.containers.get(each.id)
            if before:
                self.ids.pop(before.name, None)
            self.containers[each.id] = self.shown[each.id] = each
            self.ids[each.name] = each.id


class Heard(Outlet):
    """Keeps what it is told."""

    def __init__(self):
        self.news = []

    def tell(self, news):
        self.news.append(news)


class Prompt(Witness):
    """A witness that tells at once."""

    def put(self, step):
        self.publish(step)


@dataclass
class Replay:
    """A watcher at a recording."""

    recorded: Recorded
    resync: float = 1e6

    def __post_init__(self):
        self.engine = Replaying(images={"busybox": (("x",), {})})
        self.heard = Heard()
        self.witness = Prompt("shop", "prod", [self.heard])
        self.watcher = watch(self.engine, OPS, STACK, witness=self.witness)
        self.watcher.resync = self.resync
        settle(self.watcher, self.engine, 1)

    def step(self, number, lines):
        """What is told and done in one step, in which these lines come."""
        step = self.recorded.steps[number]
        done = len(self.engine.done)
        self.heard.news.clear()
        self.engine.show(number, self.recorded.containers(step), step["gone"])
        if OPENED in lines:
            self.witness.lost("the stream ended")
            self.watcher.news.put(OPENED)
        self.engine.news += [line for line in lines if line]
        settle(self.watcher, self.engine, 5)
        return self.words(self.engine.done[done:])

    def words(self, actions):
        """As the tables have it. What remora itself did to sidekicks is news, too, one for one."""
        done = [f"{VERBS[type(each)]} {short(getattr(each, 'name', '') or each.spec.name)}" for each in actions]
        told = [f"{each.name}{about(each)}" for each in self.heard.news if each.name != "plan.done"]
        for each in done:
            if each.split()[0] in OF_ACTIONS:
                told.remove(OF_ACTIONS[each.split()[0]])
        told.sort(key=lambda each: each.split()[1:])  # by container, which have no order among them
        return f"{', '.join(told)}: {', '.join(done)}".strip(": ") if told or done else ""

    def law(self):
        """The sidekicks are those that are wanted, each in its app's life of now, and nothing was done to an app container."""
        apps = {each.id for each in self.engine.containers.values() if not each.is_sidekick}
        assert right(self.engine, OPS, STACK)
        assert not {getattr(each, "container", "") for each in self.engine.done} & self.engine.shown.keys()
        assert all(self.engine.containers[each] is self.engine.shown[each] for each in apps)
        beside = {(each.labels["remora.parent"], each.labels["remora.sidekick"]) for each in self.engine.observe("shop").sidekicks("shop")}
        assert {parent for parent, _ in beside} == {each for each in apps if self.engine.containers[each].state != "created"}


def short(name):
    return name.removeprefix("shop-").removeprefix("web-")


def about(news):
    """Which container, where it is not the first of `web`."""
    return "" if news.container in ("", "shop-web-1") or news.sidekick else f" {short(news.container)}"


def recordings():
    return [pytest.param(file, id=f"{engine} {file.stem}") for engine, place in ENGINES.items() for file in sorted(place.glob("*.json"))]


def replayed(file, change=lambda lines: lines):
    """The words of each step, with the law held against each that lasts."""
    replay, found = Replay(Recorded(file)), {}
    for number, step in enumerate(replay.recorded.steps):
        found[step["step"]] = replay.step(number, change(replay.recorded.lines(step)))
        if not step["step"].endswith("…"):
            replay.law()
    replay.witness.close()
    return found


@pytest.mark.parametrize("file", recordings())
def test_a_life_is_told_and_followed_by_its_events_alone(file):
    assert replayed(file) == TABLES[file.parent.name.partition("-")[0]][file.stem]


@pytest.mark.parametrize("file", recordings())
def test_events_that_come_twice_change_nothing(file):
    assert replayed(file, lambda lines: [each for line in lines for each in (line, line)]) == replayed(file)


@pytest.mark.parametrize("file", recordings())
@pytest.mark.parametrize("seed", range(2))
def test_events_in_another_order_are_followed_all_the_same(file, seed):
    replayed(file, lambda lines: random.Random(seed).sample(lines, len(lines)))


def lost(steps):
    return [[] for _ in steps]


def late(steps):
    return [[], *steps[:-1]]


def anywhere(steps):
    """Any event in any step, some of them twice, some of them never."""
    chance = random.Random(len(steps))
    lines = [line for step in steps for line in step]
    return [chance.choices(lines, k=len(lines) // 2) if lines else [] for _ in steps]


@pytest.mark.parametrize("file", recordings())
@pytest.mark.parametrize("happens", [lost, late, anywhere])
def test_whatever_became_of_the_events_a_resync_heals_it(file, happens):
    replay = Replay(Recorded(file))
    lines = happens([replay.recorded.lines(step) for step in replay.recorded.steps])
    for number, each in enumerate(lines):
        replay.step(number, each)
    replay.watcher.next_list = replay.watcher.clock.now
    settle(replay.watcher, replay.engine, 5)
    replay.law()
    replay.witness.close()


@pytest.mark.parametrize("engine", TABLES)
def test_every_life_is_recorded(engine):
    """What `tests/recordings/lives.py` has, as far as the engine can."""
    assert {file.stem for file in ENGINES[engine].glob("*.json")} == TABLES[engine].keys()


def test_a_recording_names_nothing_of_the_machine():
    for param in recordings():
        text = param.values[0].read_text()
        assert not re.search(rf"remora-test|working_dir|config_files|[0-9a-f]{{64}}|{re.escape(socket.gethostname())}", text), param.id


def test_podman_tells_of_every_probe_and_not_what_it_found():
    """So each is looked at; the table has the news of those that found something new."""
    recorded = Recorded(ENGINES["podman"] / "health.json")
    heard = [parse(line).action for step in recorded.steps for line in recorded.lines(step)]
    assert heard.count("health_status") == 2 * len(recorded.steps)
