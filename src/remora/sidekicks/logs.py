"""Kind `logs`: what the containers print, or files that they write, to where they are needed.

A *reader* without any network appends every line to a spool, and never waits for anybody; a *sender* for each
destination, an rsyslog, takes them from there. One reader for what all containers print (from the engine's own log files,
or, for logging drivers without such a file, through the engine's API), one beside each container for files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from remora.core.destination import Destination, parse
from remora.core.document import Strict, Wrong
from remora.core.kind import Unwoven
from remora.core.ops import Many, Network, Reference, Sidekick, Some
from remora.core.sidekick import App, Caps, Context, Spec
from remora.core.units import Size
from remora.core.walls import Closed, covering
from remora.core.weave import capped
from remora.core.world import Mount

NAME = "logs"
SUMMARY = "Ships what the containers print, or files that they write, with rsyslog, and loses nothing that it need not."

PORTS = {"file": 0, "relp": 2514, "syslog+udp": 514, "syslog+tcp": 514, "syslog+tls": 6514}
FILED = ("json-file",)  # logging drivers whose files a reader can follow, on Docker
SILENT = ("none",)  # logging drivers that keep nothing anybody could read
SMALL_SOCKET = (("net.ipv4.tcp_wmem", "4096 65536 262144"),)  # bounds what a killed TLS sender has to send again


def destinations(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Each must parse, and stand there once."""
    parsed: list[Destination] = []
    for index, text in enumerate(texts):
        try:
            parsed.append(parse(text, PORTS))
        except ValueError as error:
            raise Wrong(str(error), index) from None
        if parsed[-1] in parsed[:-1]:
            raise Wrong("the same destination stands here twice; keep one", index)
    return texts


def absolute(paths: tuple[str, ...]) -> tuple[str, ...]:
    """Each must be a path of the app container."""
    for index, path in enumerate(paths):
        if not path.startswith("/"):
            raise Wrong("must be an absolute path in the app container, such as /var/log/nginx or /var/log/nginx/*.log", index)
    return paths


class Tls(Strict):
    """Who is trusted, and who we are; for `syslog+tls://`."""

    ca: Reference | None = Field(None, description="the authorities that may vouch for the destination, PEM; without it the system's")
    cert: Reference | None = Field(None, description="our certificate, PEM")
    key: Reference | None = Field(None, description="its key, PEM")


class Settings(Sidekick):
    """Logs, from where to where."""

    kind: Literal["logs"] = Field(description="logs")
    from_: Annotated[Many, AfterValidator(absolute)] = Field(
        (), alias="from", description="folders, files or globs in the app container; without it, what the container prints"
    )
    to: Annotated[Some, AfterValidator(destinations)] = Field(
        description="one or more of file:///FOLDER, relp://, syslog+udp://, syslog+tcp://, syslog+tls://"
    )
    tls: Tls = Field(Tls(), description="certificates for syslog+tls://")
    network: Network = Field("bridge", description="the engine's network by which the destinations are reached")
    spool: Size = Field(256 << 20, description="what may wait on disk for destinations that are away; then the oldest goes, counted")
    rotate: Size = Field(100 << 20, description="file:// a file is rotated at this size")
    keep: int = Field(7, ge=1, description="file:// this many rotated files are kept")
    compress: bool = Field(True, description="file:// rotated files are compressed")


def specs(name: str, settings: Settings, apps: Sequence[App], context: Context) -> Iterator[Spec]:
    """Readers and senders on one spool."""
    targets = [parse(text, PORTS) for text in settings.to]
    yield from files(name, settings, apps, context) if settings.from_ else printed(name, settings, apps, context)
    for number, target in enumerate(targets, 1):
        yield sender(name, settings, target, number, context)


def faults(settings: Settings, apps: Sequence[App]) -> Iterable[str]:
    """Containers whose logging driver keeps nothing."""
    if settings.from_:
        return []
    return [
        f"{app.name}: its logging driver is `{app.log_driver}`: what it prints is kept nowhere" for app in apps if app.log_driver in SILENT
    ]


def printed(name: str, settings: Settings, apps: Sequence[App], context: Context) -> Iterator[Spec]:
    """One reader for the host, and one through the engine's API where a logging driver has no files."""
    select = {"stack": context.stack, "selectors": [settings.for_.selector().to_json()]}
    socket = Mount("bind", context.engine.socket, "/var/run/docker.sock", read_only=True)
    if context.engine.name == "podman":  # its files are its own affair, whatever it calls their driver
        yield reader(name, settings, context, "api-reader", {"source": "api", "select": select, "filed": []}, (socket,))
        return
    logs = Mount("bind", context.engine.containers, "/engine", read_only=True)
    yield reader(name, settings, context, "reader", {"source": "engine", "select": select}, (logs,))
    if any(app.log_driver not in FILED + SILENT for app in apps):
        yield reader(name, settings, context, "api-reader", {"source": "api", "select": select}, (socket,))


def files(name: str, settings: Settings, apps: Sequence[App], context: Context) -> Iterator[Spec]:
    """One reader beside each container, which sees the app's files read-only under /files."""
    for app in apps:
        try:
            found = {mount.target: mount for mount in (covering(app, steady(path)) for path in settings.from_)}
        except Closed as error:
            raise Unwoven("from", str(error)) from None
        mounts = tuple(Mount(m.type, m.source, f"/files{m.target}", read_only=True) for m in found.values())
        about = {
            "source": "files",
            "service": app.service,
            "replica": app.replica,
            "container": app.name,
            "id": app.id[:12],
            "paths": [glob for path in settings.from_ for glob in globs(path)],
        }
        yield reader(name, settings, context, "", about, mounts, app)


def steady(path: str) -> str:
    """The part of a glob before its first wildcard: a folder that can be mounted."""
    return re.split(r"[^/]*[*?\[]", path, maxsplit=1)[0].rstrip("/") or "/"


def globs(path: str) -> list[str]:
    """A path without a wildcard may be a file, or a folder of files."""
    return [f"/files{path}"] if steady(path) != path.rstrip("/") else [f"/files{path.rstrip('/')}", f"/files{path.rstrip('/')}/*"]


def reader(
    name: str,
    settings: Settings,
    context: Context,
    role: str,
    about: Mapping[str, object],
    mounts: tuple[Mount, ...],
    app: App | None = None,
) -> Spec:
    """A reader: no network, the spool to write to, one thing to read from."""
    given = {
        **about,
        **ours(name, context),
        "spool": {"bytes": settings.spool},
        "reader": app.name if app else role,
        "destinations": [parse(text, PORTS).id for text in settings.to],
    }
    return context.spec(
        name,
        NAME,
        app,
        role,
        image=context.images["logs"],
        recipe="logs",
        command=("read",),
        env=(("REMORA_LOGS", json.dumps(given, sort_keys=True)),),
        mounts=(*mounts, spool(name, context)),
        tmpfs=("/run", "/tmp"),
        user="0:0",
        caps=capped(settings.limits, Caps(cpus=1.0)),
        cap_add=("DAC_READ_SEARCH",) if app else (),
        stop_seconds=5,
        first=-1,
    )


def sender(name: str, settings: Settings, target: Destination, number: int, context: Context) -> Spec:
    """A sender: the spool, and just the way to its one destination."""
    tls = {key: ref for key, ref in (("ca", settings.tls.ca), ("cert", settings.tls.cert), ("key", settings.tls.key)) if ref}
    secrets = tls if target.scheme == "syslog+tls" else {}
    given = {
        **ours(name, context),
        "destination": str(target),
        "id": target.id,
        "tls": {key: f"/run/secrets/{key}" for key in secrets},
        "file": {"rotate": settings.rotate, "keep": settings.keep, "compress": settings.compress},
        "drain_seconds": 10,
    }
    out = (Mount("bind", target.path, "/out"),) if target.path else ()
    return context.spec(
        name,
        NAME,
        None,
        f"sender-{number}",
        image=context.images["logs"],
        recipe="logs",
        command=("send",),
        env=(("HOSTNAME_OF_ENGINE", context.engine.host), ("REMORA_LOGS", json.dumps(given, sort_keys=True))),
        mounts=(*out, spool(name, context)),
        tmpfs=("/run", "/tmp"),
        secrets=tuple(sorted(secrets.items())),
        network="none" if target.path else settings.network,
        sysctls=SMALL_SOCKET if target.scheme == "syslog+tls" and settings.network != "host" else (),
        user="0:0",
        caps=capped(settings.limits, Caps(cpus=1.0)),
        stop_seconds=15,
        first=-2,
    )


def ours(name: str, context: Context) -> dict[str, str]:
    return {"stack": context.stack, "environment": context.environment, "sidekick": name}


def spool(name: str, context: Context) -> Mount:
    return Mount("volume", context.volume(name), "/spool")
