"""Secrets by reference: looked up at the last moment, handed over as files, and named but never shown."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from remora.core.plan import Action, attached
from remora.core.sidekick import Spec
from remora.errors import RemoraError


def resolve(reference: str, spec: Spec) -> bytes:
    """The secret that `reference` names for `spec`."""
    return look_up(reference, spec.why, spec.owner)


def look_up(reference: str, why: str, owner: str) -> bytes:
    """The secret that `reference` names on the line `why` of the ops file `owner`, where a relative path begins.

    Raises RemoraError, without any of its content, where it is missing.
    """
    with found(reference, why, owner) as place:
        return place.read_bytes() if isinstance(place, Path) else os.environb[place.encode()]


@contextmanager
def found(reference: str, why: str, owner: str) -> Iterator[str | Path]:
    """Around what reads a secret: the variable, which is set, or the file. Raises RemoraError."""
    source, _, name = reference.partition(":")
    if source == "env":
        if name not in os.environ:
            raise RemoraError(f"{why}: the secret `{reference}` is missing: the variable {name} is not set")
        yield name
        return
    try:
        yield Path(owner).parent / Path(name).expanduser()
    except OSError as error:
        raise RemoraError(f"{why}: the secret `{reference}` cannot be read: {error.strerror}") from None


def check(actions: Iterable[Action]) -> None:
    """Every secret that `actions` will need is there; raises RemoraError before anything is changed. None is read: a pipe gives it once."""
    for spec in attached(actions):
        for _, reference in spec.secrets:
            with found(reference, spec.why, spec.owner) as place:
                if isinstance(place, Path) and not place.is_fifo():
                    place.open("rb").close()


def archive(files: Iterable[tuple[str, bytes]], user: str) -> bytes:
    """A tar with `files`, readable by `user` (uid[:gid]) alone."""
    uid, _, gid = user.partition(":")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o400
            info.uid, info.gid = int(uid or 0), int(gid or 0)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()
