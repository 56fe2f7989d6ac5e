"""The overlay: the wanted sidekicks as a Compose file that only adds services.

Compose's config hash of every app service stays what it was, so that nothing is recreated: a free proof of parity.
"""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from ruamel.yaml import YAML

from remora.core.project import Project
from remora.core.sidekick import SAME, Spec
from remora.core.world import Mount

HEAD = """\
# The sidekicks of `{stack}` in `{environment}`, as remora attaches them. It only adds services. Use it with the developers' file:
#   docker compose -f compose.yaml -f {file} up -d
"""


@dataclass(frozen=True)
class Overlay:
    """The rendered file's content, and what it cannot express."""

    content: Mapping[str, Any]
    missing: tuple[str, ...]


def overlay(project: Project, specs: Sequence[Spec], services: Mapping[str, str]) -> Overlay:
    """The overlay of `specs`; `services` says which service an app container (by name) belongs to."""
    missing: list[str] = []
    content: dict[str, Any] = {"services": {}}
    seen: set[tuple[str, str, str]] = set()
    for spec in specs:
        service = services.get(spec.host, "")
        key = (spec.sidekick, spec.role, service)
        if service and key in seen:
            missing.append(f"{spec.name}: Compose joins the first replica of a service only; {spec.host} stays without `{spec.sidekick}`")
            continue
        seen.add(key)
        add(content, missing, project, spec, service)
    for image in sorted({spec.image for spec in specs if spec.recipe}):
        missing.append(f"{image}: Compose does not build this image; `remora images build` does, and `remora images load` brings it")
    if specs:
        missing.append(
            "whole file: sidekicks do not follow a restart of their app, and replicas that come later get none; `remora watch` does both"
        )
    return Overlay(content, tuple(missing))


def add(content: dict[str, Any], missing: list[str], project: Project, spec: Spec, service: str) -> None:
    """Put one sidekick into the file."""
    wanted = "-".join(part for part in ("remora", spec.sidekick, spec.role, service) if part)
    name = free(wanted, [*project.services, *content["services"]])
    given = entry(content, missing, project, spec, service, name)
    content["services"][name] = {key: value for key, value in given.items() if value not in (None, [], {}, "")}


def free(name: str, taken: Collection[str]) -> str:
    """`name`, or with the first number that nobody has: what the project has is never written over."""
    tries = (f"{name}-{number}" if number > 1 else name for number in count(1))
    return next(each for each in tries if each not in taken)


def entry(content: dict[str, Any], missing: list[str], project: Project, spec: Spec, service: str, name: str) -> dict[str, Any]:
    return {
        "image": spec.image,
        "pull_policy": "never" if spec.recipe else None,
        "entrypoint": plain(spec.entrypoint),
        "command": plain(spec.command),
        "environment": {key: value.replace("$", "$$") for key, value in spec.env},
        "labels": {"remora.sidekick": spec.sidekick, "remora.kind": spec.kind, "remora.environment": spec.environment},
        "user": user(missing, spec),
        **network(content, project, spec, service),
        "pid": f"service:{service}" if "processes" in spec.walls else None,
        "ipc": f"service:{service}" if "ipc" in spec.walls else None,
        "volumes": [text for text in (volume(content, missing, project, spec, mount, service) for mount in spec.mounts) if text],
        "tmpfs": list(spec.tmpfs),
        "secrets": [found for found in (secret(content, missing, project, spec, name, *each) for each in spec.secrets) if found],
        "mem_limit": spec.caps.memory,
        "memswap_limit": spec.caps.memory,
        "cpus": spec.caps.cpus,
        "cpu_shares": 256,
        "pids_limit": spec.caps.pids,
        "oom_score_adj": 500,
        "read_only": spec.read_only or None,
        "init": spec.init or None,
        "cap_drop": ["ALL"],
        "cap_add": list(spec.cap_add),
        "sysctls": dict(spec.sysctls),
        "security_opt": ["no-new-privileges"],
        "restart": spec.restart,
        "stop_grace_period": f"{spec.stop_seconds}s",
        "logging": {"driver": "json-file", "options": {"max-size": "1m", "max-file": "2"}},
        "depends_on": [service] if spec.walls else None,
    }


def plain(words: tuple[str, ...] | None) -> list[str] | None:
    return None if words is None else [word.replace("$", "$$") for word in words]


def network(content: dict[str, Any], project: Project, spec: Spec, service: str) -> dict[str, Any]:
    """The app's network, none, the engine's bridge, one of the stack's, or another that is there already."""
    if "network" in spec.walls:
        return {"network_mode": f"service:{service}"}
    if spec.network in ("none", "bridge", "host"):
        return {"network_mode": spec.network}
    keys = {(each or {}).get("name", key): key for key, each in (project.config.get("networks") or {}).items()}
    if spec.network in keys:
        return {"networks": [keys[spec.network]]}
    key = free(spec.network, list(keys.values()))
    content.setdefault("networks", {})[key] = {"external": True, "name": spec.network}
    return {"networks": [key]}


def volume(content: dict[str, Any], missing: list[str], project: Project, spec: Spec, mount: Mount, service: str) -> Any:
    """One mount; a sidekick's own volume is declared under the name that remora itself would use."""
    keys = {name: key for key, name in project.volumes.items()}
    source = keys.get(mount.source, mount.source)
    if not source or (mount.type == "volume" and mount.source not in keys and not source.startswith("remora_")):
        missing.append(
            f"{spec.name}: Compose has no name for the anonymous volume at {mount.target} of `{service}`; name it in the compose file"
        )
        return None
    if mount.source.startswith("remora_"):
        content.setdefault("volumes", {})[mount.source] = {"name": mount.source}
    found: dict[str, Any] = {"type": mount.type, "source": source.replace("$", "$$"), "target": mount.target}
    if mount.read_only:
        return {**found, "read_only": True}
    return {**found, "bind": {"create_host_path": True}} if mount.type == "bind" else found


def user(missing: list[str], spec: Spec) -> str:
    """Whom it runs as; the app's user by name, or by its image alone, means something else in another image."""
    if spec.user == SAME:
        missing.append(
            f"{spec.name}: the image of {spec.host}, which says whom it runs as, is not on this engine; the sidekick's own says it"
        )
        return ""
    if spec.user and not re.fullmatch(r"\d+(:\d+)?", spec.user):
        missing.append(f"{spec.name}: the user `{spec.user}` is looked up in the sidekick's image, not in that of {spec.host}")
    return spec.user


def secret(
    content: dict[str, Any], missing: list[str], project: Project, spec: Spec, owner: str, name: str, reference: str
) -> dict[str, Any] | None:
    """A reference to a file stays one. What a variable holds, Compose would write into the read-only file tree, and then start nothing."""
    source, _, where = reference.partition(":")
    if source == "env":
        missing.append(f"{spec.name}: Compose hands over secrets in files only, so it gets no `{name}` out of the variable {where}")
        return None
    missing.append(f"{spec.name}: the secret `{name}` keeps the owner and the mode that {where} has on this host")
    key = free(f"{owner}-{name}", [*(project.config.get("secrets") or {}), *content.get("secrets", {})])
    content.setdefault("secrets", {})[key] = {"file": where}
    return {"source": key, "target": f"/run/secrets/{name}"}


def write(found: Overlay, stack: str, environment: str, file: str) -> str:
    """The overlay as YAML, the same text for the same content."""
    out = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.width = 4096
    yaml.dump(found.content, out)
    head = HEAD.format(stack=stack, environment=environment, file=file)
    return head + "".join(f"# Not expressed: {line}\n" for line in found.missing) + out.getvalue()
