"""`remora images`: the sidekick images, built here and carried to hosts without network."""

from __future__ import annotations

from pathlib import Path

from remora.cli import DONE
from remora.core.plan import Prepare
from remora.engines import recipes
from remora.engines.docker import Docker
from remora.engines.host import find
from remora.engines.tunnel import reach
from remora.errors import RemoraError
from remora.output import Output


def run(action: str, file: str | None, host: str | None, as_json: bool, out: Output) -> int:
    engine = Docker(reach(find(host)))
    tags = recipes.tags()
    there = engine.having(tags.values())
    if action in ("save", "load") and not file:
        raise RemoraError(f"images {action}: name the file: `remora images {action} FILE`")
    match action:
        case "list" if as_json:
            out.json([{"recipe": name, "image": tag, "here": tag in there} for name, tag in tags.items()])
        case "list":
            out.table(["recipe", "image", "here"], [[name, tag, "yes" if tag in there else "no"] for name, tag in tags.items()])
        case "build":
            build(engine, tags, there, out)
        case "save":
            build(engine, tags, there, out)
            keep(engine, sorted(tags.values()), Path(file or ""))
        case "load":
            load(engine, Path(file or ""))
    return DONE


def build(engine: Docker, tags: dict[str, str], there: frozenset[str], out: Output) -> None:
    for name, tag in tags.items():
        if tag in there:
            out.say(f"{tag} is here")
            continue
        with out.progress(f"building {tag} …"):
            engine.perform(Prepare(tag, name), out.step)
        out.say(f"+ built {tag}")


def keep(engine: Docker, tags: list[str], path: Path) -> None:
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("wb") as out:
            for piece in engine.save(tags):
                out.write(piece)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise RemoraError(f"{path}: cannot be written: {error.strerror}") from None


def load(engine: Docker, path: Path) -> None:
    try:
        with path.open("rb") as file:
            engine.load(file)
    except FileNotFoundError:
        raise RemoraError(f"{path}: no such file; make one with `remora images save FILE`") from None
