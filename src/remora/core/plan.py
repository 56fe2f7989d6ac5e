"""The plan: the ordered actions that turn the world into what the two files ask for.

An action is printed by `remora plan`, compared in tests and done by an engine. No action touches an app container.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from remora.core.history import History
from remora.core.sidekick import Spec
from remora.core.world import Container, World
from remora.errors import RemoraError, listed

PREPARE, DETACH, ATTACH = range(3)
ENDED = ("exited", "created", "dead")
JOB = "job"  # the role of what a hook attaches
NOTHING = History()


@dataclass(frozen=True)
class Attach:
    """Create and start a sidekick."""

    spec: Spec
    stage = ATTACH

    @property
    def beside(self) -> str:
        return self.spec.host

    def __str__(self) -> str:
        return f"+ attach {self.spec.name} ({self.spec.kind}; walls: {self.spec.shared}) because of {self.spec.why}"


@dataclass(frozen=True)
class Detach:
    """Stop a sidekick, letting it finish within its own grace, and remove it."""

    container: str  # id
    name: str
    beside: str
    why: str
    last: int = 0  # detached after those with a lower number
    stage = DETACH

    def __str__(self) -> str:
        return f"- detach {self.name}: {self.why}"


@dataclass(frozen=True)
class Start:
    """Start a sidekick again, in the walls that its app container has now."""

    container: str  # id
    name: str
    beside: str
    why: str
    restart: str = ""  # the restart policy to give it back, where it was given up
    stage = ATTACH

    def __str__(self) -> str:
        return f"~ restart {self.name}: {self.why}"


@dataclass(frozen=True)
class Stop:
    """Stop a sidekick whose app container is not running: its walls are gone."""

    container: str  # id
    name: str
    beside: str
    why: str
    stage = DETACH

    def __str__(self) -> str:
        return f"~ stop {self.name}: {self.why}"


@dataclass(frozen=True)
class GiveUp:
    """Leave a sidekick that fails again and again as it is, until somebody looks after it."""

    container: str  # id
    name: str
    beside: str
    why: str
    stage = DETACH

    def __str__(self) -> str:
        return f"! give up {self.name}: {self.why}"


@dataclass(frozen=True)
class Prepare:
    """Have an image on the engine: built from its recipe, or pulled."""

    image: str
    recipe: str = ""
    why: str = field(default="", compare=False)  # the line of the ops file
    beside = ""
    stage = PREPARE

    def __str__(self) -> str:
        return f"+ build image {self.image}" if self.recipe else f"+ pull image {self.image}"


Action = Attach | Detach | Start | Stop | GiveUp | Prepare


def plan(
    specs: Sequence[Spec],
    world: World,
    stack: str,
    owner: str,
    take_over: bool = False,
    history: History = NOTHING,
    retry: bool = True,
    unsure: Collection[str] = (),
) -> tuple[Action, ...]:
    """What is to be done so that the sidekicks of `stack` are `specs`; nothing where they are already.

    `history` is what a watcher remembers; `retry` starts again what was given up, as somebody who asks for it by hand wants it.
    Of the sidekicks `unsure` nobody knows what they want: what is attached of them stays while its app container does.
    Raises RemoraError when the stack's sidekicks belong to another ops file and are not to be taken over.
    """
    mine = world.sidekicks(stack)
    if not take_over:
        refuse_foreign(mine, stack, owner)
    there = {container.name: container for container in mine}
    apps = {container.id: container for container in world.apps}
    mine = tuple(container for container in mine if not at_work(container, apps))
    wanted = {spec.name for spec in specs}
    over = [container for container in mine if container.name not in wanted and not spared(container, apps, unsure)]
    actions: list[Action] = [gone(container, apps) for container in over]
    for spec in specs:
        actions += reach(spec, there.get(spec.name), apps.get(spec.parent), history, retry)
    return ordered(actions)


def strangers(world: World, stack: str) -> tuple[str, ...]:
    """A sentence for each container that passes itself off as a sidekick."""
    return tuple(
        f"container `{c.name}` carries {'the labels of a sidekick' if c.is_sidekick else listed(c.claims)}, "
        "but remora did not make it: it is left alone, and gets no sidekick"
        for c in world.strangers(stack)
    )


def refuse_foreign(mine: Sequence[Container], stack: str, owner: str) -> None:
    for container in mine:
        other = container.labels.get("remora.ops", "")
        if other != owner:
            raise RemoraError(
                f"the sidekicks of `{stack}` belong to the ops file {other} (see container `{container.name}`); "
                f"detach them with that file, or take them over with --take-over"
            )


def spared(container: Container, apps: Mapping[str, Container], unsure: Collection[str]) -> bool:
    """Whether it stays, for nobody knows better."""
    parent = container.labels.get("remora.parent", "")
    return container.labels["remora.sidekick"] in unsure and (not parent or parent in apps)


def gone(container: Container, apps: dict[str, Container]) -> Detach:
    parent = container.labels.get("remora.parent", "")
    why = "its app container is gone" if parent and parent not in apps else "no longer asked for"
    return detach(container, f"the job is over: {ending(container)}" if is_job(container) and not container.running else why)


def is_job(container: Container) -> bool:
    """Whether a hook attached it, once, to end by itself."""
    return container.labels.get("remora.role") == JOB


def at_work(container: Container, apps: Mapping[str, Container]) -> bool:
    """Whether it is a job that is not over, beside an app container that is there."""
    return is_job(container) and container.state not in ("exited", "dead") and container.labels.get("remora.parent", "") in apps


def interrupted(world: World, stack: str) -> tuple[Detach, ...]:
    """What takes away the jobs that are at work."""
    apps = {container.id: container for container in world.apps}
    return tuple(detach(container, "it is not to go on") for container in world.sidekicks(stack) if at_work(container, apps))


def detach(container: Container, why: str) -> Detach:
    """Log shippers go last, senders after readers, so that last words arrive."""
    shipping = container.labels.get("remora.kind") == "logs"
    last = shipping + (shipping and container.labels.get("remora.role", "").startswith("sender"))
    return Detach(container.id, container.name, "", why, last)


def reach(spec: Spec, there: Container | None, parent: Container | None, history: History, retry: bool) -> list[Action]:
    """From what is there to what is wanted, for one sidekick."""
    closed = out_of_reach(spec, parent)
    if there is None:
        return [] if closed else [Attach(spec)]
    changed = difference(spec, there)
    if changed:
        return [detach(there, changed), *([] if closed else [Attach(spec)])]
    if closed:
        over = parent is not None and parent.state in ENDED
        return [Stop(there.id, there.name, spec.host, f"{spec.host} is not running")] if over and there.running else []
    if there.state in ENDED:
        return [] if stays_ended(spec, there, retry) else [start(spec, there, ending(there))]
    if spec.give_up_after and history.streak(there) >= spec.give_up_after and not given_up(spec, there):
        return [GiveUp(there.id, there.name, spec.host, f"{ending(there)}, {history.streak(there)} times in a row")]
    if stale(spec, there, parent, history):
        return [start(spec, there, f"{spec.host} was restarted and has new namespaces")]
    return []


def start(spec: Spec, there: Container, why: str) -> Start:
    return Start(there.id, there.name, spec.host, why, spec.restart if given_up(spec, there) else "")


def given_up(spec: Spec, there: Container) -> bool:
    """Whether the engine was told not to start it again."""
    return there.restart == "no" != spec.restart


def stays_ended(spec: Spec, there: Container, retry: bool) -> bool:
    """Whether a sidekick that ended is to be left so: it was given up, or it may end."""
    if given_up(spec, there):
        return not retry
    return there.state == "exited" and (spec.restart == "no" or (spec.restart == "on-failure" and there.exit_code == 0))


def out_of_reach(spec: Spec, parent: Container | None) -> bool:
    """Whether nobody can be beside the app container now.

    Namespaces can be joined while it runs, and not before the engine has brought it back from a crash. One that never ran
    may not stay: Compose makes the successor of a container under a name for the meantime, while the old one ends.
    """
    return parent is not None and (parent.state == "created" or (bool(spec.walls) and not parent.running))


def difference(spec: Spec, there: Container) -> str:
    """Why the container there has to make way for a new one; "" when it need not."""
    if there.labels.get("remora.parent", "") != spec.parent:
        return f"{spec.host} is a new container"
    if there.labels.get("remora.spec") != spec.digest or there.labels.get("remora.ops") != spec.owner:
        return "its definition changed"
    return ""


def ending(there: Container) -> str:
    """How a sidekick came to stand still, in words."""
    if there.state == "created":
        return "it was never started"
    return "it ran out of memory" if there.oom_killed else f"it ended with exit code {there.exit_code}"


def stale(spec: Spec, there: Container, parent: Container | None, history: History) -> bool:
    """Whether it sits in namespaces of an earlier life of its app: a restart gives the app new ones (moby #50326)."""
    if not spec.walls or parent is None or not there.running:
        return False
    return instant(there.started_at) < instant(parent.started_at) or history.left_behind(there, parent)


def instant(text: str) -> tuple[str, str]:
    """An engine time as something that sorts: the engine drops trailing zeros of the fraction."""
    seconds, _, fraction = text.rstrip("Z").partition(".")
    return seconds, fraction.ljust(9, "0")


def ordered(actions: Sequence[Action]) -> tuple[Action, ...]:
    """Images first, for one that cannot be had is to cost nothing that runs; then removals, for names and namespaces to be free;
    then what comes new, shippers before the rest."""

    def rank(action: Action) -> tuple[int, int, str]:
        match action:
            case Detach(last=last):
                return (action.stage, last, action.name)
            case Attach(spec=spec):
                return (action.stage, spec.first, f"{spec.depth:04} {spec.name}")
            case Prepare():
                return (action.stage, 0, action.image)
        return (action.stage, 0, action.name)

    return tuple(sorted(actions, key=rank))


def prepared(actions: Sequence[Action], images: frozenset[str]) -> tuple[Action, ...]:
    """`actions` with what gets the images that they need and that the engine, which has `images`, lacks."""
    missing = {spec.image: Prepare(spec.image, spec.recipe, spec.why) for spec in reversed(attached(actions)) if spec.image not in images}
    return ordered([*actions, *missing.values()])


def attached(actions: Iterable[Action]) -> list[Spec]:
    """The sidekicks that `actions` attach."""
    return [action.spec for action in actions if isinstance(action, Attach)]


def refuse_strangers(specs: Iterable[Spec], taken: Mapping[str, str]) -> None:
    """Raises RemoraError for a name that a container of others has; `taken` says of each name in use which stack's sidekick has it."""
    for spec in specs:
        if taken.get(spec.name, spec.stack) != spec.stack:
            raise RemoraError(f"{spec.why}: a container that is not remora's has the name `{spec.name}`; rename it, or the sidekick")


def refuse_unknown_networks(specs: Iterable[Spec], networks: Collection[str]) -> None:
    for spec in specs:
        if spec.network and spec.network not in networks:
            raise RemoraError(f"{spec.why}: the engine has no network `{spec.network}`; create it, or name another")
