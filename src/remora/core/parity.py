"""Parity: is the app container of one environment the one of the other?

Both sides become facts, in one form whether they come from the files or from a running container, and every difference
is held against what the environments declare.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from remora.core.ops import SECRET_NAME, Differences
from remora.core.project import Project, Service, words
from remora.core.selector import variables
from remora.core.units import size, sized

Facts = Mapping[str, str]
HIDDEN = "(hidden)"  # an env value that may be a secret
UNKNOWN = "unknown: the image is not on this engine"


@dataclass(frozen=True)
class Side:
    """One environment: facts of each service as the files say, and as they are where its containers run."""

    environment: str
    expected: Mapping[str, Facts]
    actual: Mapping[str, Facts] = field(default_factory=dict)  # empty: only the files are known
    source: str = "the files"
    hidden: Mapping[str, Collection[str]] = field(default_factory=dict)  # by service, facts that an `env:` reference makes a secret

    def shown(self, service: str, fact: str, value: str) -> str:
        """A value as it may be seen."""
        return HIDDEN if fact in self.hidden.get(service, ()) and value != "-" else masked(fact, value)

    def of(self, service: str) -> Facts:
        return self.actual.get(service) or self.expected.get(service) or {}


@dataclass(frozen=True)
class Difference:
    """One fact that differs, and whether the ops file says that it may."""

    service: str
    fact: str
    a: str
    b: str
    declared: bool
    why: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def compare(a: Side, b: Side, allowed: Mapping[str, Mapping[str, str]]) -> tuple[Difference, ...]:
    """Every difference of two sides. `allowed` has, by service, each fact that may differ and the line that says so."""
    return tuple(
        row
        for service in sorted(set(a.expected) | set(b.expected) | set(a.actual) | set(b.actual))
        for row in service_rows(service, a, b, allowed)
    )


def service_rows(service: str, a: Side, b: Side, allowed: Mapping[str, Mapping[str, str]]) -> Iterator[Difference]:
    left, right = a.of(service), b.of(service)
    if not left or not right:
        yield Difference(service, "service", "there" if left else "missing", "there" if right else "missing", False)
        return
    for fact in sorted(set(left) | set(right)):
        yield from fact_rows(service, fact, a, b, allowed.get(service, {}).get(fact, ""))


def fact_rows(service: str, fact: str, a: Side, b: Side, line: str) -> Iterator[Difference]:
    left, right = a.of(service).get(fact, "-"), b.of(service).get(fact, "-")
    drifted = [side for side in (a, b) if strayed(side, service, fact)]
    if not drifted and (left == right or (HIDDEN in (left, right) and "-" not in (left, right))):
        return
    strays = "; ".join(
        f"{side.environment} runs otherwise than its files say ({side.shown(service, fact, side.expected[service].get(fact, '-'))})"
        for side in drifted
    )
    yield Difference(service, fact, a.shown(service, fact, left), b.shown(service, fact, right), bool(line) and not drifted, strays or line)


def strayed(side: Side, service: str, fact: str) -> bool:
    """Whether a running container is not what the files make of it."""
    actual, expected = side.actual.get(service), side.expected.get(service)
    if not actual or not expected or expected.get(fact) == UNKNOWN:
        return False
    return actual.get(fact, "-") != expected.get(fact, "-")


def masked(fact: str, value: str) -> str:
    """An env value that may be a secret is not shown."""
    secret = fact.startswith("env ") and (SECRET_NAME.search(fact) or re.search(r"://[^/\s]*:[^@/\s]*@", value))
    return HIDDEN if secret and value != "-" else value


def allowed(differences: Mapping[str, Differences], line: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The facts that an environment declares different, by service, with the line in `line`."""
    return {name: dict.fromkeys(declared(each), line[name]) for name, each in differences.items()}


def hidden(differences: Mapping[str, Differences]) -> dict[str, tuple[str, ...]]:
    """The facts that an environment takes from references, by service."""
    return {
        name: tuple(f"env {key}" for key, value in each.environment.items() if value.startswith("env:"))
        for name, each in differences.items()
    }


def declared(each: Differences) -> list[str]:
    facts = [f"env {key}" for key in each.environment] + [f"mount {target}" for target in each.drop_mounts]
    simple = {"replicas": each.replicas, "ports": each.ports, "restart": each.restart, "image": each.image}
    return (
        facts
        + [key for key, value in simple.items() if value is not None]
        + [key for key in ("memory", "cpus", "pids") if getattr(each.limits, key)]
    )


@dataclass(frozen=True)
class Image:
    """What an image brings along: content as its diff ids, and runtime configuration as the engine gives it."""

    layers: tuple[str, ...] | None = None
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """A short name of the content that is the same in every store."""
        import hashlib

        return UNKNOWN if self.layers is None else "content " + hashlib.sha256("".join(self.layers).encode()).hexdigest()[:12]


def from_files(project: Project, images: Mapping[str, Image]) -> dict[str, Facts]:
    """The facts of every service as Compose will make it: `project` with the declared differences in."""
    return {name: service_facts(project, service, images.get(service.image, Image())) for name, service in project.services.items()}


def service_facts(project: Project, service: Service, image: Image) -> Facts:
    config = service.config
    limits = ((config.get("deploy") or {}).get("resources") or {}).get("limits") or {}
    known = image.layers is not None
    cpus = float(limits.get("cpus") or config.get("cpus") or 0)
    return {
        "image": image.identity,
        "command": command(words(config.get("entrypoint")), words(config.get("command")), image.config) if known else UNKNOWN,
        "user": user(config.get("user") or image.config.get("User")) if known or config.get("user") else UNKNOWN,
        "working_dir": (config.get("working_dir") or image.config.get("WorkingDir") or "/") if known else UNKNOWN,
        "networks": listed(config.get("networks") or {}) if "network_mode" not in config else str(config["network_mode"]),
        "capabilities": capabilities(config.get("cap_add"), config.get("cap_drop"), config.get("privileged")),
        "read_only": str(bool(config.get("read_only"))).lower(),
        "ports": listed(published(port) for port in config.get("ports") or []),
        "replicas": str(service.replicas),
        "memory": amount(limits.get("memory") or config.get("mem_limit")),
        "cpus": f"{cpus:g}" if cpus else "no limit",
        "pids": pids(limits.get("pids") or config.get("pids_limit")),
        "restart": restart(config.get("restart")),
        "hosts": listed(host(each) for each in config.get("extra_hosts") or []),
        "security": listed(config.get("security_opt") or []),
        "health check": health(config.get("healthcheck"), image.config.get("Healthcheck")),
        **env({**pairs(image.config.get("Env")), **service.env}),
        **{f"mount {m.target}": role(project, m.type, m.source, m.read_only) for m in service.mounts},
    }


def from_containers(project: Project, found: Mapping[str, Sequence[tuple[Mapping[str, Any], Image]]]) -> dict[str, Facts]:
    """The facts of every service with running containers; replicas that differ among themselves are shown as such."""
    facts: dict[str, Facts] = {}
    for service, containers in found.items():
        each = [container_facts(project, raw, image) for raw, image in containers]
        keys = {key for one in each for key in one}
        facts[service] = {key: " | ".join(sorted({one.get(key, "-") for one in each})) for key in keys} | {"replicas": str(len(each))}
    return facts


def container_facts(project: Project, raw: Mapping[str, Any], image: Image) -> Facts:
    """The facts of one inspected container."""
    config, host_config = raw["Config"], raw["HostConfig"]
    tmpfs = {f"mount {path}": role(project, "tmpfs", "", False) for path in host_config.get("Tmpfs") or {}}
    cpus = (host_config.get("NanoCpus") or 0) / 1e9
    return {
        "image": image.identity,
        "command": " ".join([*(config.get("Entrypoint") or []), *(config.get("Cmd") or [])]),
        "user": user(config.get("User")),
        "working_dir": config.get("WorkingDir") or "/",
        "networks": networks(project, raw),
        "capabilities": capabilities(host_config.get("CapAdd"), host_config.get("CapDrop"), host_config.get("Privileged")),
        "read_only": str(bool(host_config.get("ReadonlyRootfs"))).lower(),
        "ports": listed(bindings(host_config.get("PortBindings") or {})),
        "memory": amount(host_config.get("Memory")),
        "cpus": f"{cpus:g}" if cpus else "no limit",
        "pids": pids(host_config.get("PidsLimit")),
        "restart": restart(policy(host_config.get("RestartPolicy") or {})),
        "hosts": listed(host(each) for each in host_config.get("ExtraHosts") or []),
        "security": listed(host_config.get("SecurityOpt") or []),
        "health check": health(None, config.get("Healthcheck")),
        **env(pairs(config.get("Env"))),
        **{
            f"mount {m['Destination']}": role(project, m["Type"], m.get("Name") or m.get("Source", ""), not m.get("RW", True))
            for m in raw.get("Mounts") or []
        },
        **tmpfs,
    }


def command(entrypoint: tuple[str, ...] | None, args: tuple[str, ...] | None, image: Mapping[str, Any]) -> str:
    """What runs: an entrypoint of one's own makes the image's command void (Docker's rule)."""
    if entrypoint is None:
        entrypoint = tuple(image.get("Entrypoint") or ())
        args = tuple(image.get("Cmd") or ()) if args is None else args
    return " ".join([*entrypoint, *(args or ())])


def user(name: object) -> str:
    return str(name or "0")


def networks(project: Project, raw: Mapping[str, Any]) -> str:
    mode = raw["HostConfig"].get("NetworkMode", "")
    if mode in ("host", "none") or mode.startswith("container:"):
        return str(mode)
    names = {(each or {}).get("name", key): key for key, each in (project.config.get("networks") or {}).items()}
    return listed(names.get(name, name) for name in raw["NetworkSettings"].get("Networks") or {})


def role(project: Project, kind: str, source: str, read_only: bool) -> str:
    """What a mount is for, without where it lies: volumes by the file's own name, binds as such."""
    keys = {name: key for key, name in project.volumes.items()}
    if kind == "volume":
        source = keys.get(source, "anonymous" if not source or re.fullmatch(r"[0-9a-f]{64}", source) else source)
    return f"{kind} {source} {'ro' if read_only else 'rw'}".replace("  ", " ")


def env(values: Mapping[str, str]) -> dict[str, str]:
    return {f"env {key}": value for key, value in values.items()}


def pairs(given: Sequence[str] | None) -> dict[str, str]:
    return variables(given or ())


def listed(items: Any) -> str:
    return ", ".join(sorted(str(item) for item in items)) or "none"


def capabilities(add: Sequence[str] | None, drop: Sequence[str] | None, privileged: object) -> str:
    if privileged:
        return "privileged"
    bare = [f"+{name.removeprefix('CAP_')}" for name in add or []] + [f"-{name.removeprefix('CAP_')}" for name in drop or []]
    return listed(bare)


def published(port: Mapping[str, Any]) -> str:
    address = f"{port['host_ip']}:" if port.get("host_ip") else ""
    return f"{address}{port.get('published', 'any')}→{port['target']}/{port.get('protocol', 'tcp')}"


def bindings(given: Mapping[str, Any]) -> Iterator[str]:
    for port, hosts in given.items():
        for each in hosts or []:
            target, _, protocol = port.partition("/")
            yield published(
                {"host_ip": each.get("HostIp"), "published": each.get("HostPort") or "any", "target": target, "protocol": protocol}
            )


def amount(memory: object) -> str:
    """Bytes, or text as Compose has it, for people."""
    text = str(memory or 0)
    return "no limit" if text == "0" else sized(int(text) if text.isdigit() else size(text))


def pids(limit: object) -> str:
    return str(limit) if limit and int(str(limit)) > 0 else "no limit"


def restart(name: object) -> str:
    return str(name or "no")


def policy(given: Mapping[str, Any]) -> str:
    count = given.get("MaximumRetryCount")
    return f"{given.get('Name')}:{count}" if count else str(given.get("Name") or "no")


def host(entry: str) -> str:
    """`name:ip` and `name=ip` are the same."""
    return entry.replace("=", ":", 1)


def health(own: Mapping[str, Any] | None, engine: Mapping[str, Any] | None) -> str:
    """The test of a health check; Compose's form and the engine's have it alike."""
    if own and own.get("disable"):
        return "NONE"
    test = (own or {}).get("test") or (engine or {}).get("Test") or []
    return " ".join([test] if isinstance(test, str) else test) or "none"
