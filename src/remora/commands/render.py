"""`remora render`: the same sidekicks as plain Compose, for those who want to go on without remora."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from remora import files
from remora.cli import DONE
from remora.core.overlay import overlay, write
from remora.core.sidekick import App
from remora.errors import RemoraError
from remora.output import Output
from remora.session import Asked, Session, open_session


def run(asked: Asked, out: Output, to: str, output: str | None) -> int:
    session = open_session(asked)
    world = replace(session.observe(), containers=())
    woven = session.weave(world, [replace(app, user=user(session, app)) for app in session.coming(world)])
    found = overlay(session.project, woven.specs, {app.name: app.service for app in woven.apps})
    text = write(found, session.stack, session.environment, Path(output or "overlay.yaml").name)
    if output:
        save(Path(output), text)
    else:
        out.print(text, end="")
    for line in (*found.missing, *woven.faults):
        out.say(f"! not expressed: {line}")
    return DONE


def user(session: Session, app: App) -> str | None:
    """Whom the app container will run as, as the file or its image says; None where the image is not here."""
    layers, config = session.engine.image(app.image)
    return app.user or (None if layers is None else config.get("User") or "0")


def save(path: Path, text: str) -> None:
    """Raises RemoraError."""
    try:
        files.write(path, text)
    except OSError as error:
        raise RemoraError(f"-o {path}: cannot be written: {error.strerror}") from None
