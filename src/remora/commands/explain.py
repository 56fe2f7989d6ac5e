"""`remora explain`: which sidekicks a container gets, which it does not, and because of which line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from remora.cli import DONE
from remora.commands.status import remark, wanted_restart
from remora.core import explain
from remora.core.explain import Verdict, shown
from remora.core.ops import NAME
from remora.core.sidekick import observed
from remora.core.world import SERVICE, STACK, Container, World
from remora.errors import RemoraError, choices
from remora.output import Output
from remora.session import Asked, Session, open_session


def run(asked: Asked, out: Output, container: str, as_json: bool) -> int:
    session = open_session(asked)
    world = session.observe()
    explained = [facts(session, world, each) for each in meant(session, world, container)]
    if as_json:
        out.json(explained)
        return DONE
    for each in explained:
        show(each, out)
    return DONE


def meant(session: Session, world: World, given: str) -> Sequence[Container]:
    """The container of that name or id, one of the whole engine too, else all of a service. Raises RemoraError."""
    named = [c for c in world.containers if given in (c.name, c.id)]
    served = [c for c in world.apps if c.labels.get(SERVICE) == given and session.stack in ("*", c.labels.get(STACK))]
    begun = [c for c in world.containers if c.id.startswith(given)]
    found = named or sorted(served, key=lambda each: each.name) or begun or elsewhere(session, given)
    if not found:
        raise RemoraError(f"no container and no service `{given}`; {choices(given, [c.name for c in world.apps])}")
    if found is begun and len(found) > 1:
        raise RemoraError(f"`{given}` begins the ids of several containers: {', '.join(c.name for c in found)}; write more of it")
    return found


def elsewhere(session: Session, given: str) -> list[Container]:
    """A container of another stack, by name or id."""
    return list(session.engine.inspect([given]).values()) if re.fullmatch(NAME, given) else []


def facts(session: Session, world: World, container: Container) -> dict[str, Any]:
    """What there is to say of one container."""
    barred = explain.barred(container, world, session.stack)
    app = observed(container)
    verdicts = () if barred else explain.explain(session.ops, session.environment, app)
    return {
        "container": container.name,
        "id": container.id,
        "service": app.service,
        "stack": app.stack,
        "state": container.state,
        "environment": session.environment,
        "never": barred,
        "sidekicks": [said(session, world, container, each) for each in verdicts],
    }


def said(session: Session, world: World, container: Container, verdict: Verdict) -> dict[str, Any]:
    """A verdict, and what is attached now."""
    there = explain.beside(world, session.stack, verdict.sidekick, container.id)
    return {
        "sidekick": verdict.sidekick,
        "kind": verdict.kind,
        "line": verdict.line,
        "attached": verdict.attached,
        "selected": verdict.selected,
        "reasons": [
            {
                "line": r.line,
                "condition": r.condition,
                "patterns": list(r.patterns),
                "holds": r.holds,
                "except": r.excepts,
                "words": r.words,
            }
            for r in verdict.reasons
        ],
        "words": verdict.words,
        "now": [now(session, each) for each in there] if verdict.selected or any(c.labels.get("remora.parent") for c in there) else [],
    }


def now(session: Session, container: Container) -> dict[str, str]:
    return {
        "name": container.name,
        "state": container.state,
        "since": (container.started_at if container.running else container.finished_at)[:19],
        "remark": remark(container, wanted_restart(session, container)),
    }


def show(found: dict[str, Any], out: Output) -> None:
    whose = f"{shown(found['service'])} of {found['stack']}" if found["stack"] else "of no stack"
    out.title(f"{found['container']} ({whose}, {found['state']}) in {found['environment']}")
    if found["never"]:
        out.line(f"  - {found['never']}")
    for each in found["sidekicks"]:
        sign = "+" if each["selected"] and each["attached"] else "-"
        out.line(f"  {sign} {each['sidekick']} ({each['kind']}, {each['line']}): {each['words']}")
        for reason in each["reasons"]:
            mark = "yes" if reason["holds"] else "no "
            out.line(f"      {mark} {reason['line']}: {'except: ' if reason['except'] else ''}{reason['words']}")
        for line in attached_now(each):
            out.line(f"      now {line}")
    if not found["never"] and not found["sidekicks"]:
        out.line("  the ops file has no sidekicks")


def attached_now(each: dict[str, Any]) -> list[str]:
    """What is there, or that nothing is though something should be."""
    lines = [
        " ".join(part for part in (f"{one['name']}: {one['state']} since {one['since']}", one["remark"]) if part) for one in each["now"]
    ]
    return lines or (["nothing is attached; see `remora plan`"] if each["selected"] and each["attached"] else [])
