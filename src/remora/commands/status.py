"""`remora status`: app containers × sidekicks, as they are now."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from remora.cli import DONE
from remora.core.destination import parse
from remora.core.plan import Action, Attach
from remora.core.sidekick import App
from remora.core.units import sized
from remora.core.weave import Woven
from remora.core.world import Container
from remora.output import Output
from remora.session import Asked, Session, open_session
from remora.sidekicks.logs import PORTS


def run(asked: Asked, out: Output, as_json: bool) -> int:
    session = open_session(asked)
    world = session.observe()
    woven = session.weave(world)
    pending = session.plan(woven, world)
    mine = world.sidekicks(session.stack)
    with ThreadPoolExecutor(16) as pool:
        memory = dict(zip([c.id for c in mine], pool.map(session.engine.memory, [c.id for c in mine]), strict=True))
    names = {c.id: c.name for c in world.apps}
    rows = [row(c, names, memory.get(c.id), wanted_restart(session, c)) for c in mine] + [
        missing(a) for a in pending if isinstance(a, Attach) and a.spec.name not in {c.name for c in mine}
    ]
    states = {c.id: c.state for c in world.apps}
    apps = [
        {"container": app.name, "service": app.service, "state": states[app.id], "shared": shared(session, woven, app)}
        for app in woven.apps
    ]
    found = {
        "stack": session.stack,
        "environment": session.environment,
        "apps": apps,
        "sidekicks": sorted(rows, key=lambda each: (each["beside"], each["sidekick"], each["name"])),
        "pending": [str(action) for action in pending],
        "faults": [*woven.faults, *shipping(session, mine)],
    }
    out.json(found) if as_json else show(found, pending, out)
    return DONE


def shared(session: Session, woven: Woven, app: App) -> list[str]:
    """The sidekicks that are for this app container and not beside it, but for the whole stack."""
    beside = {(spec.sidekick, spec.host) for spec in woven.specs}
    return [
        name
        for name in session.ops.environments[session.environment].attach
        if (name, "") in beside and (name, app.name) not in beside and session.ops.sidekicks[name].for_.selector().matches(app.facts)
    ]


def wanted_restart(session: Session, container: Container) -> str:
    """What the ops file says of the sidekick's restart; one that it does not name any more may stay ended."""
    found = session.ops.sidekicks.get(container.labels["remora.sidekick"])
    return found.restart if found else "no"


def row(container: Container, names: dict[str, str], memory: int | None, restart: str) -> dict[str, Any]:
    parent = container.labels.get("remora.parent", "")
    return {
        "name": container.name,
        "sidekick": container.labels["remora.sidekick"],
        "beside": names.get(parent, "(gone)") if parent else "",
        "state": container.state,
        "since": (container.started_at if container.running else container.finished_at)[:19],
        "restarts": container.restarts,
        "memory": memory,
        "memory_cap": container.memory,
        "remark": remark(container, restart),
    }


def remark(container: Container, restart: str = "always") -> str:
    """How it came to what it is; `restart` is what the ops file wants of it."""
    out_of_memory = f"killed at {sized(container.memory)}; the app was not affected" if container.oom_killed else ""
    if container.running:
        return out_of_memory
    why = container.error or out_of_memory or f"exit code {container.exit_code}"
    return f"given up: {why}; `remora attach` tries again" if container.restart == "no" != restart else why


def missing(action: Attach) -> dict[str, Any]:
    spec = action.spec
    empty = {"since": "", "restarts": 0, "memory": None, "memory_cap": spec.caps.memory}
    return {"name": spec.name, "sidekick": spec.sidekick, "beside": spec.host, "state": "missing", "remark": "not attached yet", **empty}


def shipping(session: Session, mine: Sequence[Container]) -> list[str]:
    """What the log readers say of their destinations and containers."""
    found = []
    for container in mine:
        if container.labels.get("remora.kind") == "logs" and not container.labels.get("remora.role", "").startswith("sender"):
            found += reader(session, container)
    return sorted(set(found))


def reader(session: Session, container: Container) -> list[str]:
    sidekick = container.labels["remora.sidekick"]
    name = json.loads(container.env.get("REMORA_LOGS", "{}")).get("reader", "")
    content = session.engine.read(container.id, f"/spool/status/{name}.json")
    if not content:
        return []
    status = json.loads(content)
    said = [f"{sidekick}: {fault}" for fault in status.get("faults", [])]
    dropped = status.get("dropped", {})
    if dropped.get("lines"):
        said.append(
            f"{sidekick}: the spool was full: {dropped['lines']} lines ({sized(dropped['bytes'])}) were dropped before they could be sent"
        )
    targets = {parse(to, PORTS).id: to for to in getattr(session.ops.sidekicks.get(sidekick), "to", ())}
    for key, target in status.get("destinations", {}).items():
        if target.get("waiting_since"):
            waiting = sized(target["waiting_bytes"])
            said.append(f"{sidekick}: {targets.get(key, key)} takes nothing since {target['waiting_since'][:19]}: {waiting} wait for it")
    return said


def show(found: dict[str, Any], pending: Sequence[Action], out: Output) -> None:
    out.title(f"{found['stack']} in {found['environment']}")
    beside: dict[str, list[dict[str, Any]]] = {app["container"]: [] for app in found["apps"]}
    for each in found["sidekicks"]:
        beside.setdefault(each["beside"], []).append(each)
    apps = {app["container"]: app for app in found["apps"]}
    rows = []
    for name, sidekicks in sorted(beside.items()):
        app = apps.get(name, {"state": "", "shared": []})
        lines = [cells(each) for each in sidekicks] + [[each, "(whole stack)", "", "", "", ""] for each in app["shared"]]
        heads = [(name or "(whole stack)", app["state"]), *[("", "")] * len(lines)]
        rows += [[*head, *line] for head, line in zip(heads, lines or [["-", "", "", "", "", ""]], strict=False)]
    out.table(["app container", "state", "sidekick", "state", "since", "restarts", "memory", "remark"], rows)
    for fault in found["faults"]:
        out.line(f"! {fault}")
    if pending:
        out.line(f"{len(pending)} to do; see `remora plan`")


def cells(each: dict[str, Any]) -> list[str]:
    used = f"{sized(each['memory'])} of {sized(each['memory_cap'])}" if each["memory"] is not None else ""
    name = each["name"].removeprefix(each["beside"] + ".") if each["beside"] else each["name"].partition(".")[2]
    return [name, each["state"], each["since"], str(each["restarts"]), used, each["remark"]]
