"""Kinds of others: what installed packages name in the entry point group `remora.kinds`, each behind a fence.

Nobody pays for a plug-in that no ops file names: it is looked for only where a kind is not built in, and loaded only then. Whatever one
raises, or gives that is no sidekick, becomes one sentence that names it; the other sidekicks know nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from remora.core.kind import Failed, Kind, Unwoven
from remora.core.ops import LEAST_MEMORY, Sidekick
from remora.core.sidekick import App, Context, Spec
from remora.errors import counted
from remora.sidekicks import KINDS

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "remora.kinds"
PARTS = ("NAME", "SUMMARY", "Settings", "specs", "faults")
MANY = 100  # containers beside one app container, which no sidekick can mean
LONG = 200  # letters of an error


@dataclass(frozen=True)
class Source:
    """Where a plug-in comes from."""

    name: str
    distribution: str

    def __str__(self) -> str:
        return f"the plug-in `{self.name}` of {self.distribution}"

    @contextmanager
    def fence(self, doing: str, *passes: type[Exception]) -> Iterator[None]:
        """What a plug-in raises in here is its own fault, and named."""
        try:
            yield
        except (Exception, SystemExit) as error:
            if isinstance(error, (Failed, *passes)):
                raise
            raise Failed(f"{self} raised {said(error)} {doing}") from error


def said(error: BaseException) -> str:
    """An exception on one line."""
    words = " ".join(str(error).split())
    return f"{type(error).__name__}{f' ({words[:LONG]})' if words else ''}"


def source(point: EntryPoint) -> Source:
    return Source(point.name, f"{point.dist.name} {point.dist.version}" if point.dist else "no distribution")


class Fenced:
    """A plug-in's kind, as a kind that raises nothing but Unwoven, and gives nothing but sound specs."""

    def __init__(self, source: Source, kind: Any) -> None:
        self.source, self.kind = source, kind
        with source.fence("where its parts are read"):
            missing = [part for part in PARTS if not hasattr(kind, part)]
            if missing:
                raise Failed(f"{source} has no `{'`, no `'.join(missing)}`")
            if source.name != kind.NAME:
                raise Failed(f"{source} calls itself `{kind.NAME}`: NAME and the name of the entry point must be one")
            if not isinstance(kind.Settings, type) or not issubclass(kind.Settings, Sidekick):
                raise Failed(f"{source} has Settings that are no remora.core.ops.Sidekick")
            self.NAME, self.SUMMARY = str(kind.NAME), str(kind.SUMMARY)
            self.Settings: type[Sidekick] = fenced(source, kind.Settings)

    def specs(self, name: str, settings: Any, apps: Sequence[App], context: Context) -> Iterable[Spec]:
        """Its specs, each looked at."""
        most = MANY * (len(apps) + 1)
        with self.source.fence("in specs", Unwoven):
            found = list(islice(self.kind.specs(name, settings, copied(apps), own(context)), most))
        if len(found) == most:
            raise Failed(f"{self.source} asks for more than {counted(most - 1, 'container')} beside {counted(len(apps), 'app container')}")
        sound = [self.sound(each, name, apps, context) for each in found]
        for number, spec in enumerate(sound):
            if spec.name in [each.name for each in sound[:number]]:
                raise Failed(f"{self.source} names two containers `{spec.name}`")
        return sound

    def faults(self, settings: Any, apps: Sequence[App]) -> Iterable[str]:
        """Its sentences."""
        with self.source.fence("in faults"):
            return [str(each) for each in self.kind.faults(settings, copied(apps))]

    def sound(self, found: object, name: str, apps: Sequence[App], context: Context) -> Spec:
        """`found` where it is a spec that this sidekick may ask for; raises Failed."""
        if not isinstance(found, Spec):
            raise Failed(f"{self.source} gives a {type(found).__name__} where a Spec belongs")
        try:
            spec = checked(found)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise Failed(f"{self.source} gives a Spec whose `{first['loc'][0]}` is wrong: {first['msg']}") from error
        for rule in RULES:
            if words := rule(spec, Asked(name, self.NAME, apps, context)):
                raise Failed(f"{self.source} {words}")
        return spec


def fenced(source: Source, model: type[Sidekick]) -> type[Sidekick]:
    """The settings of a plug-in, which raise nothing of their own when they are read."""

    def read(cls: type[Sidekick], *given: Any, **more: Any) -> Any:
        with source.fence("where its settings are read", ValidationError):
            return super(made, cls).model_validate_json(*given, **more)

    about = {"__module__": model.__module__, "__qualname__": model.__qualname__, "__doc__": model.__doc__}
    made: type[Sidekick] = type(model.__name__, (model,), {**about, "model_validate_json": classmethod(read)})
    return made


def checked(spec: Spec) -> Spec:
    """A spec whose every field is of its type: lists are taken for tuples. Raises ValidationError."""
    return shape().validate_python(asdict(spec))


@cache
def shape() -> TypeAdapter[Spec]:
    return TypeAdapter(Spec)


def copied(apps: Sequence[App]) -> tuple[App, ...]:
    """App containers of its own, so that a plug-in cannot change what others see of them."""
    return tuple(replace(app, labels=dict(app.labels), env=dict(app.env)) for app in apps)


def own(context: Context) -> Context:
    return replace(context, images=dict(context.images), volumes=dict(context.volumes))


# ---- what a spec may be ----


@dataclass(frozen=True)
class Asked:
    """What a plug-in was asked for."""

    sidekick: str
    kind: str
    apps: Sequence[App]
    context: Context


def whose(spec: Spec, asked: Asked) -> str:
    context = asked.context
    ours = {
        "stack": context.stack,
        "environment": context.environment,
        "owner": context.owner,
        "sidekick": asked.sidekick,
        "kind": asked.kind,
    }
    wrong = next((key for key, value in ours.items() if getattr(spec, key) != value), "")
    return f"gives a Spec for the {wrong} `{getattr(spec, wrong)}`, and was asked for `{ours[wrong]}`" if wrong else ""


def place(spec: Spec, asked: Asked) -> str:
    known = {("", ""), *((app.name, app.id) for app in asked.apps)}
    if (spec.host, spec.parent) not in known:
        return f"attaches to `{spec.host or spec.parent}`, for which it was not asked"
    return "shares walls without an app container" if spec.walls and not spec.host else ""


def name(spec: Spec, asked: Asked) -> str:
    base = spec.host or asked.context.slug
    right = ".".join(part for part in (base, asked.sidekick, spec.role) if part)
    return "" if spec.name == right else f"names a container `{spec.name}`, which must be `{right}`"


def caps(spec: Spec, asked: Asked) -> str:
    least = {"memory": LEAST_MEMORY, "cpus": 0.01, "pids": 1}
    missing = next((key for key, value in least.items() if not value <= getattr(spec.caps, key) < float("inf")), "")
    return f"gives `{spec.name}` no cap of {missing}: it must be at least {least[missing]}" if missing else ""


def rights(spec: Spec, asked: Asked) -> str:
    return f"gives `{spec.name}` all capabilities at once" if {"ALL", "CAP_ALL"} & set(spec.cap_add) else ""


def image(spec: Spec, asked: Asked) -> str:
    if not spec.image:
        return f"gives `{spec.name}` no image"
    return f"builds on the recipe `{spec.recipe}`, which there is not" if spec.recipe and spec.recipe not in asked.context.images else ""


RULES: tuple[Callable[[Spec, Asked], str], ...] = (whose, place, name, caps, rights, image)


# ---- the catalogue ----


def installed() -> Sequence[EntryPoint]:
    """What the packages beside us name."""
    from importlib.metadata import entry_points

    return tuple(entry_points(group=GROUP))


class Catalogue(Mapping[str, Kind]):
    """All kinds there are, those of plug-ins loaded when they are asked for. `points` looks for plug-ins."""

    def __init__(self, built_in: Mapping[str, Kind] = KINDS, points: Callable[[], Sequence[EntryPoint]] = installed) -> None:
        self.built_in, self.points = built_in, points
        self.loaded: dict[str, Fenced] = {}

    def __getitem__(self, name: str) -> Kind:
        """Raises KeyError where there is none of that name, Failed where a plug-in cannot be used."""
        if name in self.built_in:
            return self.built_in[name]
        if name not in self.loaded:
            self.loaded[name] = load(name, [point for point in self.points() if point.name == name])
        return self.loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({*self.built_in, *(point.name for point in self.points())}))

    def __len__(self) -> int:
        return len(list(iter(self)))

    @property
    def settings(self) -> Mapping[str, type[Sidekick]]:
        """Each kind's settings, as the ops file's reader wants them."""
        return Settings(self)

    def sound(self) -> tuple[dict[str, Kind], list[str]]:
        """All that can be used, loaded, and a sentence for each plug-in that cannot."""
        found: dict[str, Kind] = {}
        faults = [
            f"{source(point)} is not used: there is a built-in kind of that name" for point in self.points() if point.name in self.built_in
        ]
        for each in self:
            try:
                found[each] = self[each]
                self.described(found[each])
            except Failed as error:
                found.pop(each, None)
                faults.append(str(error))
        return found, faults

    def origin(self, name: str) -> str:
        """Which package has a kind that was loaded."""
        return "remora" if name in self.built_in else self.loaded[name].source.distribution

    def described(self, kind: Kind) -> None:
        """Raises Failed for settings that have no schema."""
        if isinstance(kind, Fenced):
            with kind.source.fence("where its settings are described"):
                kind.Settings.model_json_schema()


class Settings(Mapping[str, type[Sidekick]]):
    """The settings of each kind of a catalogue."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue

    def __getitem__(self, name: str) -> type[Sidekick]:
        return self.catalogue[name].Settings

    def __iter__(self) -> Iterator[str]:
        return iter(self.catalogue)

    def __len__(self) -> int:
        return len(self.catalogue)


def load(name: str, points: Sequence[EntryPoint]) -> Fenced:
    """The one plug-in of that name. Raises KeyError where there is none, Failed where there are two, or one that cannot be used."""
    if not points:
        raise KeyError(name)
    if len(points) > 1:
        whose = " and ".join(sorted(source(point).distribution for point in points))
        raise Failed(f"several plug-ins are called `{name}`, those of {whose}; uninstall all but one")
    found = source(points[0])
    with found.fence("when it was loaded"):
        kind = points[0].load()
    return Fenced(found, kind)


CATALOGUE = Catalogue()
