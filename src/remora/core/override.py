"""Declared differences as one generated Compose override: what `up` adds to the developers' file, and nothing else.

JSON is YAML, so each value is written as JSON; only Compose's tags `!override` and `!reset` are YAML's own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from remora.core.ops import Differences
from remora.core.project import Project, Service
from remora.core.units import sized


def render(project: Project, differences: Mapping[str, Differences], why: str) -> str:
    """The override's text, "" where nothing differs; `why` names the environment and its file."""
    wanted = {name: each for name, each in sorted(differences.items()) if each.any}
    if not wanted:
        return ""
    lines = [f"# Declared differences of {why}. Made by remora; a change here is lost.", "services:"]
    for name, each in wanted.items():
        lines.append(f"  {json.dumps(name)}:")
        lines += [f"    {key}: {tag}{json.dumps(value)}" for key, tag, value in entries(project.services[name], each)]
    return "\n".join(lines) + "\n"


def entries(service: Service, wanted: Differences) -> Iterator[tuple[str, str, Any]]:
    """Key, tag and value of each line under a service."""
    if wanted.environment:
        yield "environment", "", {key: interpolated(value) for key, value in sorted(wanted.environment.items())}
    if wanted.ports is not None:
        yield "ports", "!override ", list(wanted.ports)
    if wanted.restart:
        yield "restart", "", wanted.restart
    if wanted.image:
        yield "image", "", wanted.image
        if service.config.get("build"):
            yield "build", "!reset ", None
    yield from kept_mounts(service, wanted)
    yield from sizes(service, wanted)


def interpolated(value: str) -> str:
    """A reference becomes Compose's own, so that a secret never stands in the file; anything else stands as it is."""
    if value.startswith("env:"):
        name = value.removeprefix("env:")
        return f"${{{name}:?the variable {name} is not set}}"
    return value.replace("$", "$$")


def kept_mounts(service: Service, wanted: Differences) -> Iterator[tuple[str, str, Any]]:
    """The mounts without the dropped ones."""
    if not wanted.drop_mounts:
        return
    volumes = service.config.get("volumes") or []
    if volumes:
        yield "volumes", "!override ", [escaped(volume) for volume in volumes if volume["target"] not in wanted.drop_mounts]
    given = service.config.get("tmpfs") or []
    if given:
        yield (
            "tmpfs",
            "!override ",
            [path for path in ([given] if isinstance(given, str) else given) if path.split(":")[0] not in wanted.drop_mounts],
        )


def escaped(value: Any) -> Any:
    """A canonical value is interpolated already; its dollars are not to be read again."""
    match value:
        case str():
            return value.replace("$", "$$")
        case dict():
            return {key: escaped(each) for key, each in value.items()}
        case list():
            return [escaped(each) for each in value]
    return value


def sizes(service: Service, wanted: Differences) -> Iterator[tuple[str, str, Any]]:
    """Replicas and caps, said where the developers' file says them: Compose refuses both ways at once."""
    deploy: dict[str, Any] = {}
    if wanted.replicas is not None:
        if "scale" in service.config:
            yield "scale", "", wanted.replicas
        else:
            deploy["replicas"] = wanted.replicas
    caps = {"memory": ("mem_limit", wanted.limits.memory), "cpus": ("cpus", wanted.limits.cpus), "pids": ("pids_limit", wanted.limits.pids)}
    limits: dict[str, Any] = {}
    for key, (short, value) in caps.items():
        if value is None:
            continue
        if short in service.config:
            yield short, "", value
        else:
            limits[key] = value if key == "pids" else str(value)
    if limits:
        deploy["resources"] = {"limits": limits}
    if deploy:
        yield "deploy", "", deploy


def table(differences: Mapping[str, Differences]) -> list[tuple[str, str, str]]:
    """Service, setting and value of every declared difference, for people; references stay references."""
    rows: list[tuple[str, str, str]] = []
    for name, each in sorted(differences.items()):
        rows += [(name, f"environment.{key}", value) for key, value in sorted(each.environment.items())]
        rows += [(name, "replicas", str(each.replicas))] if each.replicas is not None else []
        rows += [(name, "ports", ", ".join(each.ports) or "none")] if each.ports is not None else []
        rows += [(name, "limits.memory", sized(each.limits.memory))] if each.limits.memory else []
        rows += [(name, f"limits.{key}", str(value)) for key in ("cpus", "pids") if (value := getattr(each.limits, key))]
        rows += [(name, key, value) for key in ("restart", "image") if (value := getattr(each, key))]
        rows += [(name, "drop_mounts", target) for target in each.drop_mounts]
    return rows
