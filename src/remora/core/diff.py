"""Diff: what changed in the ops file since its sidekicks were attached, as far as their containers still tell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from remora.core.ops import Ops
from remora.core.selector import MODES
from remora.core.sidekick import Spec
from remora.core.units import sized
from remora.core.world import Container, Mount, World
from remora.errors import listed


@dataclass(frozen=True)
class Change:
    """One sidekick of the ops file that is another than the one attached."""

    sidekick: str
    line: str  # where it stands; "" for one that does not stand there any more
    words: tuple[str, ...]
    sign: str = "~"  # + new, - gone, ~ changed

    def __str__(self) -> str:
        return f"{self.sign} {self.sidekick}{f' ({self.line})' if self.line else ''}: {'; '.join(self.words)}"


def changes(ops: Ops, environment: str, specs: Sequence[Spec], world: World, stack: str, unsure: Iterable[str] = ()) -> tuple[Change, ...]:
    """What is to be said of each sidekick that has changed, in the order of the ops file; those that went come last.

    Of the `unsure` it is not known what they want.
    """
    there: dict[str, list[Container]] = {}
    for container in world.sidekicks(stack):
        there.setdefault(container.labels["remora.sidekick"], []).append(container)
    attach = ops.environments[environment].attach
    kept = [name for name in ops.sidekicks if name in attach and name not in unsure]
    found = [one(ops, name, [spec for spec in specs if spec.sidekick == name], there.get(name, [])) for name in kept]
    return (*(change for change in found if change), *gone(ops, environment, there))


def one(ops: Ops, name: str, specs: Sequence[Spec], there: Sequence[Container]) -> Change | None:
    """A sidekick that is to be attached; None where nothing is known to have changed."""
    line = ops.line("sidekicks", name)
    if not specs and there:
        return Change(name, line, ("is for no app container any more",))
    if not there:
        return Change(name, line, ("is not attached yet",), "+") if specs else None
    wanted = {spec.name: spec for spec in specs}
    pairs = [(wanted[each.name], each) for each in there if each.name in wanted]
    words = dict.fromkeys(word for spec, container in pairs for word in changed(spec, container))
    return Change(name, line, tuple(words)) if words else None


def gone(ops: Ops, environment: str, there: Mapping[str, object]) -> list[Change]:
    """What is attached, and is asked for no more."""
    attach = ops.environments[environment].attach
    return [
        Change(
            name,
            ops.line("sidekicks", name) if name in ops.sidekicks else "",
            (f"is not attached in {environment}" if name in ops.sidekicks else "is not in the ops file any more",),
            "-",
        )
        for name in sorted(there)
        if name not in attach
    ]


def changed(spec: Spec, there: Container) -> list[str]:
    """What is different, setting by setting where the container shows it; nothing where it is the same."""
    same = there.labels.get("remora.spec") == spec.digest and there.labels.get("remora.ops") == spec.owner
    if same:
        return []
    found = [f"{what} {old} is now {new}" for what, old, new in compared(spec, there) if old != new]
    return found or ["changed in what its container does not show"]


def compared(spec: Spec, there: Container) -> Iterable[tuple[str, str, str]]:
    """What a container shows of its spec, as it was and as it is to be."""
    for what, (was, wants) in SHOWN.items():
        old, new = was(there), wants(spec)
        if old is not None and new is not None:
            yield what, old or "none", new or "none"
    yield from ((f"env {key}", *pair) for key, pair in env(spec, there))


def env(spec: Spec, there: Container) -> Iterable[tuple[str, tuple[str, str]]]:
    """Variables that the sidekick gets; what its image brings is not the ops file's. Values may be long, or nobody's business."""
    for key, value in spec.env:
        if key not in there.env:
            yield key, ("(not there)", "there")
        elif there.env[key] != value:
            yield key, ("as it was", "another")


def walls(there: Container) -> str | None:
    """The namespaces that a container shares, as the engine keeps them."""
    host = there.config.get("HostConfig")
    if not isinstance(host, dict):
        return None
    return " ".join(wall for wall, mode in MODES.items() if str(host.get(mode, "")).startswith("container:"))


def command(there: Container) -> str | None:
    """What it was told to run; what its image brings looks the same."""
    config = there.config.get("Config")
    return " ".join(config.get("Cmd") or ()) if isinstance(config, dict) else None


def targets(mounts: Iterable[Mount]) -> str:
    return listed(mount.target for mount in mounts if mount.type != "tmpfs" and mount.target != "/run/secrets")


SHOWN: Mapping[str, tuple[Callable[[Container], str | None], Callable[[Spec], str | None]]] = {
    "ops file": (lambda there: there.labels.get("remora.ops", ""), lambda spec: spec.owner),
    "environment": (lambda there: there.labels.get("remora.environment", ""), lambda spec: spec.environment),
    "kind": (lambda there: there.labels.get("remora.kind", ""), lambda spec: spec.kind),
    "image": (lambda there: there.image, lambda spec: spec.image),
    "memory": (lambda there: sized(there.memory), lambda spec: sized(spec.caps.memory)),
    "restart": (lambda there: there.restart, lambda spec: spec.restart),
    "walls": (walls, lambda spec: " ".join(wall for wall in MODES if wall in spec.walls)),
    "command": (command, lambda spec: None if spec.command is None else " ".join(spec.command)),
    "mounts": (lambda there: targets(there.mounts), lambda spec: targets(spec.mounts)),
}
