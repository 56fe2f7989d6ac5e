"""`remora plan`: what would be done and why, before anything is."""

from __future__ import annotations

from collections.abc import Sequence

from remora.cli import DONE, TO_DO
from remora.commands.doing import facts, faults
from remora.core import override
from remora.core.plan import Action
from remora.core.sidekick import App
from remora.core.weave import Woven
from remora.output import Output
from remora.session import Asked, Session, open_session


def run(asked: Asked, out: Output, services: Sequence[str], as_json: bool, exit_code: bool) -> int:
    session = open_session(asked)
    world = session.observe()
    coming = session.coming(world, services)
    woven = session.weave(world, coming)
    actions = session.plan(woven, world)
    if as_json:
        out.json(as_facts(session, coming, woven, actions))
    else:
        show(session, coming, woven, actions, out)
    return TO_DO if exit_code and (actions or coming) else DONE


def show(session: Session, coming: Sequence[App], woven: Woven, actions: Sequence[Action], out: Output) -> None:
    """The plan grouped by app container; what is for the whole stack comes first."""
    out.title(f"plan for {session.stack} in {session.environment}")
    for service, setting, value in override.table(session.differences):
        out.line(f"  declared: {service} {setting} = {value}")
    made = {app.name for app in coming}
    groups: dict[str, list[str]] = {"": [], **{app.name: [] for app in woven.apps}}
    for action in actions:
        groups.setdefault(action.beside, []).append(str(action))
    for app in woven.apps:
        if app.name in made:
            groups[app.name].insert(0, f"+ start {app.name} (by Compose)")
    for beside, lines in groups.items():
        if lines:
            out.title(f"  {beside or f'{session.stack} as a whole'}")
        for line in lines:
            out.line(f"    {line}")
    if not actions and not coming:
        out.line("  nothing to do")
    faults(woven, out)


def as_facts(session: Session, coming: Sequence[App], woven: Woven, actions: Sequence[Action]) -> dict[str, object]:
    return {
        "stack": session.stack,
        "environment": session.environment,
        "start": [app.name for app in coming],
        "actions": [facts(action) for action in actions],
        "declared": [{"service": s, "setting": k, "value": v} for s, k, v in override.table(session.differences)],
        "faults": list(woven.faults),
    }
