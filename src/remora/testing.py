"""What every kind of sidekick has to keep, as tests that any kind can run: its contract.

    @pytest.mark.parametrize("law", contract(my_kind, {"port": 80}), ids=str)
    def test_it_keeps_the_contract(law):
        law()

A law is a function: it returns, or raises AssertionError with a sentence that says what is wrong. Nothing here needs pytest. What the
settings mean to remora itself is tried on a small stack of services, in which each has ports, a volume at /data and a bind mount at /html.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from remora.core import ops as ops_file
from remora.core import overlay, plan, weave
from remora.core import project as compose
from remora.core.kind import Failed, Kind
from remora.core.ops import Ops, Sidekick
from remora.core.project import Project
from remora.core.sidekick import App, Context, Spec
from remora.engines import recipes
from remora.engines.fake import FakeEngine
from remora.engines.performing import perform
from remora.errors import RemoraError, listed
from remora.plugins import Fenced, Source

try:
    from jsonschema import Draft202012Validator
except ModuleNotFoundError as error:
    raise ImportError("remora.testing needs jsonschema: pip install 'remora[testing]'") from error

NAME = "x"  # of the sidekick in the contract's ops file
OWNER = "/srv/contract/remora.yaml"


def service(image: str, **more: object) -> dict[str, object]:
    volumes = [{"type": "volume", "source": "data", "target": "/data"}, {"type": "bind", "source": "/srv/html", "target": "/html"}]
    return {"image": image, "volumes": volumes, "expose": ["80"], "environment": {"PORT": "80"}, **more}


STACK: Mapping[str, Any] = {
    "name": "contract",
    "services": {
        "web": service("nginx:1.27", scale=3, labels={"tier": "front"}),
        "db": service("postgres:17", logging={"driver": "local"}, user="999"),
        "worker": service("registry.internal:5000/team/worker:3", depends_on={"db": {"condition": "service_started"}}),
    },
    "volumes": {"data": {"name": "contract_data"}},
}


@dataclass(frozen=True)
class Law:
    """One sentence of the contract, for one kind and one way to set it."""

    words: str
    check: Callable[[Case], None]
    case: Case

    def __call__(self) -> None:
        self.check(self.case)

    def __str__(self) -> str:
        return f"{self.words} {self.case.number}" if self.case.number else self.words

    @property
    def __name__(self) -> str:
        return str(self)


def contract(kind: object, *settings: Mapping[str, Any], stack: Mapping[str, Any] = STACK) -> list[Law]:
    """The laws of `kind`, a module or object, for each of `settings`: what stands in the ops file beside `kind` and `for`.

    `stack` is Compose's canonical JSON of other services than the contract's own, for a kind that needs such.
    """
    cases = [Case(kind, given, stack, number) for number, given in enumerate(settings or ({},))]
    once = [Law(words, check, cases[0]) for words, check in ONCE.items()]
    return once + [Law(words, check, case) for case in cases for words, check in EACH.items()]


@dataclass(frozen=True, eq=False)
class Case:
    """A kind with settings, and what comes of them beside the containers of a stack."""

    kind: Any
    settings: Mapping[str, Any]
    stack: Mapping[str, Any]
    number: int

    @cached_property
    def name(self) -> str:
        return str(getattr(self.kind, "NAME", ""))

    @cached_property
    def fenced(self) -> Fenced:
        """The kind as remora meets it where it comes by entry point."""
        with failing():
            return Fenced(Source(self.name, "the contract"), self.kind)

    @cached_property
    def project(self) -> Project:
        return compose.read(self.stack)

    @cached_property
    def apps(self) -> tuple[App, ...]:
        """The app containers, as Compose is about to make them."""
        return weave.expected(self.project, {}, ())

    def entry(self, **more: Any) -> dict[str, Any]:
        return {"kind": self.name, "for": "*", **self.settings, **more}

    def ops(self, entry: Mapping[str, Any] | None = None) -> Ops:
        """The ops file with one sidekick; JSON is YAML."""
        text = json.dumps({"environments": {"prod": {"attach": [NAME]}}, "sidekicks": {NAME: entry or self.entry()}})
        found = ops_file.read(text, "remora.yaml", OWNER, {self.name: self.fenced.Settings})
        if found.failed:
            raise AssertionError(found.failed[NAME])
        return found

    def context(self, engine: FakeEngine | None = None) -> Context:
        facts = (engine or FakeEngine()).facts
        return Context(self.project.name, "prod", OWNER, facts, recipes.tags(), self.project.volumes)

    def specs(self, apps: Sequence[App], entry: Mapping[str, Any] | None = None, kind: Kind | None = None) -> tuple[Spec, ...]:
        """What is wanted beside `apps`, in the order in which the kind says it; without apps there is nothing."""
        with failing():
            return tuple(weave.one(self.ops(entry), NAME, {self.name: kind or self.fenced}, apps, self.context())[0]) if apps else ()


@contextmanager
def failing() -> Iterator[None]:
    """What remora would say of the kind is what is wrong with it."""
    try:
        yield
    except (Failed, RemoraError) as error:
        raise AssertionError(str(error)) from error


# ---- the laws of a kind ----


def has_its_parts(case: Case) -> None:
    assert case.name and case.name == case.fenced.NAME
    assert case.fenced.SUMMARY.endswith("."), "SUMMARY must be a sentence"


def describes_its_settings(case: Case) -> None:
    schema = case.fenced.Settings.model_json_schema()
    models = {"": schema, **schema.get("$defs", {})}
    fields = [(f"{name}.{key}".strip("."), field) for name, model in models.items() for key, field in model.get("properties", {}).items()]
    bare = [place for place, field in fields if not field.get("description")]
    assert not bare, f"no description: {listed(bare)}"


def names_itself(case: Case) -> None:
    kind = case.fenced.Settings.model_json_schema()["properties"]["kind"]
    assert kind.get("const") == case.name, f"the setting `kind` must be a Literal of `{case.name}`"


# ---- the laws of a kind with its settings ----

ODD: tuple[Any, ...] = (None, "", "x", 0, -1, 1.5, True, [], {}, ["x"], {"x": "y"})


def schema_takes_what_the_reader_takes(case: Case) -> None:
    """And both refuse what is too much or missing. A reader may refuse more: a schema sees no arithmetic."""
    schema = Draft202012Validator(ops_file.schema({case.name: case.fenced.Settings}))
    properties = case.fenced.Settings.model_json_schema()["properties"]
    for key, odd in ((key, odd) for key in properties for odd in (..., *ODD)):
        entry = {k: v for k, v in case.entry().items() if k != key} if odd is ... else case.entry(**{key: odd})
        if reads(case, entry):
            assert fits(schema, entry), f"the reader takes {json.dumps(entry)}, and the schema does not"
    assert fits(schema, case.entry()), f"the schema does not take {json.dumps(case.entry())}"
    for entry in (case.entry(no_such_setting=1), *({k: v for k, v in case.entry().items() if k != key} for key in ("for", "kind"))):
        assert not reads(case, entry) and not fits(schema, entry), f"must be refused: {json.dumps(entry)}"


def reads(case: Case, entry: Mapping[str, Any]) -> bool:
    try:
        case.ops(entry)
    except RemoraError:
        return False
    return True


def fits(schema: Draft202012Validator, entry: Mapping[str, Any]) -> bool:
    return not any(schema.iter_errors({"environments": {"prod": {"attach": [NAME]}}, "sidekicks": {NAME: entry}}))


def attaches_something(case: Case) -> None:
    assert case.specs(case.apps), "it wants nothing beside the containers of the contract's stack"


def says_the_same_again(case: Case) -> None:
    assert case.specs(case.apps) == case.specs(case.apps), "asked twice, it wants two different things"


def looks_at_nothing_else(case: Case) -> None:
    asked = (case.ops().sidekicks[NAME], case.apps, case.context())
    bare(case, *asked)  # what is imported or built once may be
    with watched() as seen:
        bare(case, *asked)
    assert not seen, f"it is not pure: it does {listed(set(seen))}"


def changes_nothing_it_is_given(case: Case) -> None:
    asked = (case.ops().sidekicks[NAME], deepcopy(case.apps), case.context())
    before = repr(asked)
    bare(case, *asked)
    assert repr(asked) == before, "it changes the settings, the app containers or the context that it is given"


def bare(case: Case, settings: Sidekick, apps: Sequence[App], context: Context) -> None:
    """Ask the kind itself, without the copies that the fence makes."""
    with failing(), case.fenced.source.fence("in specs or faults"):
        list(case.kind.specs(NAME, settings, apps, context))
        list(case.kind.faults(settings, apps))


def minds_no_order(case: Case) -> None:
    wanted = by_name(case.specs(case.apps))
    for apps in (case.apps[::-1], case.apps[2:] + case.apps[:2]):
        assert by_name(case.specs(apps)) == wanted, "in another order of the app containers it wants another thing"


def looks_beside_one_app_at_that_app_alone(case: Case) -> None:
    """The watcher leans on it: where one of many containers changed, it asks about that one."""
    wanted = by_name(case.specs(case.apps))
    for app in case.apps:
        alone = {name: spec for name, spec in by_name(case.specs([app])).items() if spec.host}
        beside = {name: spec for name, spec in wanted.items() if spec.host == app.name}
        assert alone == beside, f"beside {app.name} it wants another thing when it is asked about that one alone"


def is_capped_as_it_is_told(case: Case) -> None:
    limits = {"memory": "77m", "cpus": 0.25, "pids": 33}
    for spec in case.specs(case.apps, case.entry(limits=limits)):
        assert (spec.caps.memory, spec.caps.cpus, spec.caps.pids) == (77 << 20, 0.25, 33), f"`{spec.name}` does not keep to `limits`"


def cannot_write_its_own_files(case: Case) -> None:
    said = case.settings.get("read_only") is False
    loose = [spec.name for spec in case.specs(case.apps) if not spec.read_only]
    assert said or not loose, f"the root is not read-only, and nobody said `read_only: false`: {listed(loose)}"


def is_started_as_it_is_told(case: Case) -> None:
    for spec in case.specs(case.apps, case.entry(restart="on-failure", give_up_after=3)):
        assert (spec.restart, spec.give_up_after) == ("on-failure", 3), f"`{spec.name}` does not keep to `restart` and `give_up_after`"


def names_are_its_own(case: Case) -> None:
    names = [spec.name for spec in case.specs(case.apps)]
    assert len(set(names)) == len(names), "two containers have one name"
    assert not {app.name for app in case.apps} & set(names), "it names an app container"


def faults_are_sentences(case: Case) -> None:
    with failing(), case.fenced.source.fence("in faults"):
        found = list(case.kind.faults(case.ops().sidekicks[NAME], case.apps))
    assert all(isinstance(each, str) and each and "\n" not in each for each in found), f"a fault is one line: {found!r}"


def renders_as_an_overlay_that_only_adds(case: Case) -> None:
    services = {app.name: app.service for app in case.apps}
    content = overlay.overlay(case.project, case.specs(case.apps), services).content
    assert content["services"].keys().isdisjoint(case.project.services), "the overlay changes a service"
    assert content.keys() <= {"services", "volumes", "networks", "secrets"}
    json.dumps(content)


def done_leaves_nothing_to_do(case: Case) -> None:
    """On the engine in memory, beside containers that run."""
    engine = FakeEngine()
    engine.up(case.project)
    before = engine.observe(case.project.name).apps
    failed = perform(engine, todo(case, engine), lambda _: None, lambda *_: None)
    assert not failed, f"the plan cannot be done: {failed[0]}"
    left = [str(action) for action in todo(case, engine)]
    assert not left, f"done, and there is still to do: {', '.join(left)}"
    assert engine.observe(case.project.name).apps == before, "an app container was touched"


def todo(case: Case, engine: FakeEngine) -> tuple[plan.Action, ...]:
    world = engine.observe(case.project.name)
    with failing():
        context = case.context(engine)
        woven = weave.weave(case.ops(), weave.present(world, context.stack), context, {case.name: case.fenced})
    actions = plan.plan(woven.specs, world, context.stack, OWNER)
    return plan.prepared(actions, engine.having(spec.image for spec in plan.attached(actions)))


ONCE: Mapping[str, Callable[[Case], None]] = {
    "has its parts": has_its_parts,
    "describes its settings": describes_its_settings,
    "names itself": names_itself,
}
EACH: Mapping[str, Callable[[Case], None]] = {
    "schema and reader agree": schema_takes_what_the_reader_takes,
    "attaches something": attaches_something,
    "says the same again": says_the_same_again,
    "looks at nothing else": looks_at_nothing_else,
    "changes nothing it is given": changes_nothing_it_is_given,
    "minds no order": minds_no_order,
    "looks beside one app at that app alone": looks_beside_one_app_at_that_app_alone,
    "is capped as it is told": is_capped_as_it_is_told,
    "cannot write its own files": cannot_write_its_own_files,
    "is started as it is told": is_started_as_it_is_told,
    "names are its own": names_are_its_own,
    "faults are sentences": faults_are_sentences,
    "renders as an overlay that only adds": renders_as_an_overlay_that_only_adds,
    "done leaves nothing to do": done_leaves_nothing_to_do,
}


def by_name(specs: Iterable[Spec]) -> dict[str, Spec]:
    return {spec.name: replace(spec, why="") for spec in specs}


# ---- what is not pure ----

ACTS = ("open", "socket.", "subprocess.", "os.", "shutil.", "tempfile.", "sqlite3.", "ctypes.", "pathlib.")
WATCHING: list[list[str]] = []


def heard(event: str, _: object) -> None:
    if WATCHING and event.startswith(ACTS):
        WATCHING[-1].append(event)


@contextmanager
def watched() -> Iterator[list[str]]:
    """What Python's own audit hears meanwhile of files, sockets and processes. A hook cannot be taken away again, so there is one."""
    if heard not in HOOKED:
        sys.addaudithook(heard)
        HOOKED.append(heard)
    WATCHING.append([])
    try:
        yield WATCHING[-1]
    finally:
        WATCHING.pop()


HOOKED: list[object] = []
