"""An engine without containers: it speaks Docker's Engine API over a unix socket for as many as a test likes, and fails on demand.

It keeps to what Docker does where a watcher depends on it: names are taken, a namespace is joined by the id of a container that runs, a
new life has new namespaces, who shares the process space dies with it. It runs in a process of its own (`python simulator.py SOCKET`);
`Simulated` is a test's end of it, and speaks to it through the same socket, under `/simulator/`.

Answers are bytes made once for each state of a container, for the engine has to be faster than the watcher that is measured.
"""

from __future__ import annotations

import asyncio
import http.client
import io
import json
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import tarfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import formatdate
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from remora.core.uptime import human
from remora.core.world import NUMBER, SERVICE, STACK

VERSION = {"Version": "26.1.5", "ApiVersion": "1.45", "MinAPIVersion": "1.24", "Os": "linux", "Arch": "amd64"}
INFO = {"ID": "SIMULATED", "Name": "simulated", "ServerVersion": "26.1.5", "DockerRootDir": "/var/lib/docker", "OSType": "linux"}
LAYER = {"Id": "sha256:" + "1" * 64, "Config": {"User": ""}, "RootFS": {"Type": "layers", "Layers": ["sha256:" + "2" * 64]}}
ZERO = "0001-01-01T00:00:00Z"
KEPT = 256  # events that the engine remembers
KILLED = 137

# What nobody looks at, but has to be read past: the rest of an inspection of a real engine.
BALLAST_HOST: dict[str, Any] = {
    **dict.fromkeys(("Binds", "VolumesFrom", "CapAdd", "CapDrop", "ExtraHosts", "GroupAdd", "Links", "SecurityOpt", "DeviceRequests")),
    **dict.fromkeys(("CpuShares", "NanoCpus", "BlkioWeight", "CpuPeriod", "CpuQuota", "MemoryReservation", "MemorySwap", "CpuCount"), 0),
    **dict.fromkeys(("CpuRealtimePeriod", "CpuRealtimeRuntime", "IOMaximumIOps", "IOMaximumBandwidth", "OomScoreAdj"), 0),
    **{key: [] for key in ("BlkioWeightDevice", "BlkioDeviceReadBps", "BlkioDeviceWriteBps", "Dns", "DnsOptions", "DnsSearch", "Devices")},
    **dict.fromkeys(("VolumeDriver", "PidMode", "UTSMode", "UsernsMode", "Isolation", "CgroupParent", "CpusetCpus", "CpusetMems"), ""),
    "MaskedPaths": [f"/proc/{name}" for name in ("asound", "acpi", "kcore", "keys", "latency_stats", "timer_list", "sched_debug", "scsi")],
    "ReadonlyPaths": [f"/proc/{name}" for name in ["bus", "fs", "irq", "sys", "sysrq-trigger"]],
}
LAYERS = {name: f"/var/lib/docker/overlay2/{'4fb4' * 16}/{name.lower()}" for name in ("LowerDir", "MergedDir", "UpperDir", "WorkDir")}
ENDPOINT = {
    **dict.fromkeys(("IPAMConfig", "Links", "Aliases", "DriverOpts", "DNSNames")),
    "MacAddress": "02:42:ac:11:00:02",
    "NetworkID": "06ed" * 16,
    "EndpointID": "0bb4" * 16,
    "Gateway": "172.17.0.1",
    "IPAddress": "172.17.0.2",
    "IPPrefixLen": 16,
    "IPv6Gateway": "",
    "GlobalIPv6Address": "",
    "GlobalIPv6PrefixLen": 0,
}


class Refused(Exception):
    """The engine says no."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.code = code


def stamp(at: float) -> str:
    """A time as the engine writes it."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "001Z"


class Box:
    """One container."""

    def __init__(self, id: str, name: str, body: Mapping[str, Any]) -> None:
        self.id, self.name, self.body = id, name, body
        self.labels: dict[str, str] = body.get("Labels") or {}
        self.host: dict[str, Any] = body.get("HostConfig") or {}
        self.created, self.started, self.finished = time.time(), 0.0, 0.0
        self.state, self.code, self.restarts, self.health = "created", 0, 0, ""
        self.lives = 0
        self.joined: dict[str, int] = {}  # the container whose namespaces it shares → which life of it
        self.memo: dict[str, bytes] = {}

    @property
    def up(self) -> bool:
        return self.state in ("running", "paused")

    def hosts(self) -> dict[str, str]:
        """The containers whose namespaces it shares, by kind of namespace."""
        modes = {kind: str(self.host.get(kind) or "") for kind in ("NetworkMode", "PidMode", "IpcMode")}
        return {kind: mode.partition(":")[2] for kind, mode in modes.items() if mode.startswith("container:")}

    @property
    def networks(self) -> dict[str, Any]:
        mode = str(self.host.get("NetworkMode") or "bridge")
        return {} if mode.startswith("container:") else {mode: ENDPOINT}

    def changed(self) -> None:
        self.memo.clear()

    def inspection(self) -> bytes:
        if "inspection" not in self.memo:
            self.memo["inspection"] = json.dumps(self.inspected()).encode()
        return self.memo["inspection"]

    def inspected(self) -> dict[str, Any]:
        state: dict[str, Any] = {
            "Status": self.state,
            "Running": self.up,
            "Paused": self.state == "paused",
            "Restarting": False,
            "OOMKilled": False,
            "Dead": False,
            "Pid": 4711 if self.up else 0,
            "ExitCode": self.code,
            "Error": "",
            "StartedAt": stamp(self.started) if self.started else ZERO,
            "FinishedAt": stamp(self.finished) if self.finished else ZERO,
        }
        if self.health:
            state["Health"] = {"Status": self.health, "FailingStreak": 0, "Log": []}
        folder = f"/var/lib/docker/containers/{self.id}"
        return {
            "Id": self.id,
            "Created": stamp(self.created),
            "Path": "sleep",
            "Args": ["infinity"],
            "State": state,
            "Image": LAYER["Id"],
            **{f"{what}Path": f"{folder}/{what.lower()}" for what in ("ResolvConf", "Hostname", "Hosts", "Log")},
            "Name": f"/{self.name}",
            "RestartCount": self.restarts,
            "Driver": "overlay2",
            "Platform": "linux",
            "HostConfig": {**BALLAST_HOST, "LogConfig": {"Type": "json-file", "Config": {}}, "NetworkMode": "bridge", **self.host},
            "GraphDriver": {"Data": LAYERS, "Name": "overlay2"},
            "Mounts": [
                {"Type": m["Type"], "Name": m["Source"], "Source": m["Source"], "Destination": m["Target"], "RW": not m.get("ReadOnly")}
                for m in self.host.get("Mounts") or []
            ],
            "Config": {
                "Hostname": self.id[:12],
                "User": self.body.get("User") or "",
                "Env": self.body.get("Env"),
                "Cmd": self.body.get("Cmd"),
                "Image": self.body["Image"],
                "Entrypoint": self.body.get("Entrypoint"),
                "WorkingDir": "",
                "Labels": self.labels,
            },
            "NetworkSettings": {"SandboxID": "1c9e" * 16, "SandboxKey": "/run/docker/netns/1c9e6b90db53", "Networks": self.networks},
        }

    def row(self, now: float) -> bytes:
        """Its row in the list: only the words for how long are made anew."""
        if "row" not in self.memo:
            row = {
                "Id": self.id,
                "Names": [f"/{self.name}"],
                "Image": self.body["Image"],
                "ImageID": LAYER["Id"],
                "Command": "sleep infinity",
                "Created": int(self.created),
                "Ports": [],
                "Labels": self.labels,
                "State": self.state,
                "HostConfig": {"NetworkMode": self.host.get("NetworkMode") or "bridge"},
                "NetworkSettings": {"Networks": self.networks},
                "Mounts": [],
                "Status": "",
            }
            self.memo["row"] = json.dumps(row).encode()[: -len('"}')]
        return self.memo["row"] + self.words(now).encode() + b'"}'

    def words(self, now: float) -> str:
        match self.state:
            case "created":
                return "Created"
            case "exited":
                return f"Exited ({self.code}) {human(now - self.finished)} ago"
        remark = "Paused" if self.state == "paused" else self.health
        return f"Up {human(now - self.started)}{f' ({remark})' if remark else ''}"


class Engine:
    """The containers, and what can be done to them."""

    def __init__(self) -> None:
        self.boxes: dict[str, Box] = {}
        self.names: dict[str, str] = {}
        self.volumes: dict[str, dict[str, Any]] = {}
        self.beside: dict[str, dict[str, Box]] = {}  # container → those that share namespaces of it
        self.numbers = count(1)
        self.listeners: list[Callable[[bytes], None]] = []
        self.past: deque[tuple[float, bytes]] = deque(maxlen=KEPT)
        self.lost, self.chance = 0.0, random.Random(1)
        self.told = 0
        self.asked: dict[str, float] = {}  # app container → since when its sidekicks have to be started again
        self.lags: list[float] = []

    # ---- what clients ask for ----

    def find(self, known: str) -> Box:
        box = self.boxes.get(known) or self.boxes.get(self.names.get(known, ""))
        if not box:
            raise Refused(404, f"No such container: {known}")
        return box

    def listed(self, filters: Mapping[str, list[str]]) -> bytes:
        now = time.time()
        labels = [pair.partition("=") for pair in filters.get("label", ())]
        names = [re.compile(pattern) for pattern in filters.get("name", ())]
        rows = [
            box.row(now)
            for box in reversed(self.boxes.values())
            if all(key in box.labels and (not equals or box.labels[key] == value) for key, equals, value in labels)
            and (not names or any(name.search(f"/{box.name}") for name in names))
        ]
        return b"[" + b",".join(rows) + b"]"

    def create(self, name: str, body: Mapping[str, Any]) -> Box:
        id = f"{next(self.numbers):064x}"
        name = name or f"nameless_{id[-8:]}"
        if name in self.names:
            raise Refused(409, f'Conflict. The container name "/{name}" is already in use by container "{self.names[name]}".')
        box = Box(id, name, body)
        for host in box.hosts().values():
            self.beside.setdefault(self.find(host).id, {})[id] = box
        for mount in box.host.get("Mounts") or []:
            if mount["Type"] == "volume":
                self.volume(mount["Source"], (mount.get("VolumeOptions") or {}).get("Labels"))
        self.boxes[id], self.names[name] = box, id
        self.tell("create", box)
        return box

    def start(self, box: Box) -> None:
        if box.up:
            raise Refused(304, "")
        for host in set(box.hosts().values()):
            if not self.boxes.get(host) or not self.boxes[host].up:
                raise Refused(409, f"cannot join the namespaces of a container that does not run: {host}")
        box.joined = {host: self.boxes[host].lives for host in box.hosts().values()}
        box.state, box.code, box.started = "running", 0, time.time()
        box.lives += 1
        box.changed()
        self.tell("start", box)
        for host in box.joined:
            if host in self.asked:
                self.lags.append(time.time() - self.asked.pop(host))

    def stop(self, box: Box, code: int = 0) -> None:
        if not box.up:
            raise Refused(304, "")
        box.state, box.code, box.finished = "exited", code, time.time()
        box.changed()
        self.tell("die", box)
        for other in list(self.beside.get(box.id, {}).values()):
            if other.up and other.hosts().get("PidMode") == box.id:
                self.stop(other, KILLED)

    def restart(self, box: Box) -> None:
        if box.up:
            self.stop(box)
        self.start(box)

    def remove(self, box: Box, force: bool) -> None:
        if box.up and not force:
            raise Refused(409, f"cannot remove container: {box.name} is running")
        if box.up:
            self.stop(box, KILLED)
        del self.boxes[box.id], self.names[box.name]
        for host in box.hosts().values():
            self.beside.get(host, {}).pop(box.id, None)
        self.tell("destroy", box)

    def update(self, box: Box, body: Mapping[str, Any]) -> None:
        box.host = {**box.host, **body}
        box.changed()
        self.tell("update", box)

    def volume(self, name: str, labels: Mapping[str, str] | None) -> None:
        self.volumes.setdefault(name, {"Labels": labels, "CreatedAt": stamp(time.time())})

    def drop(self, volume: str) -> None:
        if volume not in self.volumes:
            raise Refused(404, f"get {volume}: no such volume")
        if any(mount["Source"] == volume for box in self.boxes.values() for mount in box.host.get("Mounts") or []):
            raise Refused(409, f"remove {volume}: volume is in use")
        del self.volumes[volume]

    # ---- what only happens ----

    def app(self, number: int, replica: int = 1, stack: str = "shop") -> Box:
        """Begin an app container, as Compose would."""
        name = f"{stack}-s{number}-{replica}"
        labels = {STACK: stack, SERVICE: f"s{number}", NUMBER: str(replica), "com.docker.compose.config-hash": "ab" * 32}
        env = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", f"SERVICE=s{number}"]
        box = self.create(name, {"Image": "shop/app:1", "Labels": labels, "Env": env, "Cmd": ["serve"]})
        self.start(box)
        return box

    def new_life(self, box: Box) -> None:
        """Restart an app container, and note when somebody answers that."""
        self.restart(box)
        self.asked.setdefault(box.id, time.time())

    def recreate(self, box: Box) -> None:
        self.remove(box, force=True)
        self.start(self.create(box.name, box.body))

    def flip(self, box: Box) -> None:
        """A health check that changes its mind: what storms are mostly made of."""
        box.health = "unhealthy" if box.health == "healthy" else "healthy"
        box.changed()
        self.tell(f"health_status: {box.health}", box)

    def apps(self) -> list[Box]:
        return [box for box in self.boxes.values() if "remora.sidekick" not in box.labels and "remora.carrier" not in box.labels]

    def misplaced(self) -> list[str]:
        """Sidekicks that run in namespaces of the past."""
        return [
            box.name
            for box in self.boxes.values()
            if box.up and any(host not in self.boxes or self.boxes[host].lives != life for host, life in box.joined.items())
        ]

    def tell(self, action: str, box: Box) -> None:
        now = time.time()
        attributes = {**box.labels, "image": box.body["Image"], "name": box.name}
        event = {
            "status": action,
            "id": box.id,
            "from": box.body["Image"],
            "Type": "container",
            "Action": action,
            "Actor": {"ID": box.id, "Attributes": attributes},
            "scope": "local",
            "time": int(now),
            "timeNano": int(now * 1e9),
        }
        if not self.listeners and len(self.boxes) > KEPT:
            return
        line = json.dumps(event).encode() + b"\n"
        self.past.append((now, line))
        if self.lost and self.chance.random() < self.lost:
            return
        self.told += 1
        for listener in self.listeners:
            listener(line)


class Fault:
    """What goes wrong with some of the calls: from the `after`-th that fits on, `times` times."""

    def __init__(self, how: str, match: str = "", after: int = 0, times: int = 1) -> None:
        self.how, self.match, self.after, self.times = how, re.compile(match), after, times

    def strikes(self, call: str) -> bool:
        if self.times <= 0 or not self.match.search(call):
            return False
        self.after -= 1
        if self.after >= 0:
            return False
        self.times -= 1
        return True


class Service:
    """The engine, what goes wrong with it, and who called."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.faults: list[Fault] = []
        self.calls: list[str] = []
        self.keeps = False  # whether calls are written down
        self.counted: Counter[str] = Counter()
        self.storming: list[asyncio.Task[None]] = []

    def fault(self, call: str) -> str:
        self.counted[re.sub(r"/[0-9a-f]{64}", "/ID", call.partition("?")[0])] += 1
        if self.keeps:
            self.calls.append(call)
        return next((fault.how for fault in self.faults if fault.strikes(call)), "")

    def answer(self, method: str, path: str, query: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        """What the engine answers to one call."""
        engine, words = self.engine, path.strip("/").split("/")
        given = json.loads(body) if body and path.endswith(("/create", "/update")) else {}
        match method, words:
            case "GET", ["_ping"]:
                return 200, b"OK"
            case "GET", ["version"]:
                return 200, json.dumps(VERSION).encode()
            case "GET", ["info"]:
                return 200, json.dumps(INFO).encode()
            case "GET", ["containers", "json"]:
                return 200, engine.listed(json.loads(query.get("filters") or "{}"))
            case "GET", ["containers", name, "json"]:
                return 200, engine.find(name).inspection()
            case "GET", ["images", *_]:
                return 200, json.dumps(LAYER).encode()
            case "GET", ["networks"]:
                return 200, json.dumps([{"Name": name, "Id": name * 16} for name in ("bridge", "none", "host")]).encode()
            case "GET", ["containers", name, "archive"]:
                engine.find(name)
                return 200, PASSWD
            case "PUT", ["containers", name, "archive"]:
                engine.find(name)
                return 200, b""
            case "POST", ["containers", "create"]:
                return 201, json.dumps({"Id": engine.create(query.get("name", ""), given).id, "Warnings": []}).encode()
            case "POST", ["containers", name, "start" | "stop" | "restart" as verb]:
                getattr(engine, verb)(engine.find(name))
                return 204, b""
            case "POST", ["containers", name, "update"]:
                engine.update(engine.find(name), given)
                return 200, b'{"Warnings":[]}'
            case "DELETE", ["containers", name]:
                engine.remove(engine.find(name), query.get("force", "") in ("1", "true", "True"))
                return 204, b""
            case "GET", ["volumes"]:
                labels = [pair.partition("=") for pair in json.loads(query.get("filters") or "{}").get("label", ())]
                found = [
                    {"Name": name, **volume}
                    for name, volume in engine.volumes.items()
                    if all(
                        key in (volume["Labels"] or {}) and (not equals or volume["Labels"][key] == value) for key, equals, value in labels
                    )
                ]
                return 200, json.dumps({"Volumes": found}).encode()
            case "GET", ["volumes", name]:
                if name not in engine.volumes:
                    raise Refused(404, f"get {name}: no such volume")
                return 200, json.dumps({"Name": name, **engine.volumes[name]}).encode()
            case "POST", ["volumes", "create"]:
                engine.volume(given["Name"], given.get("Labels"))
                return 201, json.dumps({"Name": given["Name"]}).encode()
            case "DELETE", ["volumes", name]:
                engine.drop(name)
                return 204, b""
            case _, ["simulator", verb]:
                return 200, json.dumps(getattr(self, verb)(**json.loads(body or b"{}"))).encode()
        raise Refused(404, f"page not found: {method} {path}")

    # ---- what a test asks for ----

    def reset(self) -> None:
        """Begin again, with nothing."""
        self.cut()
        self.engine, self.faults, self.calls, self.keeps = Engine(), [], [], False

    def cut(self) -> None:
        """End every stream of events."""
        for listener in list(self.engine.listeners):
            listener.__self__.transport.abort()  # type: ignore[attr-defined]

    def age(self, seconds: float) -> None:
        """What is there was made so much earlier."""
        for box in self.engine.boxes.values():
            box.created -= seconds
            box.changed()
        for volume in self.engine.volumes.values():
            volume["CreatedAt"] = stamp(time.time() - seconds)

    def fill(self, apps: int, first: int = 0) -> None:
        for number in range(first, first + apps):
            self.engine.app(number)

    def attach(self, ops: str, owner: str) -> int:
        """Have the sidekicks of an ops file there, as if a watcher had made them long ago."""
        from remora.core import ops as ops_file
        from remora.core import weave
        from remora.core.sidekick import Context
        from remora.core.world import EngineFacts, World
        from remora.engines import inspection
        from remora.sidekicks import KINDS, settings

        world = World(EngineFacts(id=INFO["ID"]), tuple(inspection.container(box.inspected()) for box in self.engine.boxes.values()))
        found = ops_file.read(ops, Path(owner).name, owner, settings())
        facts = EngineFacts("docker", INFO["ServerVersion"], INFO["DockerRootDir"], INFO["Name"], INFO["ID"])
        context = Context(found.stack or "", found.environment(None), owner, facts)
        specs = weave.weave(found, weave.present(world, found.stack or ""), context, KINDS).specs
        for spec in specs:
            if spec.secrets:
                labels = inspection.owned(spec) | {"remora.secrets": spec.name}
                self.engine.volume(inspection.secret_volume(spec.name), labels)
            self.engine.start(self.engine.create(spec.name, inspection.creation(spec, INFO["ID"])))
        return len(specs)

    def fail(self, how: str = "", match: str = "", after: int = 0, times: int = 1) -> None:
        """Without `how`: all goes well again."""
        self.faults = [*self.faults, Fault(how, match, after, times)] if how else []

    def lose(self, share: float) -> None:
        """Events that are not told to anybody."""
        self.engine.lost = share

    def happen(self, what: str, name: str) -> None:
        """Something happens to one container."""
        box = self.engine.find(name)
        if what == "remove":
            self.engine.remove(box, force=True)
        else:
            getattr(self.engine, what)(box)

    def storm(self, rate: float, seconds: float, share: float = 0.02, among: int = 0) -> None:
        """So many changes a second: that share of them new lives of app containers, the others of their health."""
        self.storming.append(asyncio.ensure_future(self.blow(rate, seconds, share, among)))

    async def blow(self, rate: float, seconds: float, share: float, among: int) -> None:
        apps, chance, began, done = self.engine.apps(), random.Random(2), time.monotonic(), 0
        apps = apps[:among] if among else apps
        while (since := time.monotonic() - began) < seconds:
            while done < since * rate:
                box = apps[chance.randrange(len(apps))]
                if chance.random() < share and box.id not in self.engine.asked:
                    self.engine.new_life(box)
                else:
                    self.engine.flip(box)
                done += 1
            await asyncio.sleep(0.001)

    def watch(self) -> None:
        """Write down the calls from here on."""
        self.keeps, self.calls = True, []
        self.counted.clear()

    def seen(self) -> dict[str, Any]:
        engine = self.engine
        return {
            "calls": self.calls,
            "counted": dict(self.counted),
            "told": engine.told,
            "listeners": len(engine.listeners),
            "misplaced": engine.misplaced(),
            "waiting": {id: time.time() - since for id, since in engine.asked.items()},
            "lags": engine.lags,
            "volumes": sorted(engine.volumes),
            "storming": sum(not task.done() for task in self.storming),
        }

    def boxes(self) -> list[dict[str, Any]]:
        return [box.inspected() for box in self.engine.boxes.values()]

    def end(self) -> None:
        asyncio.get_running_loop().call_soon(asyncio.get_running_loop().stop)


def passwd() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        content = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n"
        info = tarfile.TarInfo("passwd")
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


PASSWD = passwd()
HEAD = b"HTTP/1.1 %d %s\r\nApi-Version: 1.45\r\nServer: Docker/26.1.5 (linux)\r\nContent-Type: application/json\r\nDate: %s\r\n"
PHRASES = {200: b"OK", 201: b"Created", 204: b"No Content", 304: b"Not Modified", 404: b"Not Found", 409: b"Conflict", 500: b"Internal"}


def chunk(piece: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(piece), piece)


def response(code: int, body: bytes) -> bytes:
    """An answer as Go writes it: what is long comes in chunks."""
    head = HEAD % (code, PHRASES[code], formatdate(usegmt=True).encode())
    if code in (204, 304):
        return head + b"\r\n"
    if len(body) < 2048:
        return head + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(body) + b"0\r\n\r\n"


class Door(asyncio.Protocol):
    """One connection."""

    def __init__(self, service: Service) -> None:
        self.service, self.buffer = service, b""
        self.hung = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        with_us = self.service.engine.listeners
        if self.news in with_us:
            with_us.remove(self.news)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while not self.hung and (found := self.request()):
            self.serve(*found)

    def request(self) -> tuple[str, str, bytes] | None:
        head, blank, rest = self.buffer.partition(b"\r\n\r\n")
        if not blank:
            return None
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        size = int(length[1]) if length else 0
        if re.search(rb"(?i)\r\ntransfer-encoding: *chunked", head):
            end = rest.find(b"0\r\n\r\n")
            if end < 0:
                return None
            size = end + 5
        if len(rest) < size:
            return None
        self.buffer = rest[size:]
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        return method, target, rest[:size]

    def serve(self, method: str, target: str, body: bytes) -> None:
        parts = urlsplit(re.sub(r"^/v1\.\d+", "", target))
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        ours = parts.path.startswith("/simulator/")
        fault = "" if ours else self.service.fault(f"{method} {parts.path}")
        if fault not in ("", "lost", "kill-after", "cut", "latin") and self.fail(fault, parts.path):
            return
        if parts.path == "/events":
            self.stream(query)
            return
        try:
            code, answer = self.service.answer(method, parts.path, query, body)
        except Refused as refused:
            code, answer = refused.code, json.dumps({"message": str(refused)}).encode()
        if fault == "lost":
            self.transport.abort()
        elif fault == "kill-after":
            self.kill()
        elif fault == "cut":
            whole = response(code, answer)
            self.transport.write(whole[: len(whole) // 2 + 50])
            self.transport.close()
        elif fault == "latin":
            self.transport.write(response(code, answer.replace(b"caf?", b"caf\xe9")))
        else:
            self.transport.write(response(code, answer))

    def fail(self, how: str, path: str) -> bool:
        """Whether there is nothing more to answer."""
        match how:
            case "500":
                self.transport.write(response(500, b'{"message":"the simulator fails as it was told to"}'))
            case "garbage":
                self.transport.write(response(200, b'{"Id": [[[ "\xff\xfe'))
            case "hang":
                self.hung = True
            case "trickle":
                self.hung = True
                self.drip(0)
            case "refuse":
                self.transport.abort()
            case "kill-before":
                self.kill()
            case "die":
                os._exit(1)
            case "vanish":
                engine = self.service.engine
                engine.remove(engine.find(path.split("/")[2]), force=True)
                return False
        return True

    def drip(self, at: int) -> None:
        """A byte now and then, for ever: no client that counts from byte to byte loses its patience."""
        if not self.transport.is_closing():
            whole = HEAD % (200, b"OK", formatdate(usegmt=True).encode())
            self.transport.write(whole[at : at + 1] or b"x")
            asyncio.get_running_loop().call_later(0.1, self.drip, at + 1)

    def kill(self) -> None:
        """Kill whoever called, as nothing else can: it does not come to know whether the call was heard."""
        credentials = self.transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        os.kill(struct.unpack("3i", credentials)[0], signal.SIGKILL)
        self.transport.abort()

    def stream(self, query: Mapping[str, str]) -> None:
        """Events: those since, then those to come."""
        filters = json.loads(query.get("filters") or "{}")
        wanted = tuple(f'"Action": "{each}'.encode() for each in filters.get("event", ()))
        self.wanted = re.compile(b"|".join(re.escape(each) for each in wanted))
        head = HEAD % (200, b"OK", formatdate(usegmt=True).encode())
        self.transport.write(head + b"Transfer-Encoding: chunked\r\n\r\n")
        since = float(query.get("since") or "inf")
        for at, line in list(self.service.engine.past):
            if at >= since:
                self.news(line)
        self.service.engine.listeners.append(self.news)

    def news(self, line: bytes) -> None:
        if self.wanted.search(line) and not self.transport.is_closing():
            self.transport.write(chunk(line))


async def serve(path: str) -> None:
    service = Service()
    server = await asyncio.get_running_loop().create_unix_server(lambda: Door(service), path, backlog=128)
    await server.serve_forever()


class Simulated:
    """A test's end of a simulated engine, which runs as long as the `with` does."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "engine.sock")
        self.url = f"unix://{self.path}"

    def __enter__(self) -> Simulated:
        self.begin()
        return self

    def begin(self) -> None:
        """Begin with no container at all."""
        Path(self.path).unlink(missing_ok=True)
        self.process = subprocess.Popen([sys.executable, __file__, self.path])
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                self.ask("seen")
                return
            except OSError:
                time.sleep(0.02)
        raise AssertionError("the simulated engine does not begin")

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def ask(self, verb: str, **given: Any) -> Any:
        """Call one of the functions of `Service`."""
        connection = http.client.HTTPConnection("simulated", timeout=120)
        connection.sock = socket.socket(socket.AF_UNIX)
        try:
            connection.sock.settimeout(120)
            connection.sock.connect(self.path)
            connection.request("POST", f"/simulator/{verb}", json.dumps(given))
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status == 200, text
            return json.loads(text)
        finally:
            connection.close()

    def boxes(self) -> Iterator[dict[str, Any]]:
        yield from self.ask("boxes")


if __name__ == "__main__":
    with_path = sys.argv[1]
    asyncio.run(serve(with_path))
