"""Records what a real engine tells and shows while an app container lives: `make recordings`, see README.md.

Each life is a small stack and the steps that it goes through. After each step, the engine's events since the step before, unfiltered, and
the inspections that changed are written to ENGINE-MAJOR/LIFE.json. What is another at every run is made the same.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests
from docker.errors import DockerException

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent / "engine"))

from enginekit import Private, missing  # noqa: E402
from lives import LIVES, OF_ENGINE, Life, of_engine  # noqa: E402
from stackkit import Stack, until  # noqa: E402

QUIET = 0.7  # seconds without an event, after which a step is over
BEGINNING = datetime(2024, 1, 1, tzinfo=UTC)
STEP = timedelta(seconds=100)  # between the steps of a recording
KEPT = {  # of an inspection: what remora reads
    "": ("Id", "Name", "Image", "RestartCount", "State", "Config", "HostConfig", "NetworkSettings", "Mounts"),
    "State": ("Status", "Running", "Paused", "Restarting", "OOMKilled", "Dead", "ExitCode", "Error", "StartedAt", "FinishedAt", "Health"),
    "Health": ("Status",),
    "Config": ("Image", "Labels", "Env", "User", "ExposedPorts"),
    "HostConfig": ("RestartPolicy", "Memory", "LogConfig", "PortBindings", "Tmpfs", "NetworkMode", "PidMode", "PidsLimit"),
    "NetworkSettings": ("Networks",),
}
COMPOSE = "com.docker.compose."
LABELS = tuple(COMPOSE + each for each in ("project", "service", "container-number", "oneoff", "depends_on"))


@dataclass
class Step:
    """What came of one step."""

    name: str
    began: int  # nanoseconds since 1970
    events: list[str]  # "" where the stream was opened
    containers: list[dict[str, Any]]


@dataclass
class Recorder:
    """Listens to the engine, and looks at the containers of one stack after each step."""

    stack: Stack
    lines: list[str] = field(default_factory=list)
    over: bool = False
    latest: float = 0.0

    def listen(self) -> None:
        while not self.over:
            try:
                with self.stack.api.get(
                    f"{self.stack.api.base_url}/v{self.stack.api._version}/events", stream=True, timeout=None
                ) as stream:
                    self.hear("")
                    for line in stream.iter_lines():
                        self.hear(line.decode())
            except (requests.RequestException, DockerException, OSError):
                pass
            time.sleep(0.02)

    def hear(self, line: str) -> None:
        if not self.over and self.is_ours(line):
            self.latest = time.monotonic()
            self.lines.append(line)

    def is_ours(self, line: str) -> bool:
        """Whether a line is of this stack; a network of Docker's own tells of a container by its id alone."""
        return line == "" or self.stack.run in line or any(id in line for id in self.ids)

    ids: set[str] = field(default_factory=set)

    def record(self, life: Life) -> list[Step]:
        """Drive the life, step by step."""
        threading.Thread(target=self.listen, daemon=True).start()
        until(lambda: self.lines)
        self.lines.clear()
        steps, began = [], time.time_ns()
        for name in life.drive(self.stack):
            if not name.endswith("…"):  # a state that does not last
                self.rest()
            events, self.lines = self.lines, []
            containers = self.stack.containers()
            self.ids |= {each["Id"] for each in containers}
            steps.append(Step(name, began, events, containers))
            began = time.time_ns()
        self.over = True
        return steps

    def rest(self) -> None:
        self.latest = time.monotonic()
        until(lambda: time.monotonic() - self.latest > QUIET)


# ---- the same at every run ----


def kept(raw: Mapping[str, Any], what: str = "") -> dict[str, Any]:
    """What remora reads of an inspection."""
    found = {key: raw[key] for key in KEPT[what] if raw.get(key) is not None}
    return {key: kept(value, key) if key in KEPT and isinstance(value, dict) else value for key, value in found.items()}


def plain(raw: Mapping[str, Any]) -> dict[str, Any]:
    """An inspection without what is this machine's or this run's."""
    found = kept(raw)
    found["Config"]["Labels"] = labelled(found["Config"].get("Labels") or {})
    found["HostConfig"]["LogConfig"] = {"Type": found["HostConfig"]["LogConfig"]["Type"], "Config": {}}
    found["NetworkSettings"]["Networks"] = {name: {} for name in sorted(found["NetworkSettings"].get("Networks") or {})}
    found["Config"]["Env"] = sorted(found["Config"].get("Env") or [])
    return found


def labelled(pairs: Mapping[str, str]) -> dict[str, str]:
    """Without the labels that name paths and versions."""
    return {key: value for key, value in sorted(pairs.items()) if not key.startswith(COMPOSE) or key in LABELS}


def told(line: str) -> dict[str, Any] | None:
    """An event; None where the stream was opened."""
    if not line:
        return None
    raw: dict[str, Any] = json.loads(line)
    attributes = raw.get("Actor", {}).get("Attributes")
    if attributes:
        raw["Actor"]["Attributes"] = labelled({**attributes, **({"execDuration": "0"} if "execDuration" in attributes else {})})
    return raw


class Same:
    """Ids, times and names, each replaced by one that is the same at every run: numbered as they come."""

    def __init__(self, steps: Sequence[Step], name: str, run: str) -> None:
        self.began = [step.began for step in steps]
        self.names = (name, run)
        self.ids: dict[str, str] = {}
        self.instants: dict[int, int] = {}
        text = json.dumps([[*map(told, step.events), *map(plain, step.containers)] for step in steps])
        for id in re.findall(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])", text):
            self.ids.setdefault(id, f"{len(self.ids) + 1:03}".ljust(12, "0"))
        found = {instant(each) for each in TIME.findall(text)} | {int(each) for each in re.findall(r'"timeNano": (\d+)', text)}
        self.instants = self.placed(sorted(found))

    def placed(self, instants: Iterable[int]) -> dict[int, int]:
        """Each instant within its step: the first one at its beginning, and then a millisecond later each."""
        made: dict[int, int] = {}
        counts: dict[int, int] = {}
        for each in instants:
            step = max(0, sum(began <= each for began in self.began) - 1)
            counts[step] = counts.get(step, 0) + 1
            made[each] = nanoseconds(BEGINNING + step * STEP + timedelta(milliseconds=counts[step]))
        return made

    def text(self, value: Any) -> str:
        """As one line of JSON."""
        if isinstance(value, dict) and "timeNano" in value:
            value = {**value, "timeNano": self.instants[value["timeNano"]]}
            value["time"] = value["timeNano"] // 10**9
        found = TIME.sub(lambda match: self.time(match.group()), json.dumps(value, ensure_ascii=False, separators=(",", ":")))
        for id, same in self.ids.items():
            found = found.replace(id, same).replace(id[:12], same)
        return found.replace(self.names[0], "shop").replace(self.names[1], "run")

    def time(self, text: str) -> str:
        if text.startswith("0001"):
            return text
        at = datetime.fromtimestamp(self.instants[instant(text)] / 1e9, UTC)
        return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03}Z"


TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")


def nanoseconds(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


def instant(text: str) -> int:
    """An RFC 3339 time in nanoseconds since 1970."""
    whole, fraction, zone = re.fullmatch(r"(.{19})(?:\.(\d+))?(Z|[+-].{5})", text).groups()  # type: ignore[union-attr]
    return nanoseconds(datetime.fromisoformat(whole + zone.replace("Z", "+00:00"))) + int((fraction or "0").ljust(9, "0"))


def written(life: str, engine: str, steps: Sequence[Step], same: Same) -> str:
    """A recording: an event or an inspection a line; only those inspections that changed, and the ids of what is gone."""
    before: dict[str, str] = {}
    parts = []
    for step in steps:
        now = {each["Id"]: same.text(plain(each)) for each in step.containers}
        gone = json.dumps(sorted(same.text(id).strip('"') for id in before.keys() - now.keys()))
        events = block(same.text(told(line)) for line in step.events)
        changed = block(text for id, text in now.items() if before.get(id) != text)
        parts.append(f'  {{"step": {json.dumps(step.name)},\n   "events": {events},\n   "containers": {changed},\n   "gone": {gone}}}')
        before = now
    return f'{{"life": {json.dumps(life)}, "engine": {json.dumps(engine)}, "steps": [\n' + ",\n".join(parts) + "\n]}\n"


def block(lines: Iterable[str]) -> str:
    found = list(lines)
    return "[\n    " + ",\n    ".join(found) + "]" if found else "[]"


# ---- which engine, which lives ----


def called(version: Mapping[str, Any]) -> tuple[str, str]:
    """An engine as its recordings name it: `docker-26`, and `Docker 26.1.5`."""
    name = "Podman" if "Podman" in str(version.get("Components")) else "Docker"
    number = re.match(r"[\d.]+", version["Version"]).group()  # type: ignore[union-attr]
    return f"{name.lower()}-{number.split('.')[0]}", f"{name} {number}"


def record(life: Life, engine: Private | None = None) -> None:
    """Record one life, on the engine of the environment unless another is given."""
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder), engine) as stack:
        if stack.podman and life.docker_alone:
            return
        stack.developers(life.compose)
        recorder = Recorder(stack)
        steps = recorder.record(life)
        place, version = called(stack.api.version())
        text = written(life.name, version, steps, Same(steps, stack.name, stack.run))
    (HERE / place).mkdir(exist_ok=True)
    (HERE / place / f"{life.name}.json").write_text(text)
    print(f"{place}/{life.name}: {sum(len(step.events) for step in steps)} events in {len(steps)} steps")


def main(wanted: Sequence[str]) -> None:
    for life in LIVES:
        if not wanted or life.name in wanted:
            record(life)
    if "podman" in os.environ.get("DOCKER_HOST", "") or (wanted and not {*wanted} & {*OF_ENGINE}):
        return
    if lacks := missing():
        print(f"an engine is not restarted here: {lacks} is missing")
        return
    with Private() as engine:
        for life in of_engine(engine):
            if not wanted or life.name in wanted:
                record(life, engine)


if __name__ == "__main__":
    main(sys.argv[1:])
