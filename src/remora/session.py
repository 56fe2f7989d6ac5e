"""What a command works with: the two files, the engine, and what weaving them gives."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from remora import files
from remora.core import ops as ops_file
from remora.core import override, project, weave
from remora.core.check import check
from remora.core.engine import Engine
from remora.core.history import History
from remora.core.kind import Kind
from remora.core.ops import Differences, Ops
from remora.core.plan import NOTHING, Action, attached, plan, prepared, strangers
from remora.core.project import Project
from remora.core.sidekick import App, Context
from remora.core.weave import Woven
from remora.core.world import World
from remora.engines import recipes
from remora.engines.compose import Compose, check_version
from remora.engines.host import find
from remora.engines.tunnel import reach
from remora.errors import RemoraError
from remora.plugins import CATALOGUE

OPS_FILE = "remora.yaml"


@dataclass(frozen=True)
class Asked:
    """What the command line says of where things are."""

    compose: Compose = Compose()
    ops: str | None = None
    environment: str | None = None
    host: str | None = None
    take_over: bool = False
    reading: subprocess.Popen[str] | None = None  # Compose, which has begun to read the files
    lean: bool = False  # containers come without their whole inspection, which parity alone needs


@dataclass
class Session:
    """The inputs of one run, each read once, and the slow ones side by side."""

    asked: Asked
    engine: Engine
    ops: Ops
    environment: str
    compose: Compose
    project: Project  # as the developers' file has it
    images: dict[str, str] = field(default_factory=recipes.tags)
    kinds: Mapping[str, Kind] = field(default_factory=lambda: CATALOGUE)

    @property
    def stack(self) -> str:
        return self.ops.stack or self.project.name

    @property
    def differences(self) -> dict[str, Differences]:
        return self.ops.environments[self.environment].services

    @cached_property
    def overridden(self) -> Compose:
        """The compose files with the declared differences of the environment, where it has any."""
        why = f"environment `{self.environment}` in {self.ops.owner}"
        text = override.render(self.project, self.differences, why)
        return self.compose.with_override(save(self.stack, self.environment, text)) if text else self.compose

    def observe(self, known: World | None = None) -> World:
        return self.engine.observe(self.stack, known)

    def context(self, world: World) -> Context:
        return Context(self.stack, self.environment, self.ops.owner, world.engine, self.images, self.project.volumes)

    def weave(self, world: World, coming: Sequence[App] = (), strict: bool = True) -> Woven:
        """The wanted sidekicks for the app containers of `world`, and for those that are `coming`."""
        apps = weave.present(world, self.stack)
        woven = weave.weave(self.ops, [*apps, *coming], self.context(world), self.kinds, strict)
        return replace(woven, faults=(*woven.faults, *strangers(world, self.stack)))

    def coming(self, world: World, services: Sequence[str] = ()) -> tuple[App, ...]:
        """The app containers that `up` would add to `world`."""
        there = weave.present(world, self.stack)
        return weave.expected(self.project, self.differences, there, with_needed(self.project, services))

    def plan(self, woven: Woven, world: World, history: History = NOTHING, retry: bool = True) -> tuple[Action, ...]:
        """What is to be done for `woven`, images included."""
        actions = plan(woven.specs, world, self.stack, self.ops.owner, self.asked.take_over, history, retry, woven.unsure)
        wanted = {spec.image for spec in attached(actions)}
        return prepared(actions, self.engine.having(wanted))


def with_needed(found: Project, services: Sequence[str]) -> tuple[str, ...]:
    """`services` and what they depend on, as Compose brings them up; raises RemoraError for one that there is not."""
    from remora.errors import choices

    needed: dict[str, None] = {}
    todo = list(services)
    while todo:
        name = todo.pop(0)
        if name not in found.services:
            raise RemoraError(f"no service `{name}`; {choices(name, found.services)}")
        if name not in needed:
            needed[name] = None
            todo += list(found.services[name].config.get("depends_on") or {})
    return tuple(needed)


def open_session(asked: Asked, engine: Engine | None = None) -> Session:
    """Read both files and reach the engine, unless it is given, side by side. Raises RemoraError; nothing is changed here."""
    started = asked.reading or (None if stack_only(asked) else asked.compose.start_config())
    try:
        from remora.engines.connect import connect  # while Compose reads

        ops = read_ops(asked)
        environment = ops.environment(asked.environment)
        host = find(asked.host)
        found = Project(ops.stack) if ops.stack else project.read(asked.compose.config(started))
    finally:
        if started and started.poll() is None:
            started.communicate()
    if engine is None:
        host = reach(host)
        engine = connect(host, lean=asked.lean)
    compose = replace(asked.compose, host=asked.compose.host or host)
    renamed = ops.environments[environment].project
    if renamed and not asked.compose.project_name and not ops.stack:
        compose = replace(compose, project_name=renamed)
        found = project.read(compose.config())
    if not ops.stack:
        check(ops, found)
    return Session(
        replace(asked, compose=replace(asked.compose, host=compose.host), reading=None), engine, ops, environment, compose, found
    )


def stack_only(asked: Asked) -> bool:
    """Whether the ops file names a stack by itself, so that no compose file is needed."""
    path = ops_path(asked)
    return path.is_file() and any(line.startswith("stack:") for line in path.read_text(errors="replace").splitlines())


def ops_path(asked: Asked) -> Path:
    """The ops file that was asked for, else `remora.yaml` here, else beside the compose file."""
    if asked.ops:
        return Path(asked.ops)
    named = asked.compose.project_directory or asked.compose.files
    return Path(OPS_FILE) if Path(OPS_FILE).exists() and not named else asked.compose.folder() / OPS_FILE


def read_ops(asked: Asked) -> Ops:
    path = ops_path(asked)
    try:
        text = path.read_text()
    except FileNotFoundError:
        if not asked.ops and not asked.compose.files:
            asked.compose.implied()  # without a compose file, that is what is missing
        raise RemoraError(f"{path}: no ops file here; write one with `remora init`, or name it with --ops") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RemoraError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8 text'}") from None
    return ops_file.read(text, str(path), str(path.resolve()), CATALOGUE.settings)


def save(stack: str, environment: str, text: str) -> Path:
    """Keep the generated override in the state folder, whole or not at all. Raises RemoraError where that fails."""
    folder = state_folder()
    path = folder / f"{'host' if stack == '*' else stack}.{environment}.override.yaml"
    try:
        if path.exists() and path.read_text() == text:
            return path
        check_version()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        files.write(path, text)
    except OSError as error:
        raise RemoraError(
            f"{folder}: the state folder cannot be written: {error.strerror}; make room, or name another with REMORA_STATE"
        ) from None
    return path


def state_folder() -> Path:
    """REMORA_STATE, else XDG's place for state."""
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
    return Path(os.environ.get("REMORA_STATE") or Path(home) / "remora")
