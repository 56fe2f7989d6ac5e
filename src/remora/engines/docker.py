"""Docker, through its Engine API."""

from __future__ import annotations

import io
import json
import re
import tarfile
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from remora.core import doctor
from remora.core.engine import Say
from remora.core.event import OPENED
from remora.core.plan import Action, Attach, Detach, GiveUp, Prepare, Start, Stop, refuse_strangers
from remora.core.sidekick import Spec
from remora.core.uptime import seconds, unchanged
from remora.core.world import STACK, Container, EngineFacts, World
from remora.engines import inspection, recipes, secrets
from remora.engines.answers import Missing, Refusal, in_words, innermost, reason, refusal, understood
from remora.engines.greeting import GREETING, greet, numbered
from remora.engines.host import Host
from remora.engines.wire import Wire, members
from remora.errors import RemoraError

if TYPE_CHECKING:
    from remora.engines.client import Client

OLDEST = (1, 42)  # API of Docker 23: binds that make their mount point
CAPS = {"MemoryLimit": "memory", "CpuCfsQuota": "cpu", "PidsLimit": "processes"}  # what it says it can cap
ASKERS = 32  # threads that wait for its answers
LOOKERS = 8  # threads that inspect side by side
PATIENCE = 120.0  # seconds that it may take for anything else
QUIET = 15  # seconds after which an event stream that says nothing is opened anew
LEFT = 60  # seconds after which what an action makes on its way counts as left behind
WORTH = ("start", "die", "destroy", "rename", "oom", "pause", "unpause", "health_status", "connect", "disconnect", "update", "kill", "stop")


class Docker:
    """One Docker engine. Safe to use from several threads."""

    name = "docker"
    worth: tuple[str, ...] = WORTH

    def __init__(
        self,
        host: Host,
        greeting: float = GREETING,
        patience: float = PATIENCE,
        lean: bool = False,
        told: Mapping[str, Any] | None = None,
    ) -> None:
        """Connect; raises RemoraError where no engine answers in time, where we may not, and where the engine is too old.

        `greeting` and `patience` are the seconds that it may take to say who it is, and for anything else. With `lean`, containers come
        without their whole inspection, which parity alone needs. What it `told` when it was greeted saves doing it again.
        """
        self.host, self.lean, self.patience = host, lean, patience
        self.told = told or greet(host, greeting)
        self.api = str(self.told["ApiVersion"])
        self.refuse_old()
        self.wire = Wire(host.path, patience) if host.path else None
        self.pool = ThreadPoolExecutor(ASKERS, "engine")
        self.users: dict[tuple[str, str], str] = {}
        self.known = EngineFacts()
        self.date, self.ahead = "", 0.0  # the engine's clock, and by how many seconds it is ahead of ours
        if self.wire:
            self.wire.told = self.tell_time

    @cached_property
    def client(self) -> Client:
        """The general client, for what changes the engine."""
        from remora.engines.client import Client

        return Client(self.host, self.api, self.patience)

    def refuse_old(self) -> None:
        """Raises RemoraError where the engine is too old."""
        if numbered(self.api) < OLDEST:
            raise RemoraError(
                f"the engine at {self.host} is too old: it speaks API {self.api}, and {OLDEST[0]}.{OLDEST[1]} (Docker 23) is needed"
            )

    @in_words()
    def observe(self, stack: str, known: World | None = None) -> World:
        labels = [None] if stack == "*" else [f"{STACK}={stack}", f"remora.stack={stack}"]
        facts = self.pool.submit(self.facts)
        before, listed = (known.by_id, known.listed) if known else ({}, 0.0)
        now = self.clock()
        same: dict[str, Container] = {}
        new: set[str] = set()
        with understood():
            for row in (row for label in labels for row in self.rows({"label": [label]} if label else {})):
                there = before.get(row["Id"])
                if there and unchanged(row, there, self.clock(), listed):
                    same[there.id] = there
                else:
                    new.add(row["Id"])
        found = {**same, **self.inspect(sorted(new))}
        return World(facts.result(), tuple(found[id] for id in sorted(found)), now)

    def rows(self, filters: dict[str, list[str]]) -> Iterable[dict[str, Any]]:
        """The engine's list of all containers, as it comes."""
        path = f"/containers/json?{urlencode({'all': 1, 'filters': json.dumps(filters)})}"
        if not self.wire:
            found: list[dict[str, Any]] = self.get(path)
            return found
        code, pieces = self.wire.ask(self.address(path))
        if code >= 400:
            raise refusal(code, b"".join(pieces).decode(errors="replace"))
        return members(pieces)

    def clock(self) -> float:
        """The engine's time, as far as its last answer told it: seconds since 1970."""
        return time.time() + self.ahead

    @in_words()
    def inspect(self, ids: Iterable[str]) -> dict[str, Container]:
        wanted = list(ids)
        shares = [wanted[first::LOOKERS] for first in range(min(LOOKERS, len(wanted)))]
        found = self.pool.map(lambda share: [self.container(each) for each in share], shares)
        return {each.id: each for share in found for each in share if each}

    @in_words()
    def facts(self) -> EngineFacts:
        with understood():
            info = self.get("/info")
            return self.learn(info)

    def learn(self, info: Mapping[str, Any]) -> EngineFacts:
        path = self.host.socket or self.host.path or "/var/run/docker.sock"
        self.known = EngineFacts(self.name, info["ServerVersion"], info["DockerRootDir"], info["Name"], info["ID"], path)
        return self.known

    @in_words()
    def examined(self) -> doctor.Engine:
        """What `remora doctor` wants to know."""
        with understood():
            return self.described(self.get("/info"))

    def described(self, info: Mapping[str, Any]) -> doctor.Engine:
        return doctor.Engine(
            self.name,
            info["ServerVersion"],
            self.api,
            str(self.host),
            info.get("CgroupVersion", ""),
            info["Driver"],
            info["LoggingDriver"],
            "name=rootless" in (info.get("SecurityOptions") or []),
            bool(info.get("LiveRestoreEnabled")),
            tuple(word for key, word in CAPS.items() if not info.get(key, True)),
        )

    @property
    def id(self) -> str:
        """The engine's own name, which it keeps."""
        return self.known.id or self.facts().id

    def container(self, container: str) -> Container | None:
        """One container, None if it went meanwhile."""
        try:
            with understood():
                found = inspection.container(self.translated(self.get(f"/containers/{container}/json")), self.lean)
        except Missing:
            return None
        return found if found.is_sidekick or not found.user else replace(found, user=self.numeric(found))

    def translated(self, raw: dict[str, Any]) -> dict[str, Any]:
        """An inspection in Docker's words."""
        return raw

    def get(self, path: str) -> Any:
        """What the engine answers to a GET, out of JSON."""
        with understood():
            return json.loads(self.content(path).decode(errors="replace"))

    def content(self, path: str) -> bytes:
        """What the engine answers to a GET.

        On a local socket by connections of our own: the client makes a new one for every URL (docker-py #2290), and a host may have
        thousands of containers.
        """
        if not self.wire:
            answer = self.client._get(self.client._url(path))
            self.tell_time(answer.headers.get("Date", ""))
            return bytes(self.client._result(answer, binary=True))
        code, content = self.wire.get(self.address(path))
        if code >= 400:
            raise refusal(code, content.decode(errors="replace"))
        return content

    def address(self, path: str) -> str:
        return f"/v{self.api}{path}"

    def tell_time(self, date: str) -> None:
        """Note how far the engine's clock is ahead of ours, by the Date of an answer."""
        if date != self.date:
            self.date = date
            self.ahead = parsedate_to_datetime(date).timestamp() - time.time()

    def numeric(self, container: Container) -> str:
        """The user of a container as uid:gid, looked up in its own passwd and group as the engine does."""
        user, _, group = (container.user or "0:0").partition(":")
        if user.isdigit() and group.isdigit():
            return f"{user}:{group}"
        key = (container.image_id, container.user)
        if key not in self.users:
            row = self.row(container.id, "/etc/passwd", user)
            gid = group if group.isdigit() else self.row(container.id, "/etc/group", group)[2] if group else row[3]
            self.users[key] = f"{row[2]}:{gid}"
        return self.users[key]

    def row(self, container: str, path: str, name: str) -> list[str]:
        """The entry of a name or number in a passwd or group file; a number that has none stands for itself."""
        for line in (self.read(container, path) or b"").decode(errors="replace").splitlines():
            entry = line.split(":")
            if name in (entry[0], *entry[2:3]):
                return entry
        return [name, "", name, "0"]

    @in_words()
    def taken(self, names: Iterable[str]) -> dict[str, str]:
        wanted = set(names)
        with understood():
            found = self.rows({"name": [self.name_filter(name) for name in wanted]})
            ids = {name.lstrip("/"): each["Id"] for each in found for name in each["Names"]}
        there = self.inspect(id for name, id in ids.items() if name in wanted)
        return {each.name: self.owner(each) for each in there.values()}

    def name_filter(self, name: str) -> str:
        """The filter for the container with just this name."""
        return f"^/{re.escape(name)}$"

    def owner(self, container: Container) -> str:
        """The stack whose sidekick a container is, "" for one that remora did not make."""
        return container.labels.get("remora.stack", "") if container.is_by(EngineFacts(id=self.id)) else ""

    @in_words()
    def networks(self) -> frozenset[str]:
        return frozenset(name for each in self.get("/networks") for name in (each["Name"], each["Id"]))

    @in_words()
    def having(self, images: Iterable[str]) -> frozenset[str]:
        return frozenset(image for image in images if self.has(image))

    def has(self, image: str) -> bool:
        return self.inspected(image) is not None

    def inspected(self, image: str) -> Any:
        """An image as the engine shows it, None where there is none."""
        try:
            return self.get(f"/images/{quote(image, safe='/:')}/json")
        except Missing:
            return None

    @in_words()
    def image(self, image: str) -> tuple[tuple[str, ...] | None, dict[str, Any]]:
        """Diff ids and runtime configuration of an image; (None, {}) where there is none."""
        found = self.inspected(image)
        return (None, {}) if found is None else (tuple(found["RootFS"].get("Layers") or ()), found.get("Config") or {})

    def perform(self, action: Action, say: Say) -> None:
        with in_words(action.spec.why if isinstance(action, Attach) else action.why if isinstance(action, Prepare) else action.name):
            match action:
                case Attach(spec):
                    self.attach(spec)
                case Detach(container, name):
                    self.detach(container, name)
                case Start(container, restart=policy):
                    if policy:
                        self.keep_policy(container, policy)
                    self.again(container)
                case Stop(container):
                    self.halt(container)
                case GiveUp(container):
                    self.keep_policy(container, "no")
                    self.client.stop(container)
                case Prepare(image, recipe):
                    where = f"{action.why}: " if action.why else ""
                    self.build(image, recipe, say, where) if recipe else self.pull(image, say, where)

    def attach(self, spec: Spec) -> None:
        """Create and start; of what cannot be started nothing stays, but a volume that was there before, with what is in it."""
        new = [volume for volume in inspection.volumes(spec) if not self.has_volume(volume)]
        container = None
        try:
            if spec.secrets:
                self.deliver(spec)
            container = self.create(spec)
            if container:
                self.begin(container)
        except (Refusal, OSError, RemoraError):
            with suppress(Refusal, OSError):
                if container:
                    self.remove(container)
                for volume in new:
                    self.drop_volume(volume)
            raise

    def create(self, spec: Spec) -> str | None:
        """The id of the new container; None where the same sidekick is there already, which another remora just made."""
        try:
            return str(self.client.create_container_from_config(self.body(spec), spec.name)["Id"])
        except Refusal as error:
            if not self.is_taken(error):
                raise
        refuse_strangers([spec], self.taken([spec.name]))
        return None

    def body(self, spec: Spec) -> dict[str, Any]:
        """What the engine is asked to make."""
        return inspection.creation(spec, self.id)

    def is_taken(self, error: Refusal) -> bool:
        """Whether a container could not be made because another has its name."""
        return error.code == 409

    def begin(self, container: str) -> None:
        """Start a container that was just made, and none but that."""
        self.client.start(container)

    def again(self, container: str) -> None:
        """Start a sidekick again, in the namespaces that its app container has now."""
        self.client.restart(container)

    def halt(self, container: str) -> None:
        """End a sidekick whose app container ended; it may come back with that."""
        self.client.stop(container)

    def keep_policy(self, container: str, policy: str) -> None:
        """From now on, this is when the engine starts the container again by itself."""
        self.client.update_container(container, restart_policy={"Name": policy})

    def deliver(self, spec: Spec) -> None:
        """Write the secrets of a sidekick into its volume, by a container that is never started."""
        volume = inspection.secret_volume(spec.name)
        content = [(name, secrets.resolve(reference, spec)) for name, reference in spec.secrets]
        self.client.create_volume(volume, labels=inspection.owned(spec) | {"remora.secrets": spec.name})
        mount = {"Type": "volume", "Source": volume, "Target": "/secrets"}
        labels = {"remora.sidekick": spec.sidekick, "remora.carrier": volume}
        body = {"Image": spec.image, "Cmd": ["-"], "Labels": labels, "HostConfig": {"Mounts": [mount], "NetworkMode": "none"}}
        carrier = self.client.create_container_from_config(body, None)["Id"]
        try:
            user = spec.user or self.numeric(inspection.container(self.client.inspect_container(carrier)))
            self.client.put_archive(carrier, "/secrets", secrets.archive(content, user))
        finally:
            self.client.remove_container(carrier)

    def detach(self, container: str, name: str) -> None:
        try:
            self.client.stop(container)
        except Missing:
            return
        self.remove(container)
        self.drop_volume(inspection.secret_volume(name))

    def remove(self, container: str) -> None:
        """Remove a container and its anonymous volumes; one that is gone or going is as good as removed."""
        try:
            self.client.remove_container(container, v=True, force=True)
        except Refusal as error:
            if error.code not in (404, 409):
                raise

    def has_volume(self, name: str) -> bool:
        try:
            self.client.inspect_volume(name)
        except Missing:
            return False
        return True

    def drop_volume(self, name: str) -> None:
        """Remove a volume; one that is gone, or that another container has, is not ours to remove."""
        try:
            self.client.remove_volume(name, force=True)
        except Refusal as error:
            if error.code not in (404, 409):
                raise

    def pull(self, image: str, say: Say, where: str) -> None:
        try:
            for step in self.client.pull(image, stream=True, decode=True):
                if "error" in step:
                    raise RemoraError(f"{where}the image `{image}` cannot be pulled: {' '.join(step['error'].split())}")
                say(f"pulling {image}: {step.get('status', '')}")
        except Refusal as error:
            raise RemoraError(f"{where}the image `{image}` is not here and cannot be pulled: {error}") from None

    def build(self, image: str, recipe: str, say: Say, where: str) -> None:
        """Build a sidekick image from its recipe."""
        output = self.client.build(
            fileobj=recipes.context(recipe),
            custom_context=True,
            tag=image,
            rm=True,
            forcerm=True,
            decode=True,
            buildargs={"BASE": recipes.base()},
        )
        for step in output:
            if "error" in step:
                words = " ".join(step["error"].split())
                raise RemoraError(
                    f"{where}the image `{image}` cannot be built from `{recipes.base()}`, which REMORA_BASE may change: {words}"
                )
            if line := step.get("stream", "").strip():
                say(f"building {image}: {line}")

    def events(self) -> Iterator[str]:
        """Changes of containers, as the engine streams them; OPENED when the stream is, and again where it may have had a gap.

        A stream that says nothing for long is opened anew, from where it was: the connection may be dead at the other end only.
        """
        from urllib3.exceptions import HTTPError

        url, since, opened = self.client._url("/events"), self.clock(), False
        filters = {"type": ["container", "network"], "event": list(self.worth)}
        while True:
            params = {"filters": json.dumps(filters), "since": f"{since:.6f}"}
            try:
                with self.client.get(url, params=params, stream=True, timeout=(10, QUIET)) as response:
                    self.client._raise_for_status(response)
                    self.tell_time(response.headers.get("Date", ""))
                    if not opened:
                        yield OPENED
                    opened, since = True, self.clock() - 1
                    for line in response.iter_lines():
                        since = self.clock() - 1
                        yield line.decode(errors="replace")
                    return
            except Refusal as error:
                raise RemoraError(f"the engine says: {error}") from error
            except (HTTPError, OSError) as error:
                if not isinstance(innermost(error), TimeoutError):
                    raise RemoraError(f"the engine does not answer: {reason(innermost(error))}") from error

    @in_words()
    def read(self, container: str, path: str) -> bytes | None:
        try:
            packed = self.content(f"/containers/{container}/archive?{urlencode({'path': path})}")
        except Missing:
            return None
        with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            member = tar.next()
            content = tar.extractfile(member) if member else None
            return content.read() if content else None

    def logs(self, container: str, follow: bool, tail: int | None) -> Iterator[bytes]:
        with in_words():
            yield from self.client.logs(container, stream=True, follow=follow, tail="all" if tail is None else tail)

    @in_words()
    def memory(self, container: str) -> int | None:
        """Bytes that a running container uses now, without the page cache it could give back; None when it does not run."""
        try:
            used = self.get(f"/containers/{container}/stats?stream=false&one-shot=true").get("memory_stats", {})
        except Missing:
            return None
        if "usage" not in used:
            return None
        inside = used.get("stats", {})
        return int(used["usage"]) - int(inside.get("total_inactive_file", inside.get("inactive_file", 0)))

    def save(self, images: list[str]) -> Iterator[bytes]:
        """The images as one tar, piece by piece."""
        with in_words():
            answer = self.client._get(self.client._url("/images/get"), params={"names": images}, stream=True)
            self.client._raise_for_status(answer)
            yield from self.client._stream_raw_result(answer, 1 << 20, False)

    @in_words()
    def load(self, file: Any) -> None:
        """Take in what `save` gave."""
        for step in self.client.load_image(file):
            if "error" in step:
                raise RemoraError(f"the images cannot be loaded: {step['error']}")

    @in_words()
    def sweep(self, stack: str, sidekicks: Collection[str]) -> None:
        old = self.clock() - LEFT
        with understood():
            found = self.client.volumes(filters={"label": ["remora.secrets", f"remora.stack={stack}"]})["Volumes"] or []
            volumes = {volume["Name"]: volume for volume in found}
            for row in self.rows({"label": ["remora.carrier"]}) if volumes else ():
                if row["Created"] < old and row["Labels"]["remora.carrier"] in volumes:
                    self.remove(row["Id"])
            for name, volume in volumes.items():
                if volume["Labels"]["remora.secrets"] not in sidekicks and seconds(volume["CreatedAt"]) < old:
                    self.drop_volume(name)

    @in_words()
    def forget(self, stack: str, sidekicks: Iterable[str] | None = None) -> tuple[str, ...]:
        found = self.client.volumes(filters={"label": f"remora.stack={stack}"})["Volumes"] or []
        only = None if sidekicks is None else set(sidekicks)
        names = tuple(v["Name"] for v in found if only is None or v["Labels"].get("remora.volume") in only)
        for name in names:
            self.client.remove_volume(name)
        return names
