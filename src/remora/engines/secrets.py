"""Secrets by reference: looked up at the last moment, handed over as files, and named but never shown."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterable
from pathlib import Path

from remora.core.plan import Action, Attach
from remora.core.sidekick import Spec
from remora.errors import RemoraError


def resolve(reference: str, spec: Spec) -> bytes:
    """The secret that `reference` names for `spec`."""
    return look_up(reference, spec.why, spec.owner)


def look_up(reference: str, why: str, owner: str) -> bytes:
    """The secret that `reference` names on the line `why` of the ops file `owner`, where a relative path begins.

    Raises RemoraError, without any of its content, where it is missing.
    """
    source, _, name = reference.partition(":")
    if source == "env":
        if name not in os.environ:
            raise RemoraError(f"{why}: the secret `{reference}` is missing: the variable {name} is not set")
        return os.environb[name.encode()]
    try:
        return (Path(owner).parent / Path(name).expanduser()).read_bytes()
    except OSError as error:
        raise RemoraError(f"{why}: the secret `{reference}` cannot be read: {error.strerror}") from None


def check(actions: Iterable[Action]) -> None:
    """Every secret that `actions` will need is there; raises RemoraError before anything is changed."""
    for action in actions:
        if isinstance(action, Attach):
            for _, reference in action.spec.secrets:
                resolve(reference, action.spec)


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
