"""Everything that an engine can do to containers, and to itself, in no order: in the end there is exactly what is wanted, and nothing else.

An hour's worth of bad luck on an engine of its own: apps that restart, crash, are made anew, scaled, paused and renamed, networks that come
and go, the engine ended politely and by force, with containers that live through it and without, the ops file rewritten, and two
watchers, each killed in turn. `REMORA_SEED` plays the same again.
"""

from __future__ import annotations

import gc
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import docker
import pytest
from chaoskit import RESYNC, Ears, Watchers
from countkit import Counted, Tap
from docker.errors import APIError
from logkit import image
from stackkit import BESIDE, IDLE, NAMESPACES, Stack, label, name, until

pytestmark = [
    pytest.mark.engine,
    pytest.mark.soak,
    # docker-py leaves the connections that an engine ended to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]

SOAK = bool(os.environ.get("REMORA_SOAK"))
SEED = int(os.environ.get("REMORA_SEED") or random.randrange(10**6))
SECONDS = 600 if SOAK else 60
LEFT = 60.0  # seconds after which remora takes for left behind what a watcher was making when it was killed
SLACK = 3.0  # seconds that an app container may take to feel what was done to it

DEVELOPERS = f"""
    services:
      web: {{{IDLE}, restart: always, scale: 3, depends_on: [db], networks: [default, back]}}
      db: {{{IDLE}, restart: unless-stopped, volumes: ["data:/data"]}}
      cache: {{{IDLE}, restart: on-failure}}
      batch: {{{IDLE}}}
    volumes: {{data: }}
    networks: {{back: }}
"""
# Each sidekick: the services that it is for, the walls that it shares, its settings.
SIDEKICKS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "net": ("web db cache batch", ("network",), "for: '*', walls: {network: true}"),
    "proc": ("web", ("processes",), "for: web, walls: {processes: true}"),
    "both": ("web cache", ("network", "processes"), "for: [web, cache], walls: {network: true, processes: true}"),
    "files": ("db", (), "for: db, walls: {files: /data}"),
    "keyed": ("web batch", (), "for: [web, batch], secrets: {token: 'file:token'}"),
    "lock": ("db cache", ("network",), "for: [db, cache], walls: {network: true}, secrets: {token: 'env:TOKEN'}"),
}


class Chaos:
    """What is done to the stack, and when."""

    def __init__(self, stack: Stack, engine: Counted, watchers: Watchers) -> None:
        self.stack, self.engine, self.watchers = stack, engine, watchers
        self.chance = random.Random(SEED)
        self.done: list[tuple[float, float, str, str]] = []  # from, until, what, the container's id or "" for any
        self.apps: dict[str, str] = {}  # id → name, of each app container that there ever was
        self.turn = 0

    def run(self, seconds: float) -> None:
        end, deck = time.monotonic() + seconds, list[Callable[[], str]]()
        while time.monotonic() < end:
            if not deck:
                deck = [what for what, often in self.ways().items() for _ in range(often)]
                self.chance.shuffle(deck)
            self.do(deck.pop())
            self.watchers.tend()
            time.sleep(self.chance.choice((0, 0.1, 0.4, 1.5)))

    def ways(self) -> dict[Callable[[], str], int]:
        return {
            **dict.fromkeys((self.restart, self.crash, self.kill, self.remove, self.watcher), 4),
            **dict.fromkeys((self.stop, self.start, self.pause, self.unpause, self.rename, self.connect, self.disconnect), 3),
            **dict.fromkeys((self.recreate, self.scale, self.up, self.sidekick_killed, self.sidekick_removed, self.ops_file), 3),
            **dict.fromkeys((self.engine_soft, self.engine_hard, self.engine_lived_through), 1),
        }

    def do(self, what: Callable[[], str]) -> None:
        """One of the ways; what the engine refuses did not happen."""
        self.seen()
        began, about = time.time(), ""
        try:
            about = what()
        except (APIError, OSError, subprocess.SubprocessError) as error:
            about = f"refused: {str(error)[:100]}"
        self.seen()
        self.done.append((began, time.time() + SLACK, what.__name__, about))

    def seen(self) -> list[dict[str, Any]]:
        """The app containers of now, in order of names."""
        with suppress(Exception):
            found = sorted(self.stack.apps(), key=name)
            self.apps |= {each["Id"]: name(each) for each in found}
            return found
        return []

    def pick(self, found: list[dict[str, Any]]) -> str:
        """One container's id, and a draw even where there is none, so that a seed draws the same again."""
        draw = self.chance.random()
        return str(found[int(draw * len(found))]["Id"]) if found else "none"

    def app(self, *states: str) -> str:
        return self.pick([each for each in self.seen() if not states or each["State"]["Status"] in states])

    # ---- to app containers ----

    def restart(self) -> str:
        self.stack.api.restart(app := self.app(), timeout=2)
        return app

    def crash(self) -> str:
        """Its first process is killed behind the engine's back."""
        app = self.app("running")
        self.engine.signal(self.stack.api.inspect_container(app)["State"]["Pid"], signal.SIGKILL)
        return app

    def kill(self) -> str:
        self.stack.api.kill(app := self.app("running"))
        return app

    def stop(self) -> str:
        self.stack.api.stop(app := self.app("running"), timeout=2)
        return app

    def start(self) -> str:
        self.stack.api.start(app := self.app("exited", "created"))
        return app

    def pause(self) -> str:
        self.stack.api.pause(app := self.app("running"))
        return app

    def unpause(self) -> str:
        self.stack.api.unpause(app := self.app("paused"))
        return app

    def remove(self) -> str:
        self.stack.api.remove_container(app := self.app(), force=True, v=True)
        return app

    def rename(self) -> str:
        app, self.turn = self.app(), self.turn + 1
        self.stack.api.rename(app, f"{self.stack.name}-renamed-{self.turn}")
        return app

    def connect(self) -> str:
        self.stack.api.connect_container_to_network(app := self.app(), f"{self.stack.name}-extra")
        return app

    def disconnect(self) -> str:
        app = self.app()
        networks = sorted(self.stack.api.inspect_container(app)["NetworkSettings"]["Networks"])
        self.stack.api.disconnect_container_from_network(app, next(iter(networks), "none at all"), force=True)
        return app

    # ---- by Compose ----

    def compose(self, *words: str) -> str:
        for each in self.seen():
            if each["State"]["Status"] == "paused":
                with suppress(APIError):
                    self.stack.api.unpause(each["Id"])
        done = subprocess.run(["docker", "compose", *words], cwd=self.stack.folder, env=self.stack.env, capture_output=True, text=True)
        assert not done.returncode or "Error" in done.stderr, done.stderr
        return ""

    def up(self) -> str:
        return self.compose("up", "-d", "--timeout", "2")

    def recreate(self) -> str:
        return self.compose(
            "up", "-d", "--timeout", "2", "--force-recreate", "--no-deps", self.chance.choice(("web", "db", "cache", "batch"))
        )

    def scale(self) -> str:
        return self.compose("up", "-d", "--timeout", "2", "--no-recreate", "--scale", f"web={self.chance.randint(1, 5)}")

    # ---- to sidekicks, watchers, the ops file, the engine ----

    def sidekick(self) -> str:
        return self.pick(self.stack.sidekicks())

    def sidekick_killed(self) -> str:
        self.stack.api.kill(self.sidekick())
        return "-"

    def sidekick_removed(self) -> str:
        self.stack.api.remove_container(self.sidekick(), force=True, v=True)
        return "-"

    def watcher(self) -> str:
        self.watchers.kill(self.chance.randrange(2))
        return "-"

    def ops_file(self) -> str:
        """Other sidekicks, and others of the same name; now and then one that nobody can read."""
        names = [each for each in (*SIDEKICKS, "logs") if self.chance.random() < 0.7]
        write_ops(self.stack, names or ["net"], str(self.chance.randrange(3)), wrong=self.chance.random() < 0.2)
        return "-"

    def engine_soft(self) -> str:
        self.engine.again(hard=False, live_restore=False)
        return ""

    def engine_hard(self) -> str:
        self.engine.again(hard=True, live_restore=False)
        return ""

    def engine_lived_through(self) -> str:
        """The containers go on while it is away, however it ends; it has to know of that when it starts."""
        self.engine.again(hard=False, live_restore=True)
        self.engine.again(hard=self.chance.random() < 0.5, live_restore=self.chance.random() < 0.5)
        return ""

    # ---- what has to be true ----

    def quiet(self) -> None:
        """All is up but for one that stays ended, and the ops file is the first one again."""
        self.do(self.up)
        for each in self.seen():
            if each["State"]["Status"] == "paused":
                self.stack.api.unpause(each["Id"])
        batch = next(each for each in self.seen() if service(each) == "batch")
        self.stack.api.stop(batch["Id"], timeout=2)
        write_ops(self.stack, [*SIDEKICKS, "logs"])

    def touched(self, calls: list[str]) -> list[str]:
        """What the watchers asked of the engine that names an app container."""
        known = {*self.apps, *self.apps.values()}
        return [call for call in calls if known & set(call.partition("?")[0].split("/"))]

    def unasked(self, ears: Ears) -> list[tuple[float, str, str, str]]:
        """What happened to app containers without our doing."""
        ours = [(began, until, about) for began, until, _, about in self.done if about != "-"]
        return [
            (at, what, id, called)
            for at, what, id, called in ears.heard.values()
            if what not in ("start", "create", "attach") and not any(a <= at <= b and about in ("", id) for a, b, about in ours)
        ]

    def story(self) -> str:
        rows = [f"{began - self.done[0][0]:7.1f} s  {what} {about[:12]} {self.apps.get(about, '')}" for began, _, what, about in self.done]
        return "\n".join([f"REMORA_SEED={SEED}", *rows])


def service(container: dict[str, Any]) -> str:
    return str(container["Config"]["Labels"]["com.docker.compose.service"])


def write_ops(stack: Stack, attach: list[str], turn: str = "0", wrong: bool = False) -> None:
    """The ops file, replaced as a whole."""
    lines = [f"  {name}: {{{BESIDE}, {settings}, env: {{TURN: '{turn}'}}}}" for name, (_, _, settings) in SIDEKICKS.items()]
    lines.append(f"  logs: {{kind: logs, for: '*', to: 'file://{stack.folder}/logs'}}")
    text = "\n".join([f"environments: {{dev: {{}}, prod: {{attach: [{', '.join(attach)}]}}}}", "sidekicks:", *lines])
    text = text.replace("kind: container", "kind: contraption") if wrong else text
    (stack.folder / "next.yaml").write_text(text)
    (stack.folder / "next.yaml").replace(stack.folder / "remora.yaml")


def disagreement(stack: Stack, engine: Counted, whole: set[str]) -> str:
    """What is not as the two files ask for; "" where all is. `whole` names the sidekicks of the whole stack."""
    found = stack.containers()
    apps = {each["Id"]: each for each in found if not label(each, "sidekick")}
    beside = {name(each): each for each in found if label(each, "sidekick")}
    wanted = {
        f"{name(app)}.{sidekick}": (app, walls)
        for app in apps.values()
        for sidekick, (services, walls, _) in SIDEKICKS.items()
        if service(app) in services.split() and (app["State"]["Running"] or not walls)
    }
    waiting = {each for each, there in beside.items() if not there["State"]["Running"] and closed(there, apps)}
    faults = [f"{each} is lacking" for each in (wanted.keys() | whole) - beside.keys()]
    faults += [f"{each} is too much" for each in beside.keys() - wanted.keys() - whole - waiting]
    faults += [f"{each} does not run" for each in beside.keys() - waiting if not beside[each]["State"]["Running"]]
    for each, (app, walls) in wanted.items():
        there = beside.get(each)
        if there and label(there, "parent") != app["Id"]:
            faults.append(f"{each} is of another app container")
        faults += [f"{each} is in another {wall} namespace" for wall in walls if there and not together(engine, there, app, wall)]
    return "\n".join(faults)


def closed(sidekick: dict[str, Any], apps: dict[str, dict[str, Any]]) -> bool:
    """Whether it waits for its app container to run again."""
    app = apps.get(label(sidekick, "parent"))
    return bool(app and not app["State"]["Running"] and SIDEKICKS[label(sidekick, "sidekick")][1])


def together(engine: Counted, one: dict[str, Any], other: dict[str, Any], wall: str) -> bool:
    here, there = (engine.space(each["State"]["Pid"], NAMESPACES[wall]) for each in (one, other))
    return here == there != ""


@pytest.fixture
def engine() -> Iterator[Counted]:
    client = docker.from_env(timeout=300)
    needed = image(client)
    client.close()
    with Counted() as made:
        made.load(needed)
        yield made
    gc.collect()


@contextmanager
def brought_up(tmp_path: Path, engine: Counted) -> Iterator[Stack]:
    """The stack, with all its sidekicks, on this engine."""
    stack = Stack(tmp_path, engine)
    stack.env["TOKEN"] = "hunter2"
    (tmp_path / "token").write_text("secret")
    (tmp_path / "logs").mkdir()
    stack.developers(DEVELOPERS)
    write_ops(stack, [*SIDEKICKS, "logs"])
    with stack:
        stack.remora("up")
        stack.api.create_network(f"{stack.name}-extra")
        yield stack


def test_whatever_happens_there_is_in_the_end_what_is_wanted(tmp_path: Path, engine: Counted) -> None:
    before, open_then = engine.left(), engine.descriptors()
    with brought_up(tmp_path, engine) as stack, Tap(engine) as tap:
        whole = {name(each) for each in stack.sidekicks() if not label(each, "parent")}
        watchers, ears = Watchers(stack, tap.url), Ears(engine, stack.run)
        ears.start()
        until(lambda: "standing by" in watchers.said(), watchers.said)
        chaos = Chaos(stack, engine, watchers)
        open_before = watchers.descriptors()
        try:
            chaos.run(SECONDS)
            chaos.quiet()
            began = time.monotonic()
            until(
                lambda: watchers.tend() and not disagreement(stack, engine, whole), lambda: disagreement(stack, engine, whole), RESYNC + 20
            )
            print(f"{len(chaos.done)} steps, {len(tap.calls)} calls; agreed after {time.monotonic() - began:.1f} s; REMORA_SEED={SEED}")
            assert "nothing to do" in stack.remora("plan", "--exit-code")
            assert tap.calls and chaos.touched(tap.calls) == []
            assert len(ears.heard) > 10 and chaos.unasked(ears) == []
            until(lambda: not remains(stack), lambda: str(remains(stack)), LEFT + 2 * RESYNC)
            assert watchers.descriptors() <= open_before + 40  # as many connections as it may keep, and some
            assert watchers.end() == [0, 0]
            stack.remora("down", "--volumes")
            stack.api.remove_network(f"{stack.name}-extra")
            until(lambda: engine.left() == before, lambda: f"before: {before}\n now: {engine.left()}")
        except BaseException:
            print(f"{chaos.story()}\n{stack.why()}\n{watchers.said()[-20000:]}\n{engine.said()}")
            raise
    until(lambda: engine.descriptors().total() <= open_then.total() + 8, lambda: f"before: {open_then}\n now: {engine.descriptors()}")


def remains(stack: Stack) -> list[str]:
    """What a watcher that was killed had begun and nobody has finished, or taken away."""
    there = {name(each) for each in stack.sidekicks()}
    carriers = stack.api.containers(all=True, filters={"label": "remora.carrier"})
    volumes = stack.client.volumes.list(filters={"label": "remora.secrets"})
    return [each["Id"] for each in carriers] + [each.name for each in volumes if each.attrs["Labels"]["remora.secrets"] not in there]
