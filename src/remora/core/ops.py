"""The ops file: which sidekicks there are, which environment attaches them, and what may differ there.

The text becomes values here, strictly: whatever does not fit is refused with its line. The kinds come as an argument,
so that this room does not know them.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from remora.core.document import Document, Path, Strict, parse
from remora.core.project import Project
from remora.core.selector import Selector, image_matches
from remora.core.units import Size
from remora.errors import RemoraError, choices

ONE_OR_MANY = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
PAIRS = {"anyOf": [*ONE_OR_MANY["anyOf"], {"type": "object", "additionalProperties": {"type": ["string", "null"]}}]}
PORTS = {"anyOf": [{"type": ["integer", "string"]}, {"type": "array", "items": {"type": ["integer", "string"]}}]}


def many(value: object) -> object:
    """One thing written bare is a list of one."""
    return value if value is None else tuple(value) if isinstance(value, (list, tuple)) else (value,)


def pairs(value: object) -> object:
    """`{KEY: value}` as `KEY=value`, `{KEY: null}` as `KEY`."""
    if isinstance(value, dict):
        return tuple(key if each is None else f"{key}={each}" for key, each in value.items())
    return many(value)


def texts(value: object) -> object:
    """Port numbers as text, for they may be ranges."""
    return tuple(str(each) if isinstance(each, int) else each for each in many(value) or ())  # type: ignore[attr-defined]


Many = Annotated[tuple[str, ...], BeforeValidator(many), WithJsonSchema(ONE_OR_MANY)]
Pairs = Annotated[tuple[str, ...], BeforeValidator(pairs), WithJsonSchema(PAIRS)]
Ports = Annotated[tuple[str, ...], BeforeValidator(texts), WithJsonSchema(PORTS)]


class Conditions(Strict):
    """Which app containers: every setting given must fit; of several values in one, any."""

    service: Many = Field((), description="service names or globs")
    label: Pairs = Field((), description="KEY, KEY=VALUE, or a mapping; globs")
    image: Many = Field((), description="image names, with or without registry and tag; globs")
    env: Pairs = Field((), description="KEY, KEY=VALUE, or a mapping; globs")
    port: Ports = Field((), description="a port the container exposes or publishes, or a range")
    name: Many = Field((), description="container names; globs")

    def selector(self) -> Selector:
        return Selector(self.service, self.label, self.image, self.env, self.port, self.name)


def conditions(value: object) -> object:
    """A bare string, or a list of them, names services."""
    return {"service": value} if isinstance(value, (str, list)) else value


def excepted(value: object) -> object:
    """What `except` takes away: service names, one mapping, or a list of either."""
    return tuple(conditions(each) for each in many(value) or ())  # type: ignore[attr-defined]


class Match(Conditions):
    """Conditions, and what `except` takes away again."""

    except_: Annotated[tuple[Conditions, ...], BeforeValidator(excepted)] = Field((), alias="except", description="not these")

    def selector(self) -> Selector:
        taken = tuple(each.selector() for each in self.except_)
        return Selector(self.service, self.label, self.image, self.env, self.port, self.name, taken)


class Limits(Strict):
    """What a container may use at most."""

    memory: Size | None = Field(None, description="bytes, or text such as 64m")
    cpus: float | None = Field(None, gt=0, description="processors, such as 0.5")
    pids: int | None = Field(None, gt=0, description="processes and threads")


def reference(value: object) -> object:
    """A secret is named, never written: `env:NAME` or `file:PATH`."""
    if isinstance(value, str) and re.fullmatch(r"env:[A-Za-z_]\w*|file:.+", value):
        return value
    raise ValueError("a secret is written out here; name it instead: `env:NAME` or `file:PATH`")


Reference = Annotated[str, BeforeValidator(reference), WithJsonSchema({"type": "string", "pattern": "^(env:[A-Za-z_]\\w*|file:.+)$"})]

SECRET_NAME = re.compile(r"pass(word|wd|phrase)?$|secret|token|credential|(api|private|access|auth|encryption)_?key$", re.I)


def no_secret(values: object) -> object:
    """Refuse a value that stands in clear under a name that says secret; a reference is welcome."""
    for key, value in values.items() if isinstance(values, dict) else ():
        if SECRET_NAME.search(str(key)) and value and not re.match(r"(env|file):", str(value)) and not str(key).endswith("_FILE"):
            raise ValueError(f"`{key}` looks like a secret written out; name it instead: `env:NAME`")
    return values


def scalars(values: object) -> object:
    """Env values as text: YAML's `8080` and `true` are what people write for them."""
    if not isinstance(values, dict):
        return values
    return {key: str(v).lower() if isinstance(v, bool) else str(v) if isinstance(v, (int, float)) else v for key, v in values.items()}


Env = Annotated[
    dict[str, str],
    BeforeValidator(scalars),
    BeforeValidator(no_secret),
    WithJsonSchema({"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}),
]


class Sidekick(Strict):
    """What every sidekick has, whatever its kind."""

    kind: str = Field(description="what it does: see `remora kinds`")
    for_: Annotated[Match, BeforeValidator(conditions)] = Field(
        alias="for", description="which app containers: a service name or glob, or conditions", json_schema_extra={}
    )
    limits: Limits = Field(Limits(), description="its caps; every sidekick has some")


class Differences(Strict):
    """How the containers of one service may differ in an environment from what the developers' file says."""

    environment: Env = Field({}, description="env values; of a secret write `env:NAME`")
    replicas: int | None = Field(None, ge=0, description="how many")
    ports: tuple[str, ...] | None = Field(None, description="published ports, instead of the file's: HOST:CONTAINER")
    limits: Limits = Field(Limits(), description="resource caps")
    restart: str | None = Field(None, pattern=r"^(no|always|unless-stopped|on-failure(:\d+)?)$", description="restart policy")
    drop_mounts: Many = Field((), description="development mounts to leave out, by their path in the container")
    image: str | None = Field(None, pattern=r"^[^@\s]+@sha256:[0-9a-f]{64}$", description="the image by digest: NAME@sha256:…")

    @property
    def any(self) -> bool:
        return self != Differences()


class Environment(Strict):
    """A name for which sidekicks are attached, and what may differ there."""

    attach: tuple[str, ...] = Field((), description="names of sidekicks")
    project: str | None = Field(None, pattern=r"^[a-z0-9][a-z0-9_-]*$", description="Compose project name of the stack there")
    services: dict[str, Differences] = Field({}, description="declared differences of app containers, by service")


THEIRS = {
    "command": "what it runs",
    "entrypoint": "what it runs",
    "user": "whom it runs as",
    "volumes": "an added mount",
    "tmpfs": "an added mount",
    "cap_add": "its capabilities",
    "cap_drop": "its capabilities",
    "privileged": "its privileges",
    "networks": "its networks",
    "network_mode": "its network",
    "build": "how it is built",
    "labels": "its labels",
    "healthcheck": "its health check",
    "depends_on": "its start order",
    "working_dir": "what it runs",
    "configs": "an added mount",
    "secrets": "an added mount",
}


@dataclass(frozen=True)
class Ops:
    """A valid ops file."""

    document: Document
    owner: str  # the file's own path: whose sidekicks these are
    stack: str | None
    environments: Mapping[str, Environment]
    sidekicks: Mapping[str, Sidekick]

    def environment(self, name: str | None) -> str:
        """The environment called `name`, or the only one there is; raises RemoraError with the list."""
        if name is None and len(self.environments) == 1:
            return next(iter(self.environments))
        if name is None:
            raise RemoraError(
                f"{self.document.name}: which environment? {choices('', self.environments)}; say -e NAME or REMORA_ENVIRONMENT"
            )
        if name not in self.environments:
            raise self.document.fault(("environments",), f"no environment `{name}`; {choices(name, self.environments)}")
        return name

    def line(self, *path: str | int) -> str:
        """`remora.yaml:7`, for the reason that a plan gives."""
        return f"{self.document.name}:{self.document.line(path)}"


def read(text: str, name: str, owner: str, kinds: Mapping[str, type[Sidekick]]) -> Ops:
    """The ops file in `text`; `kinds` gives each kind's settings. Raises RemoraError for the first thing that is wrong."""
    document = parse(text, name)
    top(document)
    sidekicks = {key: sidekick(document, key, kinds) for key in mapping(document, ("sidekicks",))}
    environments = {key: environment(document, key) for key in mapping(document, ("environments",))}
    if not environments:
        raise document.fault(("environments",), "`environments` is missing or empty; name at least one, such as `prod`")
    for key, each in environments.items():
        known_sidekicks(document, key, each, sidekicks)
    return Ops(document, owner, document.data.get("stack"), environments, sidekicks)


TOP = ("stack", "environments", "sidekicks")


def top(document: Document) -> None:
    """Only the keys there are, and `stack` as text."""
    for key in document.data:
        if key not in TOP and not str(key).startswith("x-"):
            raise document.fault((key,), f"no such setting; {choices(str(key), TOP)}")
    if not isinstance(document.data.get("stack", ""), str):
        raise document.fault(("stack",), 'must be text: a Compose project name, or "*" for every container of the engine')


def mapping(document: Document, path: Path) -> Iterable[str]:
    """The keys at `path`, which must be a mapping, or nothing."""
    found = document.data.get(path[0])
    if not isinstance(found, (dict, type(None))):
        raise document.fault(path, "must be a mapping")
    for key in found or {}:
        if not isinstance(key, str) or not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*", key):
            raise document.fault((*path, key), "a name is made of letters, digits, `-`, `_` and `.`, and is text")
    return list(found or {})


def sidekick(document: Document, name: str, kinds: Mapping[str, type[Sidekick]]) -> Sidekick:
    path: Path = ("sidekicks", name)
    entry = document.plain(path)
    if not isinstance(entry, dict):
        raise document.fault(path, "must be a mapping with `kind` and `for`")
    if "kind" not in entry:
        raise document.fault(path, f"`kind` is missing; {choices('', kinds)}")
    if entry["kind"] not in kinds:
        raise document.fault((*path, "kind"), f"no kind `{entry['kind']}`; {choices(str(entry['kind']), kinds)}")
    return document.decode(kinds[entry["kind"]], path)


def environment(document: Document, name: str) -> Environment:
    path: Path = ("environments", name)
    entry = document.plain(path)
    if entry is None:
        return Environment()
    for service, wanted in (entry.get("services") or {}).items() if isinstance(entry, dict) else ():
        for key in THEIRS.keys() & (wanted.keys() if isinstance(wanted, dict) else ()):
            words = f"`{key}` is the developers' side ({THEIRS[key]}): it makes another container of it; change it in their file"
            raise document.fault((*path, "services", service, key), words)
    return document.decode(Environment, path)


def known_sidekicks(document: Document, name: str, environment: Environment, sidekicks: Iterable[str]) -> None:
    for index, key in enumerate(environment.attach):
        place: Path = ("environments", name, "attach", index)
        if key not in sidekicks:
            raise document.fault(place, f"no sidekick `{key}`; {choices(key, sidekicks)}")
        if key in environment.attach[:index]:
            raise document.fault(place, f"`{key}` stands here twice; keep one")


def check(ops: Ops, project: Project) -> None:
    """Hold the ops file against the stack: every service it names must be there. Raises RemoraError with the line."""
    for name, each in ops.sidekicks.items():
        match_known(ops.document, ("sidekicks", name, "for"), each.for_, project)
    for name, place in ops.environments.items():
        for key, wanted in place.services.items():
            differences_known(ops.document, ("environments", name, "services", key), wanted, project)


def match_known(document: Document, path: Path, match: Conditions, project: Project) -> None:
    """A service or image pattern that fits nothing in the stack can match nothing, ever."""
    for pattern in match.service:
        if not fnmatch.filter(project.services, pattern):
            raise document.fault(path, f"no service `{pattern}`; {choices(pattern, project.services)}")
    images = {service.image for service in project.services.values()}
    for pattern in match.image:
        if not any(image_matches(pattern, image) for image in images):
            raise document.fault(path, f"no service runs an image `{pattern}`; {choices(pattern, images)}")
    for taken in getattr(match, "except_", ()):
        match_known(document, (*path, "except"), taken, project)


def differences_known(document: Document, path: Path, wanted: Differences, project: Project) -> None:
    name = str(path[-1])
    if name not in project.services:
        raise document.fault(path, f"no service `{name}`; {choices(name, project.services)}")
    targets = {mount.target for mount in project.services[name].mounts}
    for target in wanted.drop_mounts:
        if target not in targets:
            raise document.fault((*path, "drop_mounts"), f"`{name}` has no mount at `{target}`; {choices(target, targets)}")


def schema(kinds: Mapping[str, type[Sidekick]]) -> dict[str, Any]:
    """The JSON Schema (2020-12) of the ops file, from the same types that read it."""
    from pydantic.json_schema import models_json_schema

    models: list[type[Strict]] = [Environment, *kinds.values()]
    refs, defs = models_json_schema([(model, "validation") for model in models], ref_template="#/$defs/{model}")
    branches = [{"if": {"properties": {"kind": {"const": name}}}, "then": refs[(model, "validation")]} for name, model in kinds.items()]
    sidekick = {"type": "object", "required": ["kind", "for"], "properties": {"kind": {"enum": list(kinds)}}, "allOf": branches}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "remora.yaml",
        "type": "object",
        "required": ["environments"],
        "additionalProperties": False,
        "patternProperties": {"^x-": {}},
        "properties": {
            "stack": {"type": "string", "description": "Compose project name, or * for every container; without it, the compose file's"},
            "environments": {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": {"anyOf": [refs[(Environment, "validation")], {"type": "null"}]},
            },
            "sidekicks": {"type": "object", "additionalProperties": sidekick},
        },
        "$defs": defs["$defs"],
    }
