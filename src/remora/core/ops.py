"""The ops file: which sidekicks there are, which environment attaches them, and what may differ there.

The text becomes values here, strictly: whatever does not fit is refused with its line. The kinds come as an argument,
so that this room does not know them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema

from remora.core.document import Bare, Document, Fits, Path, Short, Strict, Wrong, parse
from remora.core.kind import Failed
from remora.core.selector import Selector
from remora.core.units import Size
from remora.errors import RemoraError, choices

if TYPE_CHECKING:
    from remora.core.hook import Hook

TEXT: dict[str, Any] = {"type": "string"}
TEXTS: dict[str, Any] = {"type": "array", "items": TEXT}
SOME: dict[str, Any] = {**TEXTS, "minItems": 1}
PAIRS: dict[str, Any] = {"type": "object", "minProperties": 1, "additionalProperties": {"type": ["string", "number", "boolean", "null"]}}
PORT: dict[str, Any] = {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 65535}, {"type": "string", "pattern": r"^\d+(-\d+)?$"}]}


def many(value: object) -> tuple[object, ...]:
    """One thing written bare is a list of one."""
    if value is None:
        raise Wrong("nothing stands here; write one, or a list")
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


def some(value: object) -> tuple[object, ...]:
    """`many`, and at least one."""
    found = many(value)
    if not found:
        raise Wrong("the list is empty; write at least one")
    return found


def pairs(value: object) -> tuple[object, ...]:
    """`{KEY: value}` as `KEY=value`, `{KEY: null}` as `KEY`."""
    return some(
        [key if each is None else f"{key}={scalar(each, key)}" for key, each in value.items()] if isinstance(value, dict) else value
    )


def scalar(value: object, key: str) -> str:
    """A value as text: YAML's `8080` and `true` are what people write for them."""
    match value:
        case bool():
            return str(value).lower()
        case str() | int() | float():
            return str(value)
        case None:
            raise Wrong('must be text, and nothing stands here; write "" for empty text', key)
    raise Wrong("must be text, a number, or true or false", key)


def ports(value: object) -> tuple[object, ...]:
    """Ports as text, for they may be ranges."""
    return tuple(port(each, place) for place, each in enumerate(some(value)))


def port(value: object, place: int) -> str:
    text = str(value)
    first, _, last = text.partition("-")
    if re.fullmatch(r"[0-9]+(-[0-9]+)?", text) and 0 < int(first) <= int(last or first) < 65536:
        return text
    raise Wrong("must be a port, or a range such as 8000-8100", place)


Many = Annotated[tuple[str, ...], BeforeValidator(many), WithJsonSchema({"anyOf": [TEXT, TEXTS]})]
Some = Annotated[tuple[str, ...], BeforeValidator(some), WithJsonSchema({"anyOf": [TEXT, SOME]})]
Pairs = Annotated[tuple[str, ...], BeforeValidator(pairs), WithJsonSchema({"anyOf": [TEXT, SOME, PAIRS]})]
Ports = Annotated[
    tuple[str, ...], BeforeValidator(ports), WithJsonSchema({"anyOf": [*PORT["anyOf"], {"type": "array", "items": PORT, "minItems": 1}]})
]


class Conditions(Strict):
    """Which app containers: every setting given must fit; of several values in one, any."""

    service: Some = Field((), description="service names or globs")
    label: Pairs = Field((), description="KEY, KEY=VALUE, or a mapping; globs")
    image: Some = Field((), description="image names, with or without registry and tag; globs")
    env: Pairs = Field((), description="KEY, KEY=VALUE, or a mapping; globs")
    port: Ports = Field((), description="a port the container exposes or publishes, or a range")
    name: Some = Field((), description="container names; globs")

    def selector(self) -> Selector:
        return Selector(self.service, self.label, self.image, self.env, self.port, self.name)


def conditions(value: object) -> object:
    """A bare string, or a list of them, names services."""
    if isinstance(value, dict):
        return value
    if isinstance(value, (str, list)):
        return {"service": value}
    raise Wrong("must be a service name or glob, a list of them, or a mapping of conditions")


Taken = Annotated[Conditions, Short(conditions, (TEXT, SOME))]


class Match(Conditions):
    """Conditions, and what `except` takes away again."""

    except_: Annotated[tuple[Taken, ...], Bare()] = Field((), alias="except", description="not these")

    def selector(self) -> Selector:
        taken = tuple(each.selector() for each in self.except_)
        return Selector(self.service, self.label, self.image, self.env, self.port, self.name, taken)


LEAST_MEMORY = 6 << 20  # the engine takes no less


def enough(memory: int) -> int:
    if memory < LEAST_MEMORY:
        raise Wrong("must be at least 6m: the engine takes no less")
    return memory


class Limits(Strict):
    """What a container may use at most."""

    memory: Annotated[Size, AfterValidator(enough)] | None = Field(None, description="bytes, or text such as 64m")
    cpus: float | None = Field(None, ge=0.01, allow_inf_nan=False, description="processors, such as 0.5")
    pids: int | None = Field(None, gt=0, description="processes and threads")


REFERENCE = r"env:[A-Za-z_]\w*|file:.+"
Reference = Annotated[str, Fits(REFERENCE, "must name where the secret is, `env:NAME` or `file:PATH`; the secret itself never stands here")]

Network = Annotated[str, Fits(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*", "must be the name of a network of the engine, or `none`")]

VARIABLE = re.compile(r"env:[A-Za-z_]\w*")
SECRET_NAME = re.compile(r"pass(word|wd|phrase)?$|secret|token|credential|(api|private|access|auth|encryption)_?key$", re.I)


PASSWORD_IN_URL = re.compile(r"://[^/\s]*:[^@/\s]+@")


def secret(key: str, value: str) -> bool:
    """Whether a value stands in clear under a name that says secret, or holds a URL with a password."""
    named = SECRET_NAME.search(key) and value and not key.endswith("_FILE")
    return bool(named or PASSWORD_IN_URL.search(value))


def scalars(values: object) -> object:
    """Env values as text."""
    return {key: scalar(value, key) for key, value in values.items()} if isinstance(values, dict) else values


def differing(values: dict[str, str]) -> dict[str, str]:
    """Refuse a secret in clear, and what only looks like a reference; `env:NAME` is one."""
    for key, value in values.items():
        if value.startswith("env:") and not VARIABLE.fullmatch(value):
            raise Wrong("must name a variable behind `env:`, made of letters, digits and `_`", key)
        if not value.startswith("env:") and secret(key, value):
            raise Wrong("looks like a secret written out; name where it is: `env:NAME`", key)
    return values


def own(values: dict[str, str]) -> dict[str, str]:
    """Refuse secrets altogether: whoever may look at a container sees its env."""
    for key, value in values.items():
        if VARIABLE.fullmatch(value) or secret(key, value):
            raise Wrong("looks like a secret; a sidekick gets those as files: name it under `secrets`", key)
    return values


SCALARS = WithJsonSchema({"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}})
Env = Annotated[dict[str, str], BeforeValidator(scalars), AfterValidator(differing), SCALARS]
OwnEnv = Annotated[dict[str, str], BeforeValidator(scalars), AfterValidator(own), SCALARS]


class Sidekick(Strict):
    """What every sidekick has, whatever its kind."""

    kind: str = Field(description="what it does: see `remora kinds`")
    for_: Annotated[Match, Short(conditions, (TEXT, SOME))] = Field(
        alias="for", description="which app containers: a service name or glob, or conditions"
    )
    limits: Limits = Field(Limits(), description="its caps; every sidekick has some")
    restart: Literal["always", "on-failure", "no"] = Field("always", description="whether it is started again when it ends")
    give_up_after: int = Field(
        10, ge=0, description="`remora watch` leaves it alone when it ended this often within a minute, in a row; 0: never"
    )
    on_failure: Literal["warn", "page"] = Field("warn", description="how much its failure matters: `page` is for those who are to be woken")


class Anyhow(Sidekick):
    """A sidekick whose own settings nobody can read."""

    model_config = ConfigDict(extra="ignore")


Published = Annotated[
    str,
    Fits(
        r"((\d+\.\d+\.\d+\.\d+|\[[0-9a-fA-F:]+\]):)?(\d+(-\d+)?)?:\d+(-\d+)?(/(tcp|udp|sctp))?",
        'must be [ADDRESS:]HOST:CONTAINER in quotes, such as "8080:80"',
    ),
]
Restart = Annotated[
    str, Fits(r"no|always|unless-stopped|on-failure(:\d+)?", "must be `no`, `always`, `unless-stopped`, `on-failure` or `on-failure:TIMES`")
]
Digest = Annotated[str, Fits(r"[^@\s$]+@sha256:[0-9a-f]{64}", "must name the image by its digest: NAME@sha256:…")]
ProjectName = Annotated[
    str, Fits(r"[a-z0-9][a-z0-9_-]*", "must be a Compose project name: lower-case letters, digits, `-` and `_`, in quotes where all digits")
]


class Differences(Strict):
    """How the containers of one service may differ in an environment from what the developers' file says."""

    environment: Env = Field({}, description="env values; of a secret write `env:NAME`")
    replicas: int | None = Field(None, ge=0, description="how many")
    ports: tuple[Published, ...] | None = Field(None, description="published ports, instead of the file's: HOST:CONTAINER")
    limits: Limits = Field(Limits(), description="resource caps")
    restart: Restart | None = Field(None, description="restart policy")
    drop_mounts: Many = Field((), description="development mounts to leave out, by their path in the container")
    image: Digest | None = Field(None, description="the image by digest: NAME@sha256:…")

    @property
    def any(self) -> bool:
        return self != Differences()


class Environment(Strict):
    """A name for which sidekicks are attached, and what may differ there."""

    attach: tuple[str, ...] = Field((), description="names of sidekicks")
    project: ProjectName | None = Field(None, description="Compose project name of the stack there")
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
    "cgroup": "its privileges",
    "devices": "its privileges",
    "dns": "its network",
    "env_file": "its env; single values may differ under `environment`",
    "expose": "its network",
    "extra_hosts": "its network",
    "group_add": "whom it runs as",
    "hostname": "its network",
    "init": "what it runs",
    "ipc": "its privileges",
    "logging": "where it prints to",
    "pid": "its privileges",
    "platform": "what it runs",
    "pull_policy": "what it runs",
    "read_only": "its file tree",
    "security_opt": "its privileges",
    "shm_size": "its memory",
    "stop_grace_period": "how it ends",
    "stop_signal": "how it ends",
    "sysctls": "its privileges",
    "ulimits": "its privileges",
}

OURS = {
    "container_name": "nothing instead: sidekicks find it whatever its name",
    "cpus": "`limits: {cpus: …}`",
    "deploy": "`replicas` or `limits`",
    "env": "`environment`",
    "mem_limit": "`limits: {memory: …}`",
    "pids_limit": "`limits: {pids: …}`",
    "scale": "`replicas`",
}


@dataclass(frozen=True)
class Ops:
    """A valid ops file."""

    document: Document
    owner: str  # the file's own path: whose sidekicks these are
    stack: str | None
    environments: Mapping[str, Environment]
    sidekicks: Mapping[str, Sidekick]
    failed: Mapping[str, str] = field(default_factory=dict)  # sidekicks whose plug-in could not read them, and why
    on: tuple[Hook, ...] = ()

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
    failed: dict[str, str] = {}
    sidekicks = {key: sidekick(document, key, kinds, failed) for key in mapping(document, ("sidekicks",))}
    environments = {key: environment(document, key) for key in mapping(document, ("environments",))}
    if not environments:
        raise document.fault(("environments",), "missing or empty; name at least one, such as `prod`")
    for key, each in environments.items():
        known_sidekicks(document, key, each, sidekicks)
    return Ops(document, owner, document.data.get("stack"), environments, sidekicks, failed, hooks(document, sidekicks))


def hooks(document: Document, sidekicks: Mapping[str, Sidekick]) -> tuple[Hook, ...]:
    """What is to be done when something happens."""
    if document.data.get("on") is None:
        return ()
    from remora.core.hook import read

    return read(document, sidekicks)


NAME = r"[a-zA-Z0-9][a-zA-Z0-9_.-]*"
TOP = {
    "stack": "Compose project name of a stack that others run, or `*` for every container of the engine; without it, the compose file's",
    "environments": "names, and for each what is attached and what may differ there",
    "sidekicks": "names, and for each its kind, which app containers it is for, and its settings",
    "on": "a list of hooks: what `remora watch` does when something happens",
}


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
        if not isinstance(key, str) or not re.fullmatch(NAME, key):
            raise document.fault((*path, key), "a name is made of letters, digits, `-`, `_` and `.`, and is text")
    return list(found or {})


def sidekick(document: Document, name: str, kinds: Mapping[str, type[Sidekick]], failed: dict[str, str]) -> Sidekick:
    """One sidekick; of a plug-in that fails over it, what every sidekick has, and the reason in `failed`."""
    path: Path = ("sidekicks", name)
    entry = document.plain(path)
    if not isinstance(entry, dict):
        raise document.fault(path, "must be a mapping with `kind` and `for`")
    if "kind" not in entry:
        raise document.fault(path, f"`kind` is missing; {choices('', kinds)}")
    if not isinstance(entry["kind"], str):
        raise document.fault((*path, "kind"), f"must be text; {choices('', kinds)}")
    try:
        if entry["kind"] not in kinds:
            raise document.fault((*path, "kind"), f"no kind `{entry['kind']}`; {choices(str(entry['kind']), kinds)}")
        return document.decode(kinds[entry["kind"]], path)
    except Failed as error:
        failed[name] = str(error)
        return document.decode(Anyhow, path)


def environment(document: Document, name: str) -> Environment:
    path: Path = ("environments", name)
    entry = document.plain(path)
    if entry is None:
        return Environment()
    services = entry.get("services") if isinstance(entry, dict) else None
    for service, wanted in services.items() if isinstance(services, dict) else ():
        for key in wanted if isinstance(wanted, dict) else ():
            theirs((*path, "services", service, key), key, document)
    return document.decode(Environment, path)


def theirs(path: Path, key: str, document: Document) -> None:
    """Refuse what Compose knows and ops may not change, with the reason or the right word."""
    if key in THEIRS:
        raise document.fault(
            path, f"the developers' side ({THEIRS[key]}), so that it is the same container everywhere; change it in their file"
        )
    if key in OURS:
        raise document.fault(path, f"no such setting; write {OURS[key]}")


def known_sidekicks(document: Document, name: str, environment: Environment, sidekicks: Iterable[str]) -> None:
    for index, key in enumerate(environment.attach):
        place: Path = ("environments", name, "attach", index)
        if key not in sidekicks:
            raise document.fault(place, f"no sidekick `{key}`; {choices(key, sidekicks)}")
        if key in environment.attach[:index]:
            raise document.fault(place, f"`{key}` stands here twice; keep one")


def schema(kinds: Mapping[str, type[Sidekick]]) -> dict[str, Any]:
    """The JSON Schema (2020-12) of the ops file, from the same types that read it."""
    from pydantic.json_schema import models_json_schema

    from remora.core.hook import Hook

    models: list[type[Strict]] = [Environment, Hook, *kinds.values()]
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
            "stack": {"type": "string", "description": TOP["stack"]},
            "environments": {
                "description": TOP["environments"],
                "type": "object",
                "minProperties": 1,
                "propertyNames": {"pattern": f"^{NAME}$"},
                "additionalProperties": {"anyOf": [refs[(Environment, "validation")], {"type": "null"}]},
            },
            "sidekicks": {
                "description": TOP["sidekicks"],
                "type": "object",
                "propertyNames": {"pattern": f"^{NAME}$"},
                "additionalProperties": sidekick,
            },
            "on": {"description": TOP["on"], "type": ["array", "null"], "items": refs[(Hook, "validation")]},
        },
        "$defs": defs["$defs"],
    }
