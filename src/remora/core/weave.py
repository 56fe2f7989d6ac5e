"""Weave: the two files and the app containers become the sidekicks that there should be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from remora.core.kind import Kind, Unwoven
from remora.core.ops import Differences, Ops
from remora.core.project import Project, Service
from remora.core.sidekick import App, Context, Spec, observed
from remora.core.world import STACK, World
from remora.errors import RemoraError


@dataclass(frozen=True)
class Woven:
    """The wanted sidekicks, and what could not be had."""

    apps: tuple[App, ...]
    specs: tuple[Spec, ...]
    faults: tuple[str, ...] = ()


def weave(ops: Ops, apps: Sequence[App], context: Context, kinds: Mapping[str, Kind]) -> Woven:
    """The sidekicks that `context.environment` wants for `apps`. Raises RemoraError with the line of what cannot be had."""
    apps = tuple(sorted(apps, key=lambda app: (app.service, len(app.replica), app.replica, app.name)))
    specs: list[Spec] = []
    faults: list[str] = []
    for name in ops.environments[context.environment].attach:
        settings = ops.sidekicks[name]
        chosen = tuple(app for app in apps if settings.for_.selector().matches(app.facts))
        if not chosen:
            faults.append(f"{ops.line('sidekicks', name, 'for')}: sidekicks.{name}.for: matches no app container of {context.stack}")
            continue
        specs += one(ops, name, kinds[settings.kind], chosen, context)
        faults += kinds[settings.kind].faults(settings, chosen)
    refuse_doubles(specs, apps)
    return Woven(apps, tuple(specs), tuple(faults))


def one(ops: Ops, name: str, kind: Kind, apps: Sequence[App], context: Context) -> Iterable[Spec]:
    """The specs of one sidekick, each with the line that asks for it."""
    settings = ops.sidekicks[name]
    path = ("sidekicks", name)
    try:
        return list(kind.specs(name, settings, apps, replace(context, why=ops.line(*path))))
    except Unwoven as error:
        raise ops.document.fault((*path, error.setting) if error.setting else path, str(error)) from None


def refuse_doubles(specs: Sequence[Spec], apps: Sequence[App]) -> None:
    """Two containers cannot have one name."""
    taken = {app.name: "an app container" for app in apps}
    for spec in specs:
        if spec.name in taken:
            raise RemoraError(f"{spec.why}: the container name `{spec.name}` is taken by {taken[spec.name]}; rename the sidekick")
        taken[spec.name] = f"sidekick `{spec.sidekick}`"


def present(world: World, stack: str) -> tuple[App, ...]:
    """The app containers that there are in `stack`; `*` is every one of the engine."""
    return tuple(observed(c) for c in world.apps if stack == "*" or c.labels.get(STACK) == stack)


def expected(project: Project, differences: Mapping[str, Differences], there: Iterable[App], only: Sequence[str] = ()) -> tuple[App, ...]:
    """The app containers that `up` will make, beside those that are `there`; `only` names the services to bring up."""
    taken = {(app.service, app.replica) for app in there}
    return tuple(
        predicted(project, service, number)
        for service in project.services.values()
        if not only or service.name in only
        for number in range(1, wanted_replicas(service, differences) + 1)
        if (service.name, str(number)) not in taken
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
