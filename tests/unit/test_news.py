"""What is news: two worlds and what an engine told in between."""

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest

from remora.core import event, news, telling
from remora.core.lives import Look
from remora.core.news import VOCABULARY, Moment, News
from remora.core.plan import Attach, Detach, GiveUp, Prepare, Start, Stop
from remora.core.sidekick import Caps, Spec
from remora.core.world import MARK, NUMBER, ONE_OFF, SERVICE, SIGN, STACK, Container, EngineFacts, World, mark
from remora.errors import RemoraError

ENGINE = EngineFacts(id="FAKE")
NOW = Moment("2024-05-01T12:00:00.000Z", "shop", "prod")
FIRST, SECOND, THIRD = (f"2024-05-01T10:0{minute}:00Z" for minute in range(3))


def app(name="shop-web-1", number="1", **more):
    labels = {STACK: "shop", SERVICE: "web", NUMBER: number} | more.pop("labels", {})
    return Container(**{"id": name, "name": name, "labels": labels, "started_at": FIRST, "networks": ("front",)} | more)


def sidekick(name="shop-web-1.probe", parent="shop-web-1", role="", **more):
    labels = {"remora.stack": "shop", "remora.sidekick": "probe", "remora.role": role, "remora.parent": parent} | more.pop("labels", {})
    sign = mark(ENGINE.id, name, labels)
    labels[MARK] = sign
    given = {
        "id": name,
        "name": name,
        "labels": labels,
        "env": {SIGN: sign},
        "started_at": SECOND,
        "memory": 64 << 20,
        "restart": "unless-stopped",
    }
    return Container(**given | more)


def told_by_engine(action, name="shop-web-1", **attributes):
    """A line of the engine's stream."""
    return json.dumps({"Type": "container", "Action": action, "Actor": {"ID": name, "Attributes": {"name": name, **attributes}}})


def heard(action, name="shop-web-1", **attributes):
    raw = told_by_engine(action, name, **attributes)
    return name, news.heard(event.parse(raw), raw)


def look(before, after, *events, ended=()):
    hearing = {}
    for name, each in events:
        hearing.setdefault(name, []).append(each)
    return Look(World(ENGINE, tuple(before)), World(ENGINE, tuple(after)), NOW, hearing, frozenset(ended))


def told(*args, **more):
    return [(news.name, news.words) for news in telling.between(look(*args, **more))]


def row(id, before, after, *news):
    """What two sights of the app container `web` are news of; `None` is that it is not there."""
    return pytest.param([] if before is None else [app(**before)], [] if after is None else [app(**after)], list(news), id=id)


UP = {}
ENDED = {"state": "exited", "exit_code": 1}
LATER = {"started_at": SECOND}
NEVER = {"state": "created", "started_at": "0001-01-01T00:00:00Z"}
WAITING = {"state": "restarting", "exit_code": 3, "restart": "always"}

LIVES = [
    row("nothing happens", UP, UP),
    row("it starts", None, UP, ("app.started", "shop-web-1 was started")),
    row("it is only made", None, NEVER),
    row("it was made before, and starts", NEVER, UP, ("app.started", "shop-web-1 was started")),
    row("made and removed", NEVER, None),
    row("it crashes", UP, ENDED, ("app.died", "shop-web-1 ended with exit code 1")),
    row("it is done", UP, {"state": "exited"}, ("app.stopped", "shop-web-1 ended with exit code 0")),
    row("it follows SIGTERM", UP, {"state": "exited", "exit_code": 143}, ("app.stopped", "shop-web-1 ended with exit code 143")),
    row(
        "it was told to, or the engine would have started it again",
        UP,
        {"state": "exited", "exit_code": 137, "restart": "always"},
        ("app.stopped", "shop-web-1 was stopped"),
    ),
    row("it crashes, and the engine waits", UP, WAITING, ("app.died", "shop-web-1 ended with exit code 3")),
    row("the engine starts it again", WAITING, LATER, ("app.restarted", "shop-web-1 was started again")),
    row(
        "it crashed and came back between the looks",
        UP,
        {**LATER, "restarts": 1},
        ("app.died", "shop-web-1 ended"),
        ("app.restarted", "shop-web-1 was started again"),
    ),
    row(
        "somebody restarted it between the looks",
        UP,
        LATER,
        ("app.stopped", "shop-web-1 was stopped"),
        ("app.restarted", "shop-web-1 was started again"),
    ),
    row("it is started again", ENDED, LATER, ("app.restarted", "shop-web-1 was started again")),
    row(
        "it is started again, and crashes again",
        ENDED,
        {**ENDED, **LATER},
        ("app.restarted", "shop-web-1 was started again"),
        ("app.died", "shop-web-1 ended with exit code 1"),
    ),
    row(
        "it lived between the looks",
        None,
        ENDED,
        ("app.started", "shop-web-1 was started"),
        ("app.died", "shop-web-1 ended with exit code 1"),
    ),
    row("it is removed while it runs", UP, None, ("app.stopped", "shop-web-1 was stopped"), ("app.gone", "shop-web-1 was removed")),
    row("it is removed after its end", ENDED, None, ("app.gone", "shop-web-1 was removed")),
    row(
        "it has no memory left",
        {"memory": 64 << 20},
        {"state": "exited", "exit_code": 137, "oom_killed": True, "memory": 64 << 20},
        ("app.oom", "shop-web-1 ran out of memory at 64 MiB and was killed"),
    ),
    row(
        "the host has no memory left",
        UP,
        {"state": "exited", "exit_code": 137, "oom_killed": True},
        ("app.oom", "shop-web-1 ran out of memory and was killed"),
    ),
    row(
        "it gives up by itself after a child was killed for memory",
        {"oom_killed": True},
        {"state": "exited", "exit_code": 1, "oom_killed": True},
        ("app.died", "shop-web-1 ended with exit code 1"),
    ),
    row(
        "a child is killed for memory",
        {"memory": 64 << 20},
        {"oom_killed": True, "memory": 64 << 20},
        ("app.oom_child", "a process of shop-web-1 was killed for lack of memory at 64 MiB; shop-web-1 goes on"),
    ),
    row("a child was killed for memory long ago", {"oom_killed": True}, {"oom_killed": True}),
    row("it is paused", UP, {"state": "paused"}, ("app.paused", "shop-web-1 was paused")),
    row("it goes on", {"state": "paused"}, UP, ("app.unpaused", "shop-web-1 goes on after a pause")),
    row("it is renamed", UP, {"id": "shop-web-1", "name": "blue"}, ("app.renamed", "shop-web-1 is now called blue")),
    row("it is renamed before it ever ran", {**NEVER, "id": "x"}, {**NEVER, "id": "x", "name": "blue"}),
    row("it becomes healthy", {"health": "starting"}, {"health": "healthy"}, ("app.healthy", "shop-web-1 is healthy")),
    row("it becomes unhealthy", {"health": "healthy"}, {"health": "unhealthy"}, ("app.unhealthy", "shop-web-1 is unhealthy")),
    row("it begins to check its health", {"health": ""}, {"health": "starting"}),
    row(
        "it is healthy in a new life",
        {"health": "healthy", **ENDED},
        {"health": "healthy", **LATER},
        ("app.restarted", "shop-web-1 was started again"),
        ("app.healthy", "shop-web-1 is healthy"),
    ),
    row("the engine calls what ended unhealthy", {"health": "healthy", **ENDED}, {"health": "unhealthy", **ENDED}),
    row(
        "it changes networks",
        UP,
        {"networks": ("back",)},
        ("app.network", "shop-web-1 was connected to the network back"),
        ("app.network", "shop-web-1 was disconnected from the network front"),
    ),
]


@pytest.mark.parametrize("before, after, news", LIVES)
def test_a_change_of_an_app_container_is_news(before, after, news):
    assert told(before, after) == news


OTHERS = [
    pytest.param(app(labels={ONE_OFF: "True"}), id="what `docker compose run` starts"),
    pytest.param(app(labels={STACK: "other"}), id="a container of another stack"),
    pytest.param(sidekick(labels={"remora.stack": "other"}), id="a sidekick of another stack"),
    pytest.param(replace(sidekick(), name="forged"), id="a container with copied labels"),
]


@pytest.mark.parametrize("container", OTHERS)
def test_what_is_not_ours_is_no_news(container):
    assert told([container], [replace(container, state="exited", exit_code=1)]) == told([container], []) == []


def test_a_host_wide_watcher_names_the_stack_of_each():
    [news] = telling.between(replace(look([], [app(labels={STACK: "blog"})]), moment=replace(NOW, stack="*")))
    assert (news.name, news.stack, news.service) == ("app.started", "blog", "web")


def test_a_recreated_container_is_told_as_one():
    new = app(id="new", name="0123_shop-web-1", **NEVER)
    ended = app(**ENDED)
    assert told([ended, new], [new]) == [("app.recreated", "shop-web-1 was removed, and another container is in its place")]
    assert told([new], [app(id="new")]) == [("app.started", "shop-web-1 was started")]


def test_a_replica_is_no_successor():
    assert told([app(**ENDED), app("shop-web-2", "2")], [app("shop-web-2", "2")]) == [("app.gone", "shop-web-1 was removed")]


EVENTS = [
    pytest.param([heard("kill", signal="15"), heard("die", exitCode="137")], ENDED, ["app.stopped"], 1, id="a stop with a bad exit code"),
    pytest.param([heard("stop")], ENDED, ["app.stopped"], 1, id="a stop of which the end was not heard"),
    pytest.param([heard("die", exitCode="137")], None, ["app.stopped", "app.gone"], 137, id="removed while it ran"),
    pytest.param([heard("die", exitCode="1")], None, ["app.died", "app.gone"], 1, id="a crash, and removed"),
    pytest.param([heard("kill", signal="10"), heard("die", exitCode="1")], ENDED, ["app.died"], 1, id="a crash after a signal"),
    pytest.param([heard("die", exitCode="7")], {**LATER, "restarts": 1}, ["app.died", "app.restarted"], 7, id="a crash between the looks"),
    pytest.param(
        [heard("oom"), heard("die", exitCode="137")], {**LATER, "restarts": 1}, ["app.oom", "app.restarted"], 137, id="no memory, between"
    ),
    pytest.param([heard("die", containerExitCode="7")], {**LATER, "restarts": 1}, ["app.died", "app.restarted"], 7, id="a crash on Podman"),
    pytest.param([heard("die", exitCode="no number")], LATER, ["app.stopped", "app.restarted"], None, id="an exit code that is none"),
    pytest.param([heard("die", exitCode="1"), heard("start")], UP, [], 0, id="events that the world does not bear out"),
]


@pytest.mark.parametrize("events, after, names, code", EVENTS)
def test_an_event_says_what_the_worlds_do_not(events, after, names, code):
    found = telling.between(look([app()], [] if after is None else [app(**after)], *events))
    assert [news.name for news in found] == names
    assert not found or found[0].facts["exit_code"] == code


def test_a_second_child_killed_for_memory_is_told_of_by_the_event_alone():
    before, after = app(oom_killed=True), app(oom_killed=True)
    assert [name for name, _ in told([before], [after], heard("oom"))] == ["app.oom_child"]


def test_news_have_the_event_of_the_engine_inside():
    [news] = telling.between(look([app()], [app(**ENDED)], heard("die", exitCode="1")))
    assert news.to_json() == {
        "name": "app.died",
        "time": "2024-05-01T12:00:00.000Z",
        "words": "shop-web-1 ended with exit code 1",
        "stack": "shop",
        "environment": "prod",
        "container": "shop-web-1",
        "service": "web",
        "facts": {"exit_code": 1},
        "engine": {
            "Type": "container",
            "Action": "die",
            "Actor": {"ID": "shop-web-1", "Attributes": {"name": "shop-web-1", "exitCode": "1"}},
        },
    }


def test_an_event_that_is_too_long_is_left_out():
    [news] = telling.between(look([app()], [app(**ENDED)], heard("die", exitCode="1", label="x" * 100_000)))
    assert (news.facts["exit_code"], news.engine) == (1, None)


# ---- sidekicks ----

OOM = {"state": "restarting", "exit_code": 137, "oom_killed": True}
SIDEKICKS = [
    pytest.param([app()], OOM, "probe beside shop-web-1 was killed at 64 MiB; the app was not affected", id="no memory"),
    pytest.param(
        [app()],
        {"state": "restarting", "exit_code": 2},
        "probe beside shop-web-1 ended with exit code 2; the app was not affected",
        id="a crash",
    ),
    pytest.param([app()], {"state": "exited"}, "probe beside shop-web-1 was stopped; the app was not affected", id="stopped by hand"),
    pytest.param(
        [app()],
        {"state": "exited", "exit_code": 127, "error": "no such file", "restart": "no"},
        "probe beside shop-web-1 could not be started: no such file; the app was not affected",
        id="what cannot start",
    ),
    pytest.param([app(**LATER)], OOM, "probe beside shop-web-1 was killed at 64 MiB", id="no memory, and the app was restarted"),
]


@pytest.mark.parametrize("apps, change, words", SIDEKICKS)
def test_a_sidekick_that_fails_is_told_with_the_reason(apps, change, words):
    before, after = sidekick(), replace(sidekick(), **change)
    assert ("sidekick.failed", words) in told([app(), before], [*apps, after])


def test_a_sidekick_of_the_whole_stack_is_beside_nobody():
    before, after = sidekick("shop.logs", ""), sidekick("shop.logs", "", **OOM)
    assert told([before], [after]) == [("sidekick.failed", "probe was killed at 64 MiB")]


QUIET = [
    pytest.param([app(**ENDED)], [sidekick(state="exited", exit_code=137)], (), id="it ended with its app"),
    pytest.param([app(**LATER)], [sidekick(state="restarting", exit_code=137)], (), id="it ended when its app was restarted"),
    pytest.param([app()], [sidekick(state="exited", exit_code=143)], ["shop-web-1.probe"], id="remora stopped it"),
    pytest.param([app()], [sidekick(started_at=THIRD)], ["shop-web-1.probe"], id="remora started it again"),
    pytest.param([app()], [], ["shop-web-1.probe"], id="remora removed it"),
    pytest.param([app()], [sidekick(state="exited", restart="on-failure")], (), id="it may end"),
    pytest.param([app()], [sidekick(state="paused")], (), id="it is paused"),
]


@pytest.mark.parametrize("apps, after, ended", QUIET)
def test_what_is_meant_to_happen_to_a_sidekick_is_no_failure(apps, after, ended):
    found = told([app(), sidekick()], [*apps, *after], ended=ended)
    assert [name for name, _ in found if name.startswith("sidekick")] == []


def test_a_sidekick_that_the_engine_starts_again_is_told_of():
    after = sidekick(started_at=THIRD, restarts=1)
    names = ["sidekick.failed", "sidekick.restarted"]
    assert [name for name, _ in told([app(), sidekick()], [app(), after], heard("die", "shop-web-1.probe", exitCode="1"))] == names


def test_a_sidekick_that_fails_as_soon_as_remora_starts_it_is_told_of():
    before, after = sidekick(**OOM), sidekick(started_at=THIRD, state="exited", exit_code=1, restart="no")
    words = "probe beside shop-web-1 ended with exit code 1; the app was not affected"
    assert told([app(), before], [app(), after], ended=["shop-web-1.probe"]) == [("sidekick.failed", words)]


def test_a_sidekick_that_somebody_removes_is_told_of():
    assert told([app(), sidekick()], [app()]) == [("sidekick.detached", "probe beside shop-web-1 was removed, and not by this watcher")]


# ---- what remora did ----

SPEC = Spec(
    "shop-web-1.probe",
    "probe",
    "container",
    "shop",
    "prod",
    "/srv/remora.yaml",
    "busybox",
    host="shop-web-1",
    parent="shop-web-1",
    caps=Caps(),
)
ACTIONS = [
    pytest.param(Attach(SPEC), "sidekick.attached", "probe beside shop-web-1 was attached", "attached", id="attach"),
    pytest.param(
        Detach("shop-web-1.probe", "shop-web-1.probe", "", "no longer asked for"),
        "sidekick.detached",
        "probe beside shop-web-1 was detached: no longer asked for",
        "detached",
        id="detach",
    ),
    pytest.param(
        Start("shop-web-1.probe", "shop-web-1.probe", "shop-web-1", "it ran out of memory"),
        "sidekick.restarted",
        "probe beside shop-web-1 was started again: it ran out of memory",
        "started again",
        id="start",
    ),
    pytest.param(
        GiveUp("shop-web-1.probe", "shop-web-1.probe", "shop-web-1", "it ended with exit code 1, 10 times in a row"),
        "sidekick.given_up",
        "probe beside shop-web-1 is left alone: it ended with exit code 1, 10 times in a row",
        "stopped",
        id="give up",
    ),
    pytest.param(Stop("shop-web-1.probe", "shop-web-1.probe", "", "its app does not run"), None, "", "stopped", id="stop"),
]


@pytest.mark.parametrize("action, name, words, verb", ACTIONS)
def test_an_action_is_news(action, name, words, verb):
    seen = look([app(), sidekick()], [app(), sidekick()])
    assert [(news.name, news.words) for news in telling.of_action(seen, action, None)] == ([(name, words)] if name else [])
    [failed] = telling.of_action(seen, action, RemoraError("the engine says: no"))
    assert (failed.name, failed.words) == ("sidekick.failed", f"probe beside shop-web-1 could not be {verb}: the engine says: no")
    assert (failed.service, failed.sidekick, failed.facts) == ("web", "probe", {"beside": "shop-web-1", "reason": "the engine says: no"})


def test_an_image_that_is_missing_is_told_of_for_each_sidekick_that_needs_it():
    seen, error = look([app()], [app()]), RemoraError("the image `busybox` is not here and cannot be pulled: no")
    found = telling.of_action(seen, Prepare("busybox"), error, (Prepare("busybox"), Attach(SPEC), Attach(replace(SPEC, image="other"))))
    assert [news.words for news in found] == [f"probe beside shop-web-1 could not be attached: {error}"]
    assert telling.of_action(seen, Prepare("busybox"), None, (Attach(SPEC),)) == ()


def test_every_name_is_in_the_vocabulary():
    told_of = {name for param in LIVES for name, _ in param.values[2]} | {param.values[1] for param in ACTIONS if param.values[1]}
    assert told_of < VOCABULARY.keys()


def test_every_name_and_key_is_in_the_docs():
    text = (Path(__file__).parents[2] / "docs/events.md").read_text()
    keys = [each.name for each in fields(News) if each.name != "app"]
    assert [name for name in [*VOCABULARY, *keys] if f"| `{name}` |" not in text] == []
