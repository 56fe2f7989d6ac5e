"""Weave: the two files and the app containers become the sidekicks that there should be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from remora.core.kind import Failed, Kind, Unwoven
from remora.core.ops import Differences, Limits, Ops
from remora.core.project import Project, Service
from remora.core.sidekick import App, Caps, Context, Spec, observed
from remora.core.walls import refuse_holding
from remora.core.world import NEEDS, STACK, World
from remora.errors import RemoraError

CAPS = Caps()


@dataclass(frozen=True)
class Woven:
    """The wanted sidekicks, and what could not be had."""

    apps: tuple[App, ...]
    specs: tuple[Spec, ...]
    faults: tuple[str, ...] = ()
    unsure: frozenset[str] = frozenset()  # sidekicks of plug-ins that failed: nobody knows what they want


def weave(ops: Ops, apps: Sequence[App], context: Context, kinds: Mapping[str, Kind], strict: bool = True) -> Woven:
    """The sidekicks that `context.environment` wants for `apps`.

    Raises RemoraError with the line of what cannot be had; unless `strict`, that is a fault, and the other sidekicks are had.
    """
    apps = deepened(sorted(apps, key=lambda app: (app.service, len(app.replica), app.replica, app.name)))
    specs: list[Spec] = []
    faults: list[str] = []
    unsure: set[str] = set()
    taken = {app.name: "an app container" for app in apps}
    for name in ops.environments[context.environment].attach:
        settings = ops.sidekicks[name]
        chosen = tuple(app for app in apps if settings.for_.selector().matches(app.facts))
        if not chosen:
            faults.append(f"{ops.line('sidekicks', name, 'for')}: sidekicks.{name}.for: matches no app container of {context.stack}")
            continue
        try:
            wanted, cannot = one(ops, name, kinds, chosen, context)
            refuse_doubles(wanted, taken)
        except RemoraError as error:
            if strict:
                raise
            faults.append(str(error))
            if isinstance(error.__cause__, Failed):
                unsure.add(name)
            continue
        specs += wanted
        faults += cannot
        taken |= {spec.name: f"sidekick `{name}`" for spec in wanted}
    return Woven(apps, tuple(specs), tuple(faults), frozenset(unsure))


def one(ops: Ops, name: str, kinds: Mapping[str, Kind], apps: Sequence[App], context: Context) -> tuple[list[Spec], list[str]]:
    """The specs of one sidekick, each with the line that asks for it, and what it cannot do."""
    settings = ops.sidekicks[name]
    path = ("sidekicks", name)
    try:
        if name in ops.failed:
            raise Failed(ops.failed[name])
        kind = kinds[settings.kind]
        given = replace(
            context,
            why=ops.line(*path),
            restart=settings.restart,
            give_up_after=settings.give_up_after,
            caps=capped(settings.limits),
        )
        found = list(kind.specs(name, settings, apps, given))
        refuse_holding(context.engine.name, found)
        return found, list(kind.faults(settings, apps))
    except Unwoven as error:
        raise ops.document.fault((*path, error.setting) if error.setting else path, str(error)) from error


def capped(limits: Limits, default: Caps = CAPS) -> Caps:
    """The caps asked for, over the defaults: a sidekick always has all three."""
    return Caps(limits.memory or default.memory, limits.cpus or default.cpus, limits.pids or default.pids)


def deepened(apps: Iterable[App]) -> tuple[App, ...]:
    """`apps`, each with how deep it lies in what depends on what: Compose says that in a label."""
    apps = tuple(apps)
    needs = {app.service: [part.partition(":")[0] for part in app.labels.get(NEEDS, "").split(",") if part] for app in apps}
    if not any(needs.values()):
        return apps
    depths: dict[str, int] = {}

    def depth(service: str, above: tuple[str, ...] = ()) -> int:
        if service not in depths:
            below = [each for each in needs.get(service, ()) if each not in (service, *above)]
            depths[service] = 1 + max(depth(each, (service, *above)) for each in below) if below else 0
        return depths[service]

    return tuple(replace(app, depth=depth(app.service)) if needs[app.service] else app for app in apps)


def refuse_doubles(specs: Sequence[Spec], taken: Mapping[str, str]) -> None:
    """Two containers cannot have one name; `taken` says who has those in use."""
    taken = dict(taken)
    for spec in specs:
        if spec.name in taken:
            raise RemoraError(f"{spec.why}: the container name `{spec.name}` is taken by {taken[spec.name]}; rename the sidekick")
        taken[spec.name] = f"sidekick `{spec.sidekick}`"


def present(world: World, stack: str) -> tuple[App, ...]:
    """The app containers that there are in `stack`; `*` is every one of the engine."""
    return tuple(observed(c) for c in world.apps if stack == "*" or c.labels.get(STACK) == stack)


def expected(project: Project, differences: Mapping[str, Differences], there: Iterable[App], only: Sequence[str] = ()) -> tuple[App, ...]:
    """The app containers that `up` will make, beside those that are `there`; `only` names the services to bring up.

    Compose counts the containers of a service, and goes on behind the highest number: where the first of two is gone, the third comes.
    """
    numbers: dict[str, list[int]] = {}
    for app in there:
        numbers.setdefault(app.service, []).append(int(app.replica) if app.replica.isdecimal() else 1)
    return tuple(
        predicted(project, service, max(taken, default=0) + further)
        for service in project.services.values()
        if not only or service.name in only
        for taken in (numbers.get(service.name, []),)
        for further in range(1, wanted_replicas(service, differences) - len(taken) + 1)
    )


def wanted_replicas(service: Service, differences: Mapping[str, Differences]) -> int:
    declared = differences.get(service.name, Differences()).replicas
    return service.replicas if declared is None else declared


def predicted(project: Project, service: Service, number: int) -> App:
    """A container as Compose will name and make it."""
    return App(
        stack=project.name,
        service=service.name,
        replica=str(number),
        name=service.container_name or f"{project.name}-{service.name}-{number}",
        image=service.image,
        labels=service.labels,
        env=service.env,
        ports=service.ports,
        mounts=service.mounts,
        networks=service.networks,
        user=service.user,
        log_driver=service.log_driver,
    )
