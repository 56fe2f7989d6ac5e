"""From the engine's JSON to a Container and from a Spec to the engine's JSON: where its types stop."""

from __future__ import annotations

from collections.abc import Mapping
from sys import intern
from typing import Any

from remora.core.selector import MODES, joined, variables
from remora.core.sidekick import Spec
from remora.core.world import MARK, SIGN, Container, Mount, mark

TMPFS = "rw,nosuid,nodev,size=64m"
OWN_LOGS = {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "2"}}
NO_EXPOSURE = 500  # oom_score_adj: when memory is short, a sidekick goes before any app
LOW_SHARE = 256  # of cpu, where 1024 is what an app has when both want it


def container(raw: Mapping[str, Any], lean: bool = False) -> Container:
    """The container in an inspection, which stays with it unless `lean`."""
    config, host, state = raw["Config"], raw["HostConfig"], raw["State"]
    return Container(
        id=raw["Id"],
        name=raw["Name"].lstrip("/"),
        image=config["Image"],
        image_id=raw["Image"],
        labels=shared(config.get("Labels") or {}),
        env=shared(variables(config.get("Env") or [])),
        state=state["Status"],
        started_at=state["StartedAt"],
        finished_at=state["FinishedAt"],
        exit_code=state["ExitCode"],
        oom_killed=state["OOMKilled"],
        restarts=raw.get("RestartCount", 0),
        error=state.get("Error", ""),
        health=(state.get("Health") or {}).get("Status", "").replace("none", ""),
        restart=(host.get("RestartPolicy") or {}).get("Name") or "no",
        mounts=mounts(raw),
        ports=frozenset(int(port.split("/")[0]) for port in {**(config.get("ExposedPorts") or {}), **(host.get("PortBindings") or {})}),
        networks=tuple(sorted(raw["NetworkSettings"].get("Networks") or {})),
        joins=joined(host),
        user=config.get("User") or "",
        log_driver=host["LogConfig"]["Type"],
        memory=host.get("Memory") or 0,
        config={} if lean else raw,
    )


def shared(pairs: Mapping[str, str]) -> dict[str, str]:
    """The same pairs; what thousands of containers have in common is in memory once."""
    return {intern(key): intern(value) for key, value in pairs.items()}


def mounts(raw: Mapping[str, Any]) -> tuple[Mount, ...]:
    """Volumes, binds and tmpfs, in order of their targets."""
    found = [
        Mount(each["Type"], each.get("Name") or each.get("Source", ""), each["Destination"], not each.get("RW", True))
        for each in raw.get("Mounts") or []
    ]
    found += [Mount("tmpfs", "", path) for path in raw["HostConfig"].get("Tmpfs") or {}]
    return tuple(sorted(found, key=lambda mount: mount.target))


def creation(spec: Spec, engine: str) -> dict[str, Any]:
    """The body of the create call of the engine whose id is `engine`."""
    sign = mark(engine, spec.name, spec.labels)
    return {
        "Image": spec.image,
        "Entrypoint": None if spec.entrypoint is None else list(spec.entrypoint),
        "Cmd": None if spec.command is None else list(spec.command),
        "Env": [*(f"{key}={value}" for key, value in spec.env), f"{SIGN}={sign}"],
        "Labels": {**spec.labels, MARK: sign},
        "User": spec.user,
        "StopTimeout": spec.stop_seconds,
        "HostConfig": {
            **namespaces(spec),
            "Memory": spec.caps.memory,
            "MemorySwap": spec.caps.memory,
            "NanoCpus": int(spec.caps.cpus * 1e9),
            "CpuShares": LOW_SHARE,
            "PidsLimit": spec.caps.pids,
            "OomScoreAdj": NO_EXPOSURE,
            "ReadonlyRootfs": spec.read_only,
            "Init": spec.init,
            "CapDrop": ["ALL"],
            "CapAdd": list(spec.cap_add),
            "Sysctls": dict(spec.sysctls),
            "SecurityOpt": ["no-new-privileges"],
            "Tmpfs": dict.fromkeys(spec.tmpfs, TMPFS),
            "Mounts": [mounted(mount, spec) for mount in spec.mounts] + secrets(spec),
            "RestartPolicy": {"Name": spec.restart},
            "LogConfig": OWN_LOGS,
        },
    }


def namespaces(spec: Spec) -> dict[str, str]:
    """The shared namespaces, by the id of the app container, as the engine keeps them."""
    shared = {MODES[wall]: f"container:{spec.parent}" for wall in spec.walls}
    return {"NetworkMode": spec.network or "none", **shared}


def mounted(mount: Mount, spec: Spec) -> dict[str, Any]:
    """A mount; a volume that it brings into being is labelled, a missing host folder is made."""
    body: dict[str, Any] = {"Type": mount.type, "Source": mount.source, "Target": mount.target, "ReadOnly": mount.read_only}
    if mount.type == "bind":
        return {**body, "BindOptions": {"CreateMountpoint": not mount.read_only}}
    if mount.source.startswith("remora_"):
        return {**body, "VolumeOptions": {"Labels": owned(spec)}}
    return body


def owned(spec: Spec) -> dict[str, str]:
    """The labels of a sidekick's own volume."""
    return {"remora.stack": spec.stack, "remora.volume": spec.sidekick, "remora.ops": spec.owner}


def secret_volume(spec_name: str) -> str:
    return f"remora_{spec_name}_secrets"


def volumes(spec: Spec) -> list[str]:
    """The volumes that are the sidekick's own."""
    own = [mount.source for mount in spec.mounts if mount.type == "volume" and mount.source.startswith("remora_")]
    return [*own, *([secret_volume(spec.name)] if spec.secrets else [])]


def secrets(spec: Spec) -> list[dict[str, Any]]:
    """The volume with the secrets, read-only."""
    if not spec.secrets:
        return []
    return [{"Type": "volume", "Source": secret_volume(spec.name), "Target": "/run/secrets", "ReadOnly": True}]
