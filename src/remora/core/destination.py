"""Where a sidekick sends: a URL of a scheme that remora knows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

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

    Raises ValueError with what is wrong; a password in the URL is refused and not repeated.
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        raise ValueError(f"`{text}` is not a destination; write SCHEME://…, where SCHEME is one of {', '.join(ports)}")
    if scheme not in ports:
        raise ValueError(f"no destination scheme `{scheme}`; {choices(scheme, ports)}")
    if not ports[scheme]:
        return folder(scheme, rest)
    try:
        url = urlsplit(f"//{rest}")
        host, port = url.hostname or "", url.port or ports[scheme]
    except ValueError as error:
        raise ValueError(f"`{scheme}://…` does not parse: {error}") from None
    if "@" in url.netloc:
        raise ValueError("a user or password stands in the URL; credentials are given by reference, under `tls`")
    if not host or url.path.strip("/") or url.query or url.fragment:
        raise ValueError(f"`{text}` must be {scheme}://HOST or {scheme}://HOST:PORT")
    return Destination(scheme, host, port)


def folder(scheme: str, path: str) -> Destination:
    if not path.startswith("/") or "/../" in f"{path}/":
        raise ValueError(f"`{scheme}://{path}` must name an absolute folder of the host: {scheme}:///srv/logs")
    return Destination(scheme, path=path.rstrip("/") or "/")
