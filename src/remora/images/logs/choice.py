"""Which containers a reader is for, and what it says of their lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from remora.core.selector import Facts, Selector, variables
from remora.images.logs.record import Origin

PROJECT, SERVICE, NUMBER = (f"com.docker.compose.{word}" for word in ("project", "service", "container-number"))
OURS = "remora.sidekick"
ONE_OFF = "com.docker.compose.oneoff"  # what `docker compose run` starts


class Seen(NamedTuple):
    """A chosen container."""

    origin: Origin

    @property
    def brief(self) -> dict[str, str]:
        """Its line in the status."""
        return {"container": self.origin.container, "service": self.origin.service, "replica": self.origin.replica}


class Choice:
    """The stack and the selectors of the settings; never a sidekick, never a one-off."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.stack = settings["select"]["stack"]
        self.selectors = [Selector.from_json(each) for each in settings["select"]["selectors"]]
        self.environment = settings["environment"]

    def chosen(self, raw: Mapping[str, Any]) -> Seen | None:
        """The container that `raw` describes, if it is chosen."""
        labels = raw["Labels"]
        stack = labels.get(PROJECT, "")
        if OURS in labels or labels.get(ONE_OFF) == "True" or self.stack not in ("*", stack):
            return None
        name = raw["Name"].lstrip("/")
        service = labels.get(SERVICE, name)
        env = variables(raw["Env"])
        ports = frozenset(int(port.split("/")[0]) for port in raw["Ports"])
        facts = Facts(stack, service, name, raw["Image"], labels, env, ports)
        if not any(selector.matches(facts) for selector in self.selectors):
            return None
        return Seen(Origin(stack or "-", self.environment, service, labels.get(NUMBER, "1"), name, raw["Id"][:12]))
