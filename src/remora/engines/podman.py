"""Podman, through the API that it shares with Docker: what is otherwise there, and nothing else.

Measured on 4.3: `docs/podman.md` has the list. Most of it is said in other words and is translated at the door (`translated`, `retold`);
the rest is done in another way. Starting a container would start those whose namespaces it shares, too; restarting one does not.

Podman removes no container whose namespaces another shares by its id, and Compose could then neither recreate nor remove an app
container. So a sidekick that shares nothing but the network joins it by the path of its namespace, which has a name that is never
used again: what the app container was is of no concern to Podman then. It is made anew for each of the app container's lives. Processes
and ipc have no such path but `/proc/PID/ns`, and a PID is used again: a sidekick that Podman starts by itself, as after a reboot, would
find itself among the processes of whoever has that PID now, the host's own too. So these walls are refused, unless ops accept the hold.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from remora.core import doctor
from remora.core.event import OPENED
from remora.core.sidekick import Spec
from remora.core.walls import held
from remora.core.world import Container, EngineFacts
from remora.engines import inspection
from remora.engines.answers import Missing, Refusal
from remora.engines.docker import WORTH, Docker
from remora.errors import RemoraError

OLDEST = (4, 3)
ACTIONS = {"died": "die", "remove": "destroy"}  # Podman's word, and Docker's
STATES = {"configured": "created", "initialized": "created", "stopped": "exited", "stopping": "running"}
DRIVERS = {"json-file": "k8s-file"}  # what it calls a driver where Docker asks, and what it is: no file that a reader of Docker's knows
ADDED = ("container", "HOME", "HOSTNAME", "TERM")  # variables that it gives every container
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # and one that it gives those whose image has none
PIDS = 2048  # what it caps every container at, unless told otherwise
BODY = "remora-podman.body"  # label: how a sidekick that joins by path is made again
HOMES = ("docker.io/library/", "docker.io/", "localhost/")


class Podman(Docker):
    """One Podman, rootful or rootless. Safe to use from several threads."""

    name = "podman"
    worth = (*WORTH, *ACTIONS, "cleanup")  # which says that one that ended stays so

    def __init__(self, *given: Any, **more: Any) -> None:
        self.given_up: set[str] = set()  # ids, as long as the engine cannot be told (before 5.0)
        self.health: dict[str, str] = {}  # as the last probe of each container found it
        super().__init__(*given, **more)

    def refuse_old(self) -> None:
        version = str(self.told.get("Version", "0"))
        if numbers(version) < OLDEST:
            raise RemoraError(f"the engine at {self.host} is too old: it is Podman {version}, and {OLDEST[0]}.{OLDEST[1]} is needed")

    # ---- looking ----

    def learn(self, info: Mapping[str, Any]) -> EngineFacts:
        """Its id is another at every call, so it goes by the host and the folder that it keeps everything in."""
        return super().learn({**info, "ID": f"podman:{info['Name']}:{info['DockerRootDir']}"})

    def described(self, info: Mapping[str, Any]) -> doctor.Engine:
        """What Docker's form of the answer leaves out stands in Podman's own."""
        host = self.get("/libpod/info")["host"]
        return replace(super().described(info), logging=host.get("logDriver", ""), rootless=bool(host["security"]["rootless"]))

    def get(self, path: str) -> Any:
        """What goes at this very moment is not in its database, and that is an error of its own."""
        try:
            return super().get(path)
        except Refusal as error:
            if "no such container" in str(error):
                raise Missing(error.code, str(error)) from error
            raise

    def rows(self, filters: dict[str, list[str]]) -> Iterable[dict[str, Any]]:
        return (bridged(row) for row in super().rows(filters) if not holds_a_pod(row["Names"][0], row["Image"]))

    def container(self, container: str) -> Container | None:
        found = super().container(container)
        if found is None or holds_a_pod(found.name, found.image):
            return None
        return replace(found, restart="no") if found.id in self.given_up and not found.running else found

    def translated(self, raw: dict[str, Any]) -> dict[str, Any]:
        config, host, state = raw["Config"], raw["HostConfig"], raw["State"]
        driver = host["LogConfig"]["Type"]
        return {
            **bridged(raw),
            "Config": {**config, "Image": familiar(config["Image"]), "Env": [each for each in config["Env"] or [] if not added(each)]},
            "HostConfig": {
                **host,
                "LogConfig": {**host["LogConfig"], "Type": DRIVERS.get(driver, driver)},
                "PidsLimit": 0 if host.get("PidsLimit") == PIDS else host.get("PidsLimit"),
            },
            "State": {**state, "Status": "restarting" if comes_back(raw) else STATES.get(state["Status"], state["Status"])},
        }

    def image(self, image: str) -> tuple[tuple[str, ...] | None, dict[str, Any]]:
        layers, config = super().image(image)
        env = config.get("Env") or []
        return layers, {**config, "Env": env if any(each.startswith("PATH=") for each in env) else [*env, PATH]} if config else config

    def name_filter(self, name: str) -> str:
        return super().name_filter(name).replace("^/", "^", 1)

    def memory(self, container: str) -> int | None:
        """It answers nothing at all for a container that does not run."""
        try:
            return super().memory(container)
        except RemoraError as error:
            if isinstance(error.__cause__, ValueError):
                return None
            raise

    def events(self) -> Iterator[str]:
        """In Docker's words, and of the health probes only those that found something new."""
        for line in super().events():
            if line == OPENED or (line := self.retold(line)):
                yield line

    def retold(self, line: str) -> str:
        """An event in Docker's words; "" for one that says nothing new."""
        try:
            raw = json.loads(line)
            action, attributes = raw["Action"], raw["Actor"].setdefault("Attributes", {})
        except (ValueError, LookupError, TypeError, AttributeError):
            return line
        if action.startswith("health_status") and not self.is_news(
            raw["Actor"].get("ID", ""), f"{attributes.get('health_status', '')}{action}"
        ):
            return ""
        if raw.get("Type") == "network":
            attributes["container"] = raw.get("id", "")
        return json.dumps({**raw, "Action": ACTIONS.get(action, action)})

    def is_news(self, container: str, found: str) -> bool:
        """Whether a probe found something else than the one before; one that does not say is taken for news."""
        before = self.health.get(container)
        self.health[container] = found
        return found == "health_status" or found != before

    # ---- doing ----

    def create(self, spec: Spec) -> str | None:
        """A volume that comes into being with its container would get no labels."""
        for mount in spec.mounts:
            if mount.source in inspection.volumes(spec) and not self.has_volume(mount.source):
                self.client.create_volume(mount.source, labels=inspection.owned(spec))
        return super().create(spec)

    def body(self, spec: Spec) -> dict[str, Any]:
        """A sidekick with the network alone joins it by path, and keeps how it was made."""
        found = super().body(spec)
        parent = self.client.inspect_container(spec.parent) if spec.walls == ("network",) else {}
        if not sandbox(parent):
            return self.without_path(found, spec, parent)
        return joined({**found, "Labels": {**found["Labels"], BODY: json.dumps(found)}}, parent)

    def without_path(self, found: dict[str, Any], spec: Spec, parent: Mapping[str, Any]) -> dict[str, Any]:
        """That of a sidekick whose app container has no path to its network: it has the host's, or none, or the sidekick shares more.

        Raises RemoraError for what would hold the app container.
        """
        if spec.walls == ("network",) and parent["HostConfig"]["NetworkMode"] == "host":
            return {**found, "HostConfig": {**found["HostConfig"], "NetworkMode": "host"}}
        if spec.walls == ("network",) and not spec.may_hold:
            raise RemoraError(f"{spec.why}: sidekicks.{spec.sidekick}.walls: {held(self.name, spec.host, ['network'])}")
        return found

    def again(self, container: str) -> None:
        raw = self.client.inspect_container(container)
        labels = raw["Config"]["Labels"] or {}
        if BODY not in labels:
            super().again(container)
            return
        found, name = json.loads(labels[BODY]), raw["Name"].lstrip("/")
        parent = self.client.inspect_container(labels["remora.parent"])
        if not sandbox(parent):
            raise RemoraError(f"{name}: {parent['Name'].lstrip('/')} has no network to join: it does not run")
        new = joined({**found, "Labels": labels}, parent)
        self.remove(container)
        self.begin(self.client.create_container_from_config(new, name)["Id"])

    def is_taken(self, error: Refusal) -> bool:
        return super().is_taken(error) or "already in use" in str(error)

    def begin(self, container: str) -> None:
        """A plain start would start the app container, too, if that has just been stopped."""
        self.client.restart(container)

    def detach(self, container: str, name: str) -> None:
        """It neither stops nor removes what is paused."""
        with suppress(Refusal):
            self.client.unpause(container)
        super().detach(container, name)

    def remove(self, container: str) -> None:
        try:
            super().remove(container)
        except Refusal as error:
            if "no such container" not in str(error):
                raise

    def halt(self, container: str) -> None:
        """What shares an app container's namespaces keeps it from being removed, so it goes when its app container stops."""
        with suppress(Missing):
            self.client.stop(container)
            self.remove(container)

    def keep_policy(self, container: str, policy: str) -> None:
        """One that was stopped stays so by itself, but for a reboot."""
        (self.given_up.add if policy == "no" else self.given_up.discard)(container)
        with suppress(Missing):  # the call is new in 5.0
            super().keep_policy(container, policy)


def comes_back(raw: Mapping[str, Any]) -> bool:
    """Whether an app container is between two lives: it ended, Podman has not cleaned up behind it, and may start it again.

    Of a sidekick that is never thought: where the cleaning up fails, it would not be started again by us, either.
    """
    policy = (raw["HostConfig"].get("RestartPolicy") or {}).get("Name") or "no"
    return raw["State"]["Status"] == "stopped" and policy != "no" and "remora.sidekick" not in (raw["Config"].get("Labels") or {})


def sandbox(parent: Mapping[str, Any]) -> str:
    """The path of a container's own network namespace, "" where it has none."""
    return str((parent.get("NetworkSettings") or {}).get("SandboxKey") or "")


def joined(body: Mapping[str, Any], parent: Mapping[str, Any]) -> dict[str, Any]:
    """The body of the create call, in the network of `parent` by path, with the names that `parent` knows."""
    files = {"/etc/hosts": parent["HostsPath"], "/etc/resolv.conf": parent["ResolvConfPath"]}
    binds = [{"Type": "bind", "Source": source, "Target": target, "ReadOnly": True} for target, source in files.items()]
    host = body["HostConfig"]
    return {**body, "HostConfig": {**host, "NetworkMode": f"ns:{sandbox(parent)}", "Mounts": [*host["Mounts"], *binds]}}


def is_podman(version: Mapping[str, Any]) -> bool:
    """Whether the answer to `version` is Podman's."""
    return any("podman" in str(each.get("Name", "")).lower() for each in version.get("Components") or [])


def numbers(version: str) -> tuple[int, ...]:
    """The first two numbers of a version."""
    return tuple(int("".join(filter(str.isdigit, part)) or 0) for part in (*version.split("."), "0")[:2])


def familiar(image: str) -> str:
    """An image reference as people write it."""
    for home in HOMES:
        if image.startswith(home):
            return image.removeprefix(home)
    return image


def bridged(raw: dict[str, Any]) -> dict[str, Any]:
    """A row or an inspection, with the network that containers have by default under the name that it is asked for by."""
    settings = raw.get("NetworkSettings") or {}
    networks = {"bridge" if name == "podman" else name: each for name, each in (settings.get("Networks") or {}).items()}
    return {**raw, "NetworkSettings": {**settings, "Networks": networks}}


def added(pair: str) -> bool:
    """Whether Podman itself put this variable there."""
    return pair.partition("=")[0] in ADDED


def holds_a_pod(name: str, image: str) -> bool:
    """Whether it is the container that does nothing but hold the namespaces of a pod."""
    return bool(re.fullmatch(r"/?[0-9a-f]{12}-infra", name)) or "podman-pause:" in image or "/pause:" in image
