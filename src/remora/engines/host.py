"""Which engine: `-H`, DOCKER_HOST, the current docker context, else the usual sockets."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
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

    @property
    def path(self) -> str:
        """The path of its unix socket here, "" where it is reached otherwise."""
        return self.url.removeprefix("unix://") if self.url.startswith("unix://") else ""


def find(asked: str | None) -> Host:
    """The engine to talk to; raises RemoraError where there is none to be found."""
    if asked:
        return named(asked, "-H")
    if os.environ.get("DOCKER_HOST"):
        return named(os.environ["DOCKER_HOST"], "DOCKER_HOST")
    context = current_context()
    if context:
        return context
    for path in usual_sockets():
        if is_socket(path):
            return Host(f"unix://{path}", {"DOCKER_HOST": f"unix://{path}"})
    raise RemoraError("no engine found: start Docker, or say where it is with -H or DOCKER_HOST")


SERVER = r"(\[[0-9a-fA-F:]+\]|\w[\w.-]*)"
ADDRESS = re.compile(rf"unix:///.+|tcp://{SERVER}:\d{{1,5}}/?|ssh://([^@/:-][^@/:]*@)?{SERVER}(:\d{{1,5}})?(/.*)?")


def named(address: str, source: str) -> Host:
    """An address as DOCKER_HOST has it: unix://, tcp:// (TLS by DOCKER_TLS_VERIFY and DOCKER_CERT_PATH), ssh://."""
    if not ADDRESS.fullmatch(address):
        shown = re.sub(r"(?<=:)[^/:@]+(?=@)", "…", address)  # a password, if anything
        raise RemoraError(f"{source} {shown}: not an engine's address; write unix:///PATH, tcp://HOST:PORT or ssh://USER@HOST")
    return Host(address, {"DOCKER_HOST": address}, certificates() if address.startswith("tcp://") else None)


def certificates() -> Any:
    """What DOCKER_TLS_VERIFY and DOCKER_CERT_PATH ask for: a docker.TLSConfig, None without TLS."""
    if not os.environ.get("DOCKER_TLS_VERIFY"):
        return None
    folder = Path(os.environ.get("DOCKER_CERT_PATH") or settings_folder())
    found = tls(folder)
    if not found:
        raise RemoraError(f"{folder}: DOCKER_TLS_VERIFY asks for {', '.join(PEMS)} here; say with DOCKER_CERT_PATH where they are")
    return found


PEMS = ("ca.pem", "cert.pem", "key.pem")


def tls(folder: Path, verify: bool = True) -> Any:
    """The certificates in `folder` as a docker.TLSConfig, None where they are not all there."""
    from docker.tls import TLSConfig

    ca, cert, key = (folder / name for name in PEMS)
    there = ca.is_file() and cert.is_file() and key.is_file()
    return TLSConfig(client_cert=(str(cert), str(key)), ca_cert=str(ca), verify=verify) if there else None


def settings_folder() -> Path:
    """Where the docker command keeps its settings."""
    return Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")


def current_context() -> Host | None:
    """The docker context in use, unless it is the default one, which the usual sockets stand for."""
    folder = settings_folder()
    name = os.environ.get("DOCKER_CONTEXT") or chosen(folder / "config.json")
    if name in ("", "default"):
        return None
    place = hashlib.sha256(name.encode()).hexdigest()
    file = folder / "contexts/meta" / place / "meta.json"
    try:
        endpoint = json.loads(file.read_text())["Endpoints"]["docker"]
        url, verify = str(endpoint["Host"]), not endpoint.get("SkipTLSVerify")
    except FileNotFoundError:
        raise RemoraError(f"{folder}: no docker context `{name}` here; see `docker context ls`") from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        raise RemoraError(f"{file}: not a docker context; remove `{name}` and create it again with `docker context`") from None
    found = named(url, f"docker context `{name}`")
    return replace(found, env={"DOCKER_CONTEXT": name}, tls=tls(folder / "contexts/tls" / place / "docker", verify))


def chosen(config: Path) -> str:
    """The context that the docker command uses by itself; like it, we go on without a file that cannot be read."""
    try:
        return str(json.loads(config.read_text()).get("currentContext", ""))
    except (OSError, ValueError, AttributeError):
        return ""


def usual_sockets() -> list[str]:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    docker = ["/var/run/docker.sock", *([f"{runtime}/docker.sock"] if runtime else []), str(Path.home() / ".docker/run/docker.sock")]
    return [*docker, *([f"{runtime}/podman/podman.sock"] if runtime else []), "/run/podman/podman.sock"]


def is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(Path(path).stat().st_mode)
    except OSError:
        return False
