"""Which engine: `-H`, DOCKER_HOST, the current docker context, else the usual sockets."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from remora.errors import RemoraError


@dataclass(frozen=True)
class Host:
    """An engine's address, for our own client and for Compose."""

    url: str
    env: Mapping[str, str] = field(default_factory=dict)  # what the docker command needs to reach the same engine
    tls: Any = None  # docker.TLSConfig
    name: str = ""  # what people call it, where that is not the url
    socket: str = ""  # where its socket lies on its own host, where that is not the url's

    def __str__(self) -> str:
        return self.name or self.url


def find(asked: str | None) -> Host:
    """The engine to talk to; raises RemoraError where there is none to be found."""
    address = asked or os.environ.get("DOCKER_HOST")
    if address:
        return named(address)
    context = current_context()
    if context:
        return context
    for path in usual_sockets():
        if is_socket(path):
            return Host(f"unix://{path}", {"DOCKER_HOST": f"unix://{path}"})
    raise RemoraError("no engine found: start Docker, or say where it is with -H or DOCKER_HOST")


def named(address: str) -> Host:
    """An address as DOCKER_HOST has it: unix://, tcp:// (TLS by DOCKER_TLS_VERIFY and DOCKER_CERT_PATH), ssh://."""
    from docker.errors import DockerException
    from docker.utils import kwargs_from_env, parse_host

    try:
        parse_host(address)
        given = kwargs_from_env({**os.environ, "DOCKER_HOST": address})
    except DockerException as error:
        raise RemoraError(
            f"-H {address}: not an engine's address ({error}); write unix://PATH, tcp://HOST:PORT or ssh://USER@HOST"
        ) from None
    return Host(address, {"DOCKER_HOST": address}, given.get("tls"))


def current_context() -> Host | None:
    """The docker context in use, unless it is the default one, which the usual sockets stand for."""
    folder = Path(os.environ.get("DOCKER_CONFIG", Path.home() / ".docker"))
    if "DOCKER_CONTEXT" not in os.environ and not (folder / "config.json").exists():
        return None
    from docker.context import ContextAPI
    from docker.errors import DockerException

    try:
        context = ContextAPI.get_context(os.environ.get("DOCKER_CONTEXT"))
    except DockerException as error:
        raise RemoraError(f"the docker context cannot be read: {error}") from None
    if context is None:
        raise RemoraError(f"no docker context `{os.environ.get('DOCKER_CONTEXT')}`; see `docker context ls`")
    return None if context.Name == "default" else Host(context.Host, {"DOCKER_CONTEXT": context.Name}, context.TLSConfig)


def usual_sockets() -> list[str]:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return ["/var/run/docker.sock", *([f"{runtime}/docker.sock"] if runtime else []), str(Path.home() / ".docker/run/docker.sock")]


def is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(Path(path).stat().st_mode)
    except OSError:
        return False
