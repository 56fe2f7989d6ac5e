"""What an engine tells of itself. An event only says "look again", and at what."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

OPENED = ""  # what an engine's stream hands over when it was opened: anything may have happened before


@dataclass(frozen=True)
class Event:
    """One event of a container."""

    action: str  # start, die, health_status, …: the first word, without what some engines write behind it
    container: str  # id
    name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def of_sidekick(self) -> bool:
        return "remora.sidekick" in self.labels


def parse(line: str) -> Event | None:
    """The event in a line of the engine's stream; None for one that is not of a container, or that makes no sense.

    Docker and Podman both write `Action` and `Actor`; networks tell of a container in their attributes.
    """
    try:
        raw = json.loads(line)
        actor = raw.get("Actor") or {}
        attributes = actor.get("Attributes") or {}
        action = str(raw.get("Action") or raw.get("status") or "").partition(":")[0].strip()
        network = raw.get("Type") == "network"
        container = attributes.get("container", "") if network else actor.get("ID") or raw.get("id") or ""
        if not container or not isinstance(container, str):
            return None
        return Event(action, container, "" if network else str(attributes.get("name", "")), {} if network else attributes)
    except (ValueError, AttributeError):
        return None
