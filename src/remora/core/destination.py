"""Where a sidekick sends: a URL of a scheme that remora knows."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from remora.errors import choices


@dataclass(frozen=True)
class Destination:
    """A parsed destination; `path` for a folder of the host, else `host` and `port`."""

    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return f"{self.scheme}://{self.path}"
        return f"{self.scheme}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def id(self) -> str:
        """A short name that stays the same as long as the destination does."""
        return "d-" + hashlib.sha256(str(self).encode()).hexdigest()[:6]


def parse(text: str, ports: Mapping[str, int]) -> Destination:
    """The destination in `text`; `ports` has each scheme's default port, 0 for a scheme that takes a folder.

    Raises ValueError with what is wrong.
    """
    scheme, separator, rest = text.partition("://")
    if not separator or not re.fullmatch(r"[a-z0-9+.-]+", scheme):
        raise ValueError(f"must be SCHEME://…; {choices('', ports)}")
    if scheme not in ports:
        raise ValueError(f"no destination scheme `{scheme}`; {choices(scheme, ports)}")
    return reached(scheme, rest, ports[scheme]) if ports[scheme] else folder(scheme, rest)


def reached(scheme: str, rest: str, default: int) -> Destination:
    """A destination in the network. What does not fit is not repeated, for it may hold a secret."""
    if "@" in rest:
        raise ValueError("a user or password stands in the URL; credentials are given by reference, under `tls`")
    found = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(\d+))?/?", rest)
    if not found:
        raise ValueError(f"must be {scheme}://HOST or {scheme}://HOST:PORT")
    port = int(found[2] or default)
    if not 0 < port < 65536:
        raise ValueError(f"{port} is not a port; there is 1 to 65535")
    return Destination(scheme, found[1].strip("[]").lower(), port)


def folder(scheme: str, path: str) -> Destination:
    """A folder of the host."""
    if not path.startswith("/") or "/../" in f"{path}/":
        raise ValueError(f"must name an absolute folder of the host, such as {scheme}:///srv/logs")
    return Destination(scheme, path=path.rstrip("/") or "/")
