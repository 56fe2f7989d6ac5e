"""Kinds of others: found and loaded only when they are named, and fenced off whatever they do."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Annotated

import pytest
from pydantic import Field
from test_contract import Exploding, Settings, bad, each, one, stranger, thief, twins
from test_daemon import settle, watch
from worlds import coming, compose

from remora.core import ops, weave
from remora.core.kind import Unwoven
from remora.core.sidekick import Caps, Context
from remora.core.world import EngineFacts
from remora.engines.fake import FakeEngine
from remora.errors import RemoraError
from remora.plugins import Catalogue, installed
from remora.sidekicks import container

STACK = compose(web={"scale": 2}, db={})
TEXT = """\
environments: {prod: {attach: [odd, good]}, dev: {attach: [good]}}
sidekicks:
  odd:
    kind: bad
    for: web
    word: hi
  good: {kind: container, for: db, image: busybox}
"""
BY = "the plug-in `bad` of remora-bad 1.0"
WHERE = f"remora.yaml:4: sidekicks.odd.kind: {BY}"


def point(kind=None, name="bad", package="remora-bad", loads=None):
    """An entry point, and what loading it gives."""
    return SimpleNamespace(name=name, dist=SimpleNamespace(name=package, version="1.0"), load=loads or (lambda: kind))


def raising(error):
    def act(*_, **__):
        raise error

    return act


def catalogue(*points):
    return Catalogue(points=lambda: points)


def read(kinds, text=TEXT):
    return ops.read(text, "remora.yaml", "/srv/remora.yaml", kinds.settings)


def woven(kinds, strict=True, environment="prod", apps=None):
    found = read(kinds)
    given = Context("shop", environment, found.owner, EngineFacts(id="FAKE"), {"logs": "remora/logs:1"})
    return weave.weave(found, apps or coming(STACK), given, kinds, strict)


def wide(name, settings, apps, context):
    while True:
        yield from each()(name, settings, apps, context)


def elsewhere(name, settings, apps, context):
    return [replace(one(name, app, context), host="shop-db-1", name="shop-db-1.odd") for app in apps]


def row(id, kind, words, loads=None):
    return pytest.param(point(kind, loads=loads), words, id=id)


FAILING = [
    row("it cannot be imported", None, "raised ModuleNotFoundError (no) when it was loaded", raising(ModuleNotFoundError("no"))),
    row("it ends the program", None, "raised SystemExit (1) when it was loaded", raising(SystemExit(1))),
    row("an error of many lines", None, "raised ValueError (a b) when it was loaded", raising(ValueError("a\n  b\n"))),
    row("an error that says nothing", None, "raised KeyError when it was loaded", raising(KeyError())),
    row("a module without anything", SimpleNamespace(NAME="bad"), "has no `SUMMARY`, no `Settings`, no `specs`, no `faults`"),
    row(
        "another name",
        SimpleNamespace(**{**vars(bad()), "NAME": "worse"}),
        "calls itself `worse`: NAME and the name of the entry point must be one",
    ),
    row("settings that are none", bad(settings=dict), "has Settings that are no remora.core.ops.Sidekick"),
    row("settings that raise", bad(settings=Exploding), "raised ZeroDivisionError (division by zero) where its settings are read"),
    row("specs raises", bad(raising(OSError("disk"))), "raised OSError (disk) in specs"),
    row("specs raises an error of remora's", bad(raising(RemoraError("x"))), "raised RemoraError (x) in specs"),
    row("specs gives no list", bad(lambda *_: 5), "raised TypeError ('int' object is not iterable) in specs"),
    row("specs gives a word", bad(lambda *_: ["x"]), "gives a str where a Spec belongs"),
    row("specs never ends", bad(wide), "asks for more than 299 containers beside 2 app containers"),
    row("faults raises", bad(faults=raising(OSError("disk"))), "raised OSError (disk) in faults"),
    row("a command that is text", bad(each(command="ls")), "gives a Spec whose `command` is wrong: Input should be a valid tuple"),
    row("an app container", bad(thief), "names a container `shop-web-1`, which must be `shop-web-1.odd`"),
    row("an app container it was not asked for", bad(elsewhere), "attaches to `shop-db-1`, for which it was not asked"),
    row("another stack", bad(stranger), "gives a Spec for the stack `other`, and was asked for `shop`"),
    row("two of one name", bad(twins), "names two containers `shop-web-1.odd`"),
    row("no memory cap", bad(each(caps=Caps(memory=0))), "gives `shop-web-1.odd` no cap of memory: it must be at least 6291456"),
    row("no cap of processes", bad(each(caps=Caps(pids=0))), "gives `shop-web-1.odd` no cap of pids: it must be at least 1"),
    row(
        "processors without end", bad(each(caps=Caps(cpus=float("inf")))), "gives `shop-web-1.odd` no cap of cpus: it must be at least 0.01"
    ),
    row("all capabilities", bad(each(cap_add=("ALL",))), "gives `shop-web-1.odd` all capabilities at once"),
    row("no image", bad(lambda n, s, apps, c: [replace(one(n, apps[0], c), image="")]), "gives `shop-web-1.odd` no image"),
    row("a recipe of nobody", bad(each(recipe="mine")), "builds on the recipe `mine`, which there is not"),
    row(
        "walls of nobody",
        bad(lambda n, s, apps, c: [one(n, None, c, walls=("network",))]),
        "shares walls without an app container",
    ),
]


@pytest.mark.parametrize("plugin, words", FAILING)
def test_a_plugin_that_fails_is_named_in_one_sentence_and_hurts_no_other(plugin, words):
    kinds = catalogue(plugin)
    with pytest.raises(RemoraError) as error:
        woven(kinds)
    assert str(error.value) == f"{WHERE} {words}"
    found = woven(kinds, strict=False)
    assert ([spec.sidekick for spec in found.specs], found.faults, found.unsure) == (["good"], (f"{WHERE} {words}",), {"odd"})


def test_a_plugin_is_a_kind_like_any():
    found = woven(catalogue(point(bad())))
    assert [spec.name for spec in found.specs] == ["shop-web-1.odd", "shop-web-2.odd", "shop-db-1.good"]
    assert (found.specs[0].why, found.faults) == ("remora.yaml:3", ())


def test_what_a_plugin_cannot_have_is_said_by_its_own_words():
    with pytest.raises(RemoraError) as error:
        woven(catalogue(point(bad(raising(Unwoven("word", "not this word"))))))
    assert str(error.value) == "remora.yaml:6: sidekicks.odd.word: not this word"


def test_what_is_wrong_with_its_settings_is_said_as_of_any_kind():
    with pytest.raises(RemoraError) as error:
        read(catalogue(point(bad())), TEXT.replace("word: hi", "wrod: hi"))
    assert str(error.value) == "remora.yaml:6: sidekicks.odd.wrod: no such setting; did you mean `word`?"


def test_lists_are_taken_for_tuples():
    found = woven(catalogue(point(bad(each(command=["ls", "-l"], cap_add=["NET_RAW"])))))
    assert (found.specs[0].command, found.specs[0].cap_add) == (("ls", "-l"), ("NET_RAW",))


def test_a_plugin_that_another_environment_attaches_is_no_error():
    found = woven(catalogue(point(loads=raising(OSError("disk")))), environment="dev")
    assert ([spec.sidekick for spec in found.specs], found.faults) == (["good"], ())


def test_a_plugin_cannot_change_what_others_see():
    def taking(name, settings, apps, context):
        for app in apps:
            app.labels.clear()
            app.env["X"] = "y"
        return []

    apps = tuple(replace(app, labels={"a": "b"}, env={}) for app in coming(STACK))
    woven(catalogue(point(bad(taking))), apps=apps)
    assert {(app.labels["a"], *app.env) for app in apps} == {("b",)}


# ---- the catalogue ----


def test_only_what_is_named_is_loaded_and_nothing_is_looked_for_when_all_is_built_in():
    looked, loaded = [], []
    points = (point(loads=lambda: loaded.append("bad") or bad()), point(name="other", loads=raising(OSError("never"))))
    kinds = Catalogue(points=lambda: looked.append(1) or points)
    read(kinds, "environments: {prod: {attach: [x]}}\nsidekicks: {x: {kind: container, image: busybox, for: web}}")
    assert (looked, loaded) == ([], [])
    woven(kinds)
    assert loaded == ["bad"]


def test_a_plugin_cannot_replace_a_built_in_kind():
    kinds = catalogue(point(bad(), name="container"))
    assert kinds["container"] is container
    assert kinds.sound()[1] == ["the plug-in `container` of remora-bad 1.0 is not used: there is a built-in kind of that name"]


def test_two_plugins_of_one_name_are_named():
    kinds = catalogue(point(bad()), point(bad(), package="also-bad"))
    words = "several plug-ins are called `bad`, those of also-bad 1.0 and remora-bad 1.0; uninstall all but one"
    with pytest.raises(RemoraError) as error:
        woven(kinds)
    assert str(error.value) == f"remora.yaml:4: sidekicks.odd.kind: {words}"
    assert (list(kinds), list(kinds.sound()[0]), kinds.sound()[1]) == (["bad", "container", "logs"], ["container", "logs"], [words])


def test_a_kind_that_nobody_has():
    with pytest.raises(RemoraError) as error:
        read(catalogue(point(bad(), name="worse")))
    assert str(error.value) == "remora.yaml:4: sidekicks.odd.kind: no kind `bad`; there is `container`, `logs`, `worse`"


class NoShape:
    def __get_pydantic_json_schema__(self, *_):
        raise ValueError("no shape")


def test_the_catalogue_has_what_can_be_used_and_says_what_cannot():
    class Shapeless(Settings):
        word: Annotated[str, NoShape()] = Field("x", description="nothing that JSON Schema knows")

    shapeless = SimpleNamespace(**{**vars(bad(settings=Shapeless)), "NAME": "shapeless"})
    kinds = catalogue(point(bad()), point(name="broken", loads=raising(OSError("disk"))), point(shapeless, name="shapeless"))
    found, faults = kinds.sound()
    assert (list(found), kinds.origin("bad"), kinds.origin("logs")) == (["bad", "container", "logs"], "remora-bad 1.0", "remora")
    assert faults == [
        "the plug-in `broken` of remora-bad 1.0 raised OSError (disk) when it was loaded",
        "the plug-in `shapeless` of remora-bad 1.0 raised ValueError (no shape) where its settings are described",
    ]


def test_the_packages_beside_us_are_looked_through():
    assert all(each.group == "remora.kinds" for each in installed())


# ---- the watcher ----


def watcher(engine, kinds):
    made = watch(engine, read(kinds), STACK)
    made.session.kinds = kinds
    return made


@pytest.mark.parametrize("plugin, words", FAILING[::5])
def test_the_watcher_goes_on_without_a_plugin_that_fails(plugin, words):
    engine = FakeEngine()
    engine.up(STACK)
    watching = watcher(engine, catalogue(plugin))
    settle(watching, engine, 1)
    assert {c.labels["remora.sidekick"] for c in engine.observe("shop").sidekicks("shop")} == {"good"}
    assert watching.faults == (f"{WHERE} {words}",)


def test_what_is_attached_stays_when_its_plugin_begins_to_fail():
    """Nobody knows what it wants; but what is beside an app container that is gone has nothing to be there for."""
    engine = FakeEngine()
    engine.up(STACK)
    settle(watcher(engine, catalogue(point(bad()))), engine, 1)
    before = {c.name: c.id for c in engine.observe("shop").sidekicks("shop")}
    assert set(before) == {"shop-web-1.odd", "shop-web-2.odd", "shop-db-1.good"}
    watching = watcher(engine, catalogue(point(bad(raising(OSError("disk"))))))
    settle(watching, engine, 1)
    assert {c.name: c.id for c in engine.observe("shop").sidekicks("shop")} == before
    engine.remove("shop-web-2")
    settle(watching, engine, 100)
    assert {c.name: c.id for c in engine.observe("shop").sidekicks("shop")} == {k: v for k, v in before.items() if "web-2" not in k}
