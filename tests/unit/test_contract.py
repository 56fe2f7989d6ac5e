"""The kinds that are built in keep the contract of `remora.testing`; and a kind that does not is found out by the law for it."""

import random
import sys
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Literal

import pytest
from pydantic import BeforeValidator, Field, WithJsonSchema

from remora.core.ops import Sidekick
from remora.core.sidekick import Caps
from remora.core.world import Mount
from remora.sidekicks import container, logs
from remora.testing import EACH, ONCE, contract

BUSYBOX = {"image": "busybox"}
CONTAINER = [
    {**BUSYBOX, "walls": {"network": True, "processes": True}, "command": ["sleep", 60]},
    {**BUSYBOX, "walls": {"files": ["/data", {"path": "/html", "at": "/www"}]}, "secrets": {"token": "env:TOKEN"}, "network": "bridge"},
    {**BUSYBOX, "read_only": False, "user": "same", "capabilities": ["NET_RAW"], "env": {"A": 1}},
]
LOGS = [
    {"to": "file:///srv/logs"},
    {"to": ["relp://logs", "syslog+tls://logs:6514"], "tls": {"ca": "file:ca.pem"}},
    {"to": "file:///srv/logs", "from": "/data/*.log"},
]


@pytest.mark.parametrize("law", contract(container, *CONTAINER), ids=str)
def test_the_kind_container_keeps_the_contract(law):
    law()


@pytest.mark.parametrize("law", contract(logs, *LOGS), ids=str)
def test_the_kind_logs_keeps_the_contract(law):
    law()


def example():
    """The module of `examples/plugin`."""
    spec = spec_from_file_location("remora_reach", Path(__file__).parents[2] / "examples/plugin/remora_reach.py")
    sys.modules["remora_reach"] = module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("law", contract(example(), {}, {"port": 8080}), ids=str)
def test_the_example_plugin_keeps_the_contract(law):
    law()


# ---- kinds that do not ----


class Settings(Sidekick):
    kind: Literal["bad"] = Field(description="bad")
    word: str = Field("hi", description="a word")


class Undescribed(Settings):
    more: int = 1


class Unnamed(Sidekick):
    kind: str = Field(description="anything")


def anything(value):
    return str(value)


class Looser(Settings):
    """The reader takes a number, and the schema does not say so."""

    word: Annotated[str, BeforeValidator(anything), WithJsonSchema({"type": "string"})] = Field("hi", description="a word")


class Exploding(Settings):
    word: Annotated[str, BeforeValidator(lambda value: 1 / 0)] = Field(description="a word")


class Open(Settings, extra="ignore"):
    pass


def one(name, app, context, **more):
    return context.spec(name, "bad", app, **{"image": "busybox", "command": ("sleep", "60"), **more})


def each(**more):
    """Specs of one container beside each app."""
    return lambda name, settings, apps, context: [one(name, app, context, **more) for app in apps]


def bad(specs=None, settings=Settings, faults=lambda settings, apps: (), **more):
    return SimpleNamespace(NAME="bad", SUMMARY="Is bad.", Settings=settings, specs=specs or each(), faults=faults, **more)


def first_alone(name, settings, apps, context):
    """Only the first app gets one."""
    return [one(name, apps[0], context)]


def counting(name, settings, apps, context):
    """Beside one app, how many there are."""
    return [one(name, app, context, env=(("PEERS", str(len(apps))),)) for app in apps]


def ordered(name, settings, apps, context):
    """One for the whole stack, which names the apps as they come."""
    return [one(name, None, context, env=(("APPS", ",".join(app.name for app in apps)),))]


def drawing(name, settings, apps, context):
    return [one(name, app, context, env=(("DRAWN", str(random.random())),)) for app in apps]


def reading(name, settings, apps, context):
    Path("/proc/uptime").read_text()
    return each()(name, settings, apps, context)


def changing(name, settings, apps, context):
    for app in apps:
        app.env.clear()
    return each()(name, settings, apps, context)


def uncapped(name, settings, apps, context):
    return [replace(one(name, app, context), caps=Caps(0, 0.5, 64)) for app in apps]


def thief(name, settings, apps, context):
    return [replace(one(name, app, context), name=app.name) for app in apps]


def stranger(name, settings, apps, context):
    return [replace(one(name, app, context), stack="other") for app in apps]


def twins(name, settings, apps, context):
    return [one(name, app, context) for app in apps] * 2


def restless(name, settings, apps, context):
    """It is another one each time the app container is: the world is never as it is wanted."""
    return [one(name, app, context, env=(("RUN", str(next(NUMBERS))),)) for app in apps]


NUMBERS = iter(range(10_000))
NAMES = [f"contract-{each}.x" for each in ("db-1", "web-1", "web-2", "web-3", "worker-1")]
DOINGS = [f"- detach {name}: its definition changed" for name in NAMES]
DOINGS += [f"+ attach {name} (bad; walls: none) because of remora.yaml:1" for name in NAMES]
RESTLESS = f"done, and there is still to do: {', '.join(DOINGS)}"


BAD_PLUGIN = "the plug-in `bad` of the contract"
FAILED = f"remora.yaml:1: sidekicks.x.kind: {BAD_PLUGIN}"
ORDER = "in another order of the app containers it wants another thing"
ALL = "`contract-db-1.x`, `contract-web-1.x`, `contract-web-2.x`, `contract-web-3.x`, `contract-worker-1.x`"


def row(id, law, kind, said):
    return pytest.param(law, kind, said, id=id)


BAD = [
    row(
        "nothing but a name",
        "has its parts",
        SimpleNamespace(NAME="bad"),
        f"{BAD_PLUGIN} has no `SUMMARY`, no `Settings`, no `specs`, no `faults`",
    ),
    row("a setting without a description", "describes its settings", bad(settings=Undescribed), "no description: `more`"),
    row("a kind of any name", "names itself", bad(settings=Unnamed), "the setting `kind` must be a Literal of `bad`"),
    row(
        "a schema too strict",
        "schema and reader agree",
        bad(settings=Looser),
        'the reader takes {"kind": "bad", "for": "*", "word": null}, and the schema does not',
    ),
    row(
        "settings that take anything",
        "schema and reader agree",
        bad(settings=Open),
        'must be refused: {"kind": "bad", "for": "*", "no_such_setting": 1}',
    ),
    row("nothing at all", "attaches something", bad(lambda *_: ()), "it wants nothing beside the containers of the contract's stack"),
    row("no spec", "attaches something", bad(lambda *_: ["x"]), f"{FAILED} gives a str where a Spec belongs"),
    row("one that raises", "attaches something", bad(lambda *_: 1 / 0), f"{FAILED} raised ZeroDivisionError (division by zero) in specs"),
    row("dice", "says the same again", bad(drawing), "asked twice, it wants two different things"),
    row("one that looks around", "looks at nothing else", bad(reading), "it is not pure: it does `open`"),
    row(
        "one that changes what it is given",
        "changes nothing it is given",
        bad(changing),
        "it changes the settings, the app containers or the context that it is given",
    ),
    row("one that minds the order", "minds no order", bad(ordered), ORDER),
    row("one that prefers the first", "minds no order", bad(first_alone), ORDER),
    row(
        "one that counts its peers",
        "looks beside one app at that app alone",
        bad(counting),
        "beside contract-web-1 it wants another thing when it is asked about that one alone",
    ),
    row("caps of its own", "is capped as it is told", bad(each(caps=Caps())), "`contract-web-1.x` does not keep to `limits`"),
    row(
        "no caps",
        "is capped as it is told",
        bad(uncapped),
        f"{FAILED} gives `contract-web-1.x` no cap of memory: it must be at least 6291456",
    ),
    row(
        "a root to write to",
        "cannot write its own files",
        bad(each(read_only=False)),
        f"the root is not read-only, and nobody said `read_only: false`: {ALL}",
    ),
    row(
        "a policy of its own",
        "is started as it is told",
        bad(each(restart="no")),
        "`contract-web-1.x` does not keep to `restart` and `give_up_after`",
    ),
    row(
        "the name of an app",
        "names are its own",
        bad(thief),
        f"{FAILED} names a container `contract-web-1`, which must be `contract-web-1.x`",
    ),
    row(
        "another stack",
        "names are its own",
        bad(stranger),
        f"{FAILED} gives a Spec for the stack `other`, and was asked for `contract`",
    ),
    row("twins", "names are its own", bad(twins), f"{FAILED} names two containers `contract-web-1.x`"),
    row("a fault of two lines", "faults are sentences", bad(faults=lambda *_: ["two\nlines"]), "a fault is one line: ['two\\nlines']"),
    row("one that is never content", "done leaves nothing to do", bad(restless), RESTLESS),
    row(
        "a mount of a number",
        "renders as an overlay that only adds",
        bad(each(mounts=(Mount("volume", 5, "/x"),))),
        f"{FAILED} gives a Spec whose `mounts` is wrong: Input should be a valid string",
    ),
]


@pytest.mark.parametrize("words, kind, said", BAD)
def test_a_bad_kind_is_found_out(words, kind, said):
    (law,) = [law for law in contract(kind, {}) if law.words == words]
    with pytest.raises(AssertionError) as error:
        law()
    assert str(error.value).split("\nassert")[0] == said


def test_settings_that_raise_are_named():
    (law,) = [law for law in contract(bad(settings=Exploding), {"word": "x"}) if law.words == "attaches something"]
    with pytest.raises(AssertionError) as error:
        law()
    assert str(error.value) == "the plug-in `bad` of the contract raised ZeroDivisionError (division by zero) where its settings are read"


def test_a_good_kind_keeps_every_law_and_a_bad_one_breaks_each():
    for law in contract(bad(), {}, {"word": "ho"}):
        law()
    assert {row.values[0] for row in BAD} == {*ONCE, *EACH}
