"""Kind `reach`: says when a port of the app takes no connections, from inside its own network stack."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import Field

from remora.core.kind import Unwoven
from remora.core.ops import Sidekick
from remora.core.sidekick import App, Context, Spec

NAME = "reach"
SUMMARY = "Says when a port of the app takes no connections."

LOOK = 'while sleep "$2"; do (: </dev/tcp/127.0.0.1/"$1") 2>/dev/null || echo "port $1 takes no connections"; done'


class Settings(Sidekick):
    """What to knock at."""

    kind: Literal["reach"] = Field(description="reach")
    port: int | None = Field(None, ge=1, le=65535, description="the port; without it, the lowest that the container exposes")
    every: int = Field(5, ge=1, description="seconds between two looks")


def specs(name: str, settings: Settings, apps: Sequence[App], context: Context) -> Iterable[Spec]:
    """One container in the network of each app container."""
    for app in apps:
        port = settings.port or min(app.ports, default=None)
        if port is None:
            raise Unwoven("for", f"{app.name} exposes no port; name one with `port`")
        command = ("bash", "-c", LOOK, "reach", str(port), str(settings.every))
        yield context.spec(
            name, NAME, app, image="debian:trixie-slim", command=command, walls=("network",), network="", user="65534:65534", init=True
        )


def faults(settings: Settings, apps: Sequence[App]) -> Iterable[str]:
    """A container may listen where it does not say so: that is no fault, only worth a word."""
    strange = [app.name for app in apps if settings.port and app.ports and settings.port not in app.ports]
    return [f"{name} does not expose port {settings.port}" for name in strange]
