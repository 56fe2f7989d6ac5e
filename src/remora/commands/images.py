"""`remora images`: the sidekick images, built here and carried to hosts without network."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from remora.cli import DONE
from remora.core.plan import Prepare
from remora.engines import recipes
from remora.engines.connect import connect
from remora.engines.docker import Docker
from remora.engines.host import find
from remora.engines.tunnel import reach
from remora.errors import RemoraError, WrongUsage, choices
from remora.files import whole
from remora.output import Output


def run(action: str, file: str | None, only: str | None, host: str | None, as_json: bool, out: Output) -> int:
    if action in ("save", "load") and not file:
        raise WrongUsage(f"images {action}: name the file: `remora images {action} FILE`")
    if only and only not in recipes.names():
        raise WrongUsage(f"images --only {only}: no such image; {choices(only, recipes.names())}")
    engine = connect(reach(find(host)))
    tags = {name: recipes.tag(name) for name in recipes.names() if only in (None, name)}
    there = engine.having(tags.values())
    match action:
        case "list" if as_json:
            out.json([{"recipe": name, "image": tag, "here": tag in there} for name, tag in tags.items()])
        case "list":
            out.table(["recipe", "image", "here"], [[name, tag, "yes" if tag in there else "no"] for name, tag in tags.items()])
        case "build":
            build(engine, tags, there, out)
        case "save":
            with kept_in(Path(file or "")) as kept:
                build(engine, tags, there, out)
                for piece in engine.save(sorted(tags.values())):
                    kept.write(piece)
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


@contextmanager
def kept_in(path: Path) -> Iterator[BinaryIO]:
    """The file to save to, whole or not at all. Raises RemoraError."""
    try:
        with whole(path) as file:
            yield file
    except OSError as error:
        raise RemoraError(f"{path}: cannot be written: {error.strerror}") from None


def load(engine: Docker, path: Path) -> None:
    made = "`remora images save FILE` makes one"
    try:
        with tarfile.open(path) as tar:
            known = "manifest.json" in tar.getnames()
        with path.open("rb") as file:
            if not known:
                raise RemoraError(f"{path}: not a file of images; {made}")
            engine.load(file)
    except FileNotFoundError:
        raise RemoraError(f"{path}: no such file; {made}") from None
    except (tarfile.TarError, EOFError, zlib.error):
        raise RemoraError(f"{path}: not a file of images, or not all of it; {made}") from None
    except OSError as error:
        raise RemoraError(f"{path}: cannot be read: {error.strerror or error}") from None
