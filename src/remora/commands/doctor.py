"""`remora doctor`: what is here, what of remora works on it, what does not, and what to do."""

from __future__ import annotations

from dataclasses import asdict

from remora.cli import DONE, FIXABLE
from remora.core.doctor import Engine, Facts, Finding, findings, well
from remora.engines.compose import version
from remora.engines.connect import connect
from remora.engines.host import find
from remora.engines.tunnel import reach
from remora.errors import RemoraError
from remora.output import Output

SIGNS = {"yes": "+", "partly": "~", "no": "!"}


def run(host: str | None, as_json: bool, out: Output) -> int:
    facts = gather(host)
    found = findings(facts)
    if as_json:
        shown = {"engine": asdict(facts.engine) if facts.engine else None, "compose": facts.compose or None}
        out.json({**shown, "findings": [asdict(each) for each in found], "well": well(found)})
    else:
        show(facts, found, out)
    return DONE if well(found) else FIXABLE


def gather(asked: str | None) -> Facts:
    """Look at the engine and at Compose; what cannot be had becomes the sentence that says why."""
    engine: Engine | None = None
    no_engine = compose = no_compose = ""
    try:
        host = find(asked)
        engine = connect(reach(host)).examined()
    except RemoraError as error:
        no_engine = str(error)
    try:
        compose = version()
    except RemoraError as error:
        no_compose = str(error)
    return Facts(engine, no_engine, compose, no_compose)


def show(facts: Facts, found: tuple[Finding, ...], out: Output) -> None:
    if facts.engine:
        for name, value in about(facts.engine):
            out.line(f"{name:<16} {value}")
    out.line(f"{'Compose':<16} {facts.compose or 'none'}")
    out.line()
    for each in found:
        out.line(f"{SIGNS[each.works]} {each.what}: {each.why}")
        if each.todo:
            out.line(f"  what to do: {each.todo}")


def about(engine: Engine) -> list[tuple[str, str]]:
    """The facts, as people ask for them."""
    return [
        ("engine", f"{engine.title} {engine.version}, API {engine.api}, at {engine.host}"),
        ("rootless", "yes" if engine.rootless else "no"),
        ("cgroup", f"v{engine.cgroup}"),
        ("storage driver", engine.storage),
        ("logging driver", engine.logging),
        ("live-restore", "yes" if engine.live_restore else "no"),
    ]
