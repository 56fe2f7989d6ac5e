"""`remora parity A B`: every difference of the app containers between two environments."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from remora import files
from remora.cli import DONE, FIXABLE
from remora.core import parity, project
from remora.core.document import Strict
from remora.core.parity import Difference, Image, Side
from remora.core.world import Container, World
from remora.errors import RemoraError, WrongUsage, counted
from remora.output import Output
from remora.session import Asked, Session, open_session


@dataclass(frozen=True)
class Half:
    """One side of the comparison, and what it declares."""

    side: Side
    allowed: Mapping[str, Mapping[str, str]]


def run(asked: Asked, out: Output, a: str, b: str | None, as_json: bool, save: str | None) -> int:
    if b is None and not save:
        raise WrongUsage("parity: name two environments to compare, or one and --save FILE")
    left = half(asked, a)
    if save:
        keep(left, Path(save))
        out.say(f"kept the facts of {a} in {save}")
    if b is None:
        return DONE
    right = half(replace(asked, reading=None), b)
    rows = parity.compare(left.side, right.side, merged(left.allowed, right.allowed))
    undeclared = [row for row in rows if not row.declared]
    if as_json:
        out.json({"a": about(left.side), "b": about(right.side), "differences": [row.to_json() for row in rows], "parity": not undeclared})
    else:
        show(left.side, right.side, rows, out)
    return FIXABLE if undeclared else DONE


def half(asked: Asked, name: str) -> Half:
    """The side called `name`: an environment, or a file that --save wrote."""
    if name.endswith(".json"):
        return load(Path(name))
    session = open_session(replace(asked, environment=name))
    found = project.read(session.overridden.config())
    world = session.observe()
    running = world.apps if attributed(session, world) else ()
    refs = sorted({service.image for service in found.services.values()} | {c.image_id for c in running})
    with ThreadPoolExecutor(8) as pool:
        images = dict(zip(refs, pool.map(lambda ref: Image(*session.engine.image(ref)), refs), strict=True))
    actual = parity.from_containers(found, by_service(running, images))
    lines = {service: session.ops.line("environments", name, "services", service) for service in session.differences}
    source = f"{len(running)} running containers of {session.stack}" if running else "the files"
    side = Side(name, parity.from_files(found, images), actual, source, parity.hidden(session.differences))
    return Half(side, parity.allowed(session.differences, lines))


def attributed(session: Session, world: World) -> bool:
    """Whether the running containers are those of this environment: sidekicks say which they were attached for.

    Where nothing is attached, they are taken for an environment that attaches nothing.
    """
    said = {c.labels.get("remora.environment") for c in world.sidekicks(session.stack)}
    return session.environment in said if said else not session.ops.environments[session.environment].attach


def by_service(running: Sequence[Container], images: Mapping[str, Image]) -> dict[str, list[tuple[Mapping[str, Any], Image]]]:
    found: dict[str, list[tuple[Mapping[str, Any], Image]]] = {}
    for container in running:
        name = container.labels.get("com.docker.compose.service", container.name)
        found.setdefault(name, []).append((container.config, images[container.image_id]))
    return found


def merged(a: Mapping[str, Mapping[str, str]], b: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    return {service: {**a.get(service, {}), **b.get(service, {})} for service in {*a, *b}}


def about(side: Side) -> dict[str, str]:
    return {"environment": side.environment, "from": side.source}


def show(a: Side, b: Side, rows: Sequence[Difference], out: Output) -> None:
    out.title(f"{a.environment} ({a.source}) and {b.environment} ({b.source})")
    if rows:
        heads = ["service", "fact", a.environment, b.environment, "declared", "where or why"]
        out.table(heads, [[r.service, r.fact, r.a, r.b, "yes" if r.declared else "NO", r.why] for r in rows])
    unknown = sum(value == parity.UNKNOWN for side in (a, b) for service in side.expected for value in side.of(service).values())
    if unknown:
        out.line(f"{unknown} facts are unknown, as their images are not on this engine: build or pull them to prove the rest")
    wrong = sum(not row.declared for row in rows)
    same = f"the app containers of {counted(len(set(a.expected) | set(b.expected)), 'service')} are the same"
    out.line(f"! {counted(wrong, 'undeclared difference')}" if wrong else f"{same}, but for {counted(len(rows), 'declared difference')}")


def keep(found: Half, path: Path) -> None:
    """Write the facts, without the value of any env that may be a secret."""
    side = found.side
    facts = {
        name: {s: {k: side.shown(s, k, v) for k, v in each.items()} for s, each in half.items()}
        for name, half in (("expected", side.expected), ("actual", side.actual))
    }
    kept = {**facts, "environment": side.environment, "source": side.source, "allowed": found.allowed}
    try:
        files.write(path, json.dumps(kept, indent=2, sort_keys=True) + "\n")
    except OSError as error:
        raise RemoraError(f"{path}: cannot be written: {error.strerror}") from None


class Kept(Strict):
    """What `keep` writes."""

    environment: str
    source: str
    expected: dict[str, dict[str, str]]
    actual: dict[str, dict[str, str]]
    allowed: dict[str, dict[str, str]]


def load(path: Path) -> Half:
    written = f"`remora parity ENVIRONMENT --save {path}` writes it"
    try:
        kept = Kept.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise RemoraError(f"{path}: no such file; {written}") from None
    except OSError as error:
        raise RemoraError(f"{path}: cannot be read: {error.strerror}; {written}") from None
    except ValueError:
        raise RemoraError(f"{path}: not a file of parity facts; {written}") from None
    return Half(Side(kept.environment, kept.expected, kept.actual, f"{kept.source}, kept in {path}"), kept.allowed)
