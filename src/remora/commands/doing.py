"""What the commands that change the world share: check first, then do, and say what was done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from remora.core.plan import Action, Attach, Prepare, attached, refuse_strangers, refuse_unknown_networks
from remora.core.weave import Woven
from remora.engines import secrets
from remora.engines.performing import perform
from remora.errors import RemoraError
from remora.output import Output
from remora.session import Session


def check(session: Session, actions: Sequence[Action]) -> None:
    """Whatever `actions` need and cannot have is an error before the first of them, while nothing is changed."""
    specs = attached(actions)
    secrets.check(actions)
    if specs:
        refuse_strangers(specs, session.engine.taken([spec.name for spec in specs]))
    chosen = [spec for spec in specs if spec.network not in ("", "none", "bridge", "host")]
    if chosen:
        refuse_unknown_networks(chosen, session.engine.networks() | session.project.networks)


def carry_out(session: Session, actions: Sequence[Action], out: Output) -> bool:
    """Do `actions`, saying each; whether all went well."""
    with out.progress(f"{len(actions)} to do …"):
        failed = perform(session.engine, actions, out.step, lambda action, error, _: said(action, error, out))
    for error in failed:
        out.warn(f"remora: {error}")
    return not failed


def said(action: Action, error: RemoraError | None, out: Output) -> None:
    out.say(f"! failed: {action}" if error else str(action), **facts(action))


def faults(woven: Woven, out: Output) -> None:
    """What could not be had, though the rest could."""
    for fault in woven.faults:
        out.warn(f"! {fault}")


def facts(action: Action) -> dict[str, Any]:
    """An action for `--json`."""
    verb = type(action).__name__.lower()
    match action:
        case Attach(spec):
            about = {"sidekick": spec.sidekick, "kind": spec.kind, "image": spec.image, "walls": spec.shared, "parent": spec.parent}
            return {"action": verb, "name": spec.name, "beside": spec.host, "why": spec.why, **about}
        case Prepare(image, recipe):
            return {"action": verb, "name": image, "beside": "", "why": "the engine lacks it", "recipe": recipe}
    return {"action": verb, "name": action.name, "beside": action.beside, "why": action.why, "container": action.container}
