"""What the guard lets through with a body: containers, volumes and files as remora itself makes them, and nothing else.

Whatever an option could be used for, one that is not in the tables below is refused.

Three things look harmless and are the host in disguise: the namespaces of a container that has the host's, a volume that stands for
a folder or a disk, and a folder under one that a sidekick may write to, where it could have laid a symbolic link.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from remora.core.body import Refused, decoded, each, fields, flag, number, only, table, text
from remora.core.selector import MODES
from remora.core.world import MARK, mark


class Absent(Exception):
    """What it is about is not there."""


@dataclass(frozen=True)
class Policy:
    """What ops allow beyond what every sidekick may."""

    paths: Mapping[str, bool] = field(default_factory=dict)  # host path → whether it may be written to
    volumes: Mapping[str, bool] = field(default_factory=dict)  # volume → whether it may be written to
    capabilities: frozenset[str] = frozenset()
    logs: bool = False  # what every container prints may be read through the API


@dataclass(frozen=True)
class Seen:
    """What the guard has to know of a container."""

    id: str
    name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    state: str = "running"
    modes: Mapping[str, str] = field(default_factory=dict)  # NetworkMode, PidMode and IpcMode
    sign: str = ""  # the mark as its env has it


@dataclass(frozen=True)
class Volume:
    """What the guard has to know of a volume."""

    labels: Mapping[str, str] = field(default_factory=dict)
    plain: bool = True  # the engine's own folder, and nothing that lies elsewhere


@dataclass(frozen=True)
class Network:
    """What the guard has to know of a network."""

    id: str
    name: str
    driver: str = "bridge"


class Facts(Protocol):
    """What the guard asks the engine itself, and never the one who calls."""

    def engine(self) -> str:
        """The engine's id."""

    def containers(self) -> str:
        """The folder of the engine's own log files, on its host."""

    def container(self, name: str) -> Seen | None:
        """The container of this name or id, None where there is none."""

    def volume(self, name: str) -> Volume | None:
        """The volume of this name, None where there is none."""

    def network(self, name: str) -> Network | None:
        """The network of this name or id, None where there is none."""

    def recipe(self, image: str, base: str) -> bytes | None:
        """What the sidekick image `image` is built from on `base`, None where it is none of ours."""


# ---- what a body must be ----

MOST = 2**63 - 1
ANY = text(r"(?s).*", "text")
PART = r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*"
REPOSITORY = rf"(?:[A-Za-z0-9.-]+(?::\d+)?/)?{PART}(?:/{PART})*"
REFERENCE = rf"{REPOSITORY}(?::\w[\w.-]*)?(?:@sha256:[0-9a-f]{{64}})?|sha256:[0-9a-f]{{64}}"  # distribution/reference's grammar
NAME = r"[a-zA-Z0-9][a-zA-Z0-9_.-]*"
OWN_VOLUME = r"remora_[a-zA-Z0-9_.-]+"
PATH = r"/|(?:/(?!\.{1,2}(?:/|$))[^/\0]+)+"  # absolute, and as short as it can be
RESTART = ("no", "always", "on-failure", "unless-stopped")

image = text(REFERENCE, "an image")
path = text(PATH, "an absolute path without `.` and `..`")
labels = table(r"remora\.[a-z0-9._-]+", "a label that begins with `remora.`", ANY)
strings = each(ANY, nothing=True)

restart = fields({"Name": only(*RESTART), "MaximumRetryCount": number(0, MOST)}, needed=("Name",))

mount = fields(
    {
        "Type": only("bind", "volume"),
        "Source": ANY,
        "Target": path,
        "ReadOnly": flag,
        "BindOptions": fields({"CreateMountpoint": flag}),
        "VolumeOptions": fields({"Labels": labels}),
    },
    needed=("Type", "Source", "Target"),
)

host = fields(
    {
        "NetworkMode": text(rf"none|(?:container:)?{NAME}", "`none`, container:ID or a network"),
        "PidMode": text(f"container:{NAME}", "container:ID"),
        "IpcMode": text(f"container:{NAME}", "container:ID"),
        "Memory": number(1, MOST),
        "MemorySwap": number(1, MOST),
        "NanoCpus": number(1, MOST),
        "CpuShares": number(2, 1024),
        "PidsLimit": number(1, MOST),
        "OomScoreAdj": number(0, 1000),
        "ReadonlyRootfs": flag,
        "Init": flag,
        "CapDrop": only(["ALL"]),
        "CapAdd": strings,
        "Sysctls": table(r"net\.ipv4\.tcp_wmem", "net.ipv4.tcp_wmem", text(r"\d+ \d+ \d+", "three numbers")),
        "SecurityOpt": only(["no-new-privileges"]),
        "Tmpfs": table(PATH, "an absolute path", text(r"rw,nosuid,nodev,size=\d+[kmg]?", "rw,nosuid,nodev,size=N")),
        "Mounts": each(mount),
        "RestartPolicy": restart,
        "LogConfig": fields(
            {
                "Type": only("json-file"),
                "Config": fields({"max-size": text(r"\d+[kmg]?", "a size"), "max-file": text(r"\d+", "a number")}, ("max-size",)),
            },
            needed=("Type", "Config"),
        ),
    },
    needed=("NetworkMode", "Memory", "MemorySwap", "NanoCpus", "PidsLimit", "CapDrop", "SecurityOpt", "LogConfig"),
)

sidekick = fields(
    {
        "Image": image,
        "Entrypoint": strings,
        "Cmd": strings,
        "Env": each(ANY),
        "Labels": labels,
        "User": ANY,
        "StopTimeout": number(0, 86400),
        "HostConfig": host,
    },
    needed=("Image", "Labels", "HostConfig"),
)

carrier = fields(
    {
        "Image": image,
        "Cmd": only(["-"]),
        "Labels": labels,
        "HostConfig": fields({"NetworkMode": only("none"), "Mounts": each(mount)}, ("NetworkMode", "Mounts")),
    },
    needed=("Image", "Cmd", "Labels", "HostConfig"),
)

change = fields({"RestartPolicy": restart}, needed=("RestartPolicy",))

volume = fields(
    {
        "Name": text(OWN_VOLUME, "a name that begins with `remora_`"),
        "Driver": only(None, "local"),
        "DriverOpts": only(None, {}),
        "Labels": labels,
    },
    needed=("Name", "Labels"),
)


# ---- containers ----


def admitted(body: bytes, name: str | None, policy: Policy, facts: Facts) -> bytes:
    """The body of a create call, as it may be handed on. Raises Refused."""
    found = decoded(body)
    if not isinstance(found, dict) or not isinstance(found.get("Labels"), dict):
        raise Refused("Labels: are missing, and remora always sets them")
    if "remora.carrier" in found["Labels"]:
        carried(found, name, policy, facts)
    else:
        labelled(found, name, facts)
        limited(found["HostConfig"], policy)
        found["HostConfig"] |= namespaces(found["HostConfig"], facts)
        for one in found["HostConfig"].get("Mounts", []):
            mounted(one, policy, facts)
    return json.dumps(found).encode()


def carried(found: dict[str, Any], name: str | None, policy: Policy, facts: Facts) -> None:
    """The container by which secrets are written into a volume of remora's; it is never started."""
    carrier(found, "")
    if name is not None:
        raise Refused("name: remora names no container that carries secrets")
    owner, mounts = found["Labels"], found["HostConfig"]["Mounts"]
    if not owner.get("remora.sidekick"):
        raise Refused("Labels.remora.sidekick: is missing, and remora always sets it")
    if [(one["Type"], one["Source"], one["Target"]) for one in mounts] != [("volume", owner["remora.carrier"], "/secrets")]:
        raise Refused("HostConfig.Mounts: must be the volume that the label remora.carrier names, at /secrets")
    mounted(mounts[0], policy, facts)


def labelled(found: dict[str, Any], name: str | None, facts: Facts) -> None:
    """It has the shape, the labels and the name of a sidekick."""
    sidekick(found, "")
    ours = found["Labels"]
    for label in ("remora.stack", "remora.sidekick"):
        if not ours.get(label):
            raise Refused(f"Labels.{label}: is missing, and remora always sets it")
    if name is None or not re.search(rf"\w\.{re.escape(ours['remora.sidekick'])}(\.|\Z)", name):
        raise Refused(f"name: must be that of a sidekick, such as shop-web-1.{ours['remora.sidekick']}")
    if ours.get(MARK) != mark(facts.engine(), name, ours):
        raise Refused(f"Labels.{MARK}: is not the one that remora sets for these labels on this engine")


def limited(found: dict[str, Any], policy: Policy) -> None:
    """Its options fit together, and its capabilities are allowed."""
    if found["MemorySwap"] != found["Memory"]:
        raise Refused("HostConfig.MemorySwap: must be the same as Memory")
    if found.get("Sysctls") and found["NetworkMode"].startswith("container:"):
        raise Refused("HostConfig.Sysctls: would change the network of another container")
    for name in found.get("CapAdd") or []:
        if name not in policy.capabilities:
            raise Refused(f"HostConfig.CapAdd: `{name}` is not allowed; `remora guard --allow-capability {name}` would")


def namespaces(found: Mapping[str, Any], facts: Facts) -> dict[str, str]:
    """The namespaces that it asks for, of containers by their id: a name could be another's a moment later."""
    asked = {key: found[key] for key in MODES.values() if key in found}
    return {key: joined(key, mode, facts) if mode.startswith("container:") else networked(mode, facts) for key, mode in asked.items()}


def joined(key: str, mode: str, facts: Facts) -> str:
    """`container:ID`, of a container whose namespace is not the host's."""
    found = partner(key, mode, facts)
    last, steps = found, 0
    while (theirs := last.modes.get(key, "")).startswith("container:"):
        last, steps = partner(key, theirs, facts), steps + 1
        if steps > 8:
            raise Refused(f"HostConfig.{key}: the namespace of `{found.name}` cannot be told")
    if theirs == "host" or (key == "NetworkMode" and hosts_own(theirs, facts)):
        raise Refused(f"HostConfig.{key}: `{found.name}` has the host's own namespace")
    return f"container:{found.id}"


def partner(key: str, mode: str, facts: Facts) -> Seen:
    name = mode.removeprefix("container:")
    found = facts.container(name)
    if not found:
        raise Refused(f"HostConfig.{key}: there is no container `{name}`")
    return found


def networked(mode: str, facts: Facts) -> str:
    """`none`, or a network that is not the host's own."""
    if mode == "none":
        return mode
    found = facts.network(mode)
    if not found or mode not in (found.id, found.name):
        raise Refused(f"HostConfig.NetworkMode: there is no network `{mode}`")
    if hosts_own(mode, facts):
        raise Refused(f"HostConfig.NetworkMode: `{mode}` is the host's own network")
    return mode


def hosts_own(name: str, facts: Facts) -> bool:
    """Whether this network is the host's, by whatever name."""
    found = facts.network(name)
    return found is not None and found.driver == "host"


def mounted(found: Mapping[str, Any], policy: Policy, facts: Facts) -> None:
    """It may be mounted, read-only or not."""
    writes = not found.get("ReadOnly", False)
    if found["Type"] == "bind":
        bound(found, writes, policy, facts)
    elif not re.fullmatch(NAME, found["Source"]):
        raise Refused("HostConfig.Mounts: the source of a volume must be its name")
    elif not own(found, facts):
        foreign(found["Source"], writes, policy, facts)


def bound(found: Mapping[str, Any], writes: bool, policy: Policy, facts: Facts) -> None:
    source = found["Source"]
    path(source, "HostConfig.Mounts.Source")
    if "VolumeOptions" in found:
        raise Refused("HostConfig.Mounts.VolumeOptions: remora never sets it for a bind")
    if policy.paths.get(source) or (not writes and (source in policy.paths or source == facts.containers())):
        return
    mode = ":rw" if writes else ""
    raise Refused(f"HostConfig.Mounts: the host path `{source}` is not allowed; `remora guard --allow-path {source}{mode}` would")


def own(found: Mapping[str, Any], facts: Facts) -> bool:
    """Whether it is a volume of remora's, or one that will be."""
    if "BindOptions" in found:
        raise Refused("HostConfig.Mounts.BindOptions: remora never sets it for a volume")
    if not re.fullmatch(OWN_VOLUME, found["Source"]):
        return False
    there = facts.volume(found["Source"])
    given = there.labels if there else found.get("VolumeOptions", {}).get("Labels", {})
    return "remora.stack" in given and (not there or there.plain)


def foreign(name: str, writes: bool, policy: Policy, facts: Facts) -> None:
    """A volume of an app: there, the engine's own folder, and only read, unless ops allow more."""
    there = facts.volume(name)
    if not there:
        raise Refused(f"HostConfig.Mounts: there is no volume `{name}`")
    if policy.volumes.get(name) or (not writes and (there.plain or name in policy.volumes)):
        return
    mode = ":rw" if writes else ""
    why = "may only be read" if there.plain else "stands for something outside of the engine's folder"
    raise Refused(f"HostConfig.Mounts: the volume `{name}` {why}; `remora guard --allow-volume {name}{mode}` would allow it")


# ---- changes, volumes and files ----


def changed(body: bytes) -> bytes:
    """The body of a call that changes a container, as it may be handed on: when it is started again, and nothing else. Raises Refused."""
    found = decoded(body)
    change(found, "")
    return json.dumps(found).encode()


def kept(body: bytes) -> bytes:
    """The body of a call that creates a volume, as it may be handed on. Raises Refused."""
    found = decoded(body)
    volume(found, "")
    if not found["Labels"].get("remora.stack"):
        raise Refused("Labels.remora.stack: is missing, and remora always sets it")
    return json.dumps(found).encode()


def packed(body: bytes) -> bytes:
    """An archive of secrets, written anew: plain files in one folder, and nothing that could lead elsewhere. Raises Refused."""
    buffer = io.BytesIO()
    try:
        with tarfile.open(fileobj=io.BytesIO(body), mode="r:") as given, tarfile.open(fileobj=buffer, mode="w") as made:
            for member in given:
                content = given.extractfile(member) if member.isreg() and not member.issparse() else None
                if not content or not re.fullmatch(r"(?!\.{1,2}\Z)[a-zA-Z0-9._-]+", member.name):
                    raise Refused("the archive holds more than plain files")
                info = tarfile.TarInfo(member.name)
                info.size, info.mode, info.uid, info.gid = member.size, member.mode & 0o777, member.uid, member.gid
                made.addfile(info, content)
    except (tarfile.TarError, OSError, ValueError, EOFError):
        raise Refused("the body is not a tar archive") from None
    return buffer.getvalue()
