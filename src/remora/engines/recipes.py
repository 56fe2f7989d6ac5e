"""The sidekick images: Dockerfiles that ship in the package, tagged by the content of their recipe."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import remora

PACKAGE = Path(remora.__file__).parent
SHARED = {"logs": ("core/selector.py",)}  # modules of the core that an image carries too
WHOLE = ("watch",)  # images that carry all of remora, and are no sidekick's
DEFAULT_BASE = "debian:trixie-slim"


def base() -> str:
    """The image that recipes start from; REMORA_BASE says another."""
    return os.environ.get("REMORA_BASE", DEFAULT_BASE)


def names() -> tuple[str, ...]:
    """The recipes there are."""
    return tuple(sorted(folder.name for folder in (PACKAGE / "images").iterdir() if (folder / "Dockerfile").exists()))


def files(recipe: str) -> Iterator[tuple[str, bytes]]:
    """What the build of `recipe` gets to see: path in the context, content; in a stable order."""
    yield from within(PACKAGE / "images" / recipe)
    for shared in SHARED.get(recipe, ()):
        yield Path(shared).name, (PACKAGE / shared).read_bytes()
    if recipe in WHOLE:
        for name, content in within(PACKAGE):
            yield f"remora/{name}", content


def within(folder: Path) -> Iterator[tuple[str, bytes]]:
    """The files in a folder, without what a program left there."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not any(part.startswith((".", "__pycache__")) for part in name.parts):
            yield name.as_posix(), path.read_bytes()


@cache
def tag(recipe: str) -> str:
    """`remora/NAME:HASH`: an upgrade rebuilds just what changed."""
    return tagged(recipe, base())


def tagged(recipe: str, start: str) -> str:
    """The tag of `recipe` on the image `start`."""
    digest = hashlib.sha256(start.encode())
    for name, content in files(recipe):
        digest.update(f"\0{name}\0{len(content)}\0".encode() + content)
    return f"remora/{recipe}:{digest.hexdigest()[:12]}"


def tags() -> dict[str, str]:
    """Recipe → image reference, of the images that sidekicks run."""
    return {name: tag(name) for name in names() if name not in WHOLE}


def context(recipe: str) -> io.BytesIO:
    """The build context as a tar, the same bytes for the same recipe."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files(recipe):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o755 if content.startswith(b"#!") else 0o644
            tar.addfile(info, io.BytesIO(content))
    buffer.seek(0)
    return buffer
