"""Which containers a reader is for, and what it says of their lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from remora.core.selector import Facts, Selector, variables
from remora.images.logs.record import Origin

PROJECT, SERVICE, NUMBER = (f"com.docker.compose.{word}" for word in ("project", "service", "container-number"))
OURS = "remora."  # what the labels begin with that are remora's own
Raw = Mapping[str, Any]
ONE_OFF = "com.docker.compose.oneoff"  # what `docker compose run` starts


class Seen(NamedTuple):
    """A chosen container."""

    origin: Origin

    @property
    def brief(self) -> dict[str, str]:
        """Its line in the status."""
        return {"container": self.origin.container, "service": self.origin.service, "replica": self.origin.replica}


class Choice:
    """The stack and the selectors of the settings; never a sidekick nor a helper of one, never a one-off."""

    def __init__(self, settings: Mapping[str, Any], other: Callable[[str], Raw | None] = lambda _: None) -> None:
        """`other` gives the container with an id, as `chosen` takes it; None where there is none."""
        self.other = other
        self.stack = settings["select"]["stack"]
        self.selectors = [Selector.from_json(each) for each in settings["select"]["selectors"]]
        self.environment = settings["environment"]

    def chosen(self, raw: Raw) -> Seen | None:
        """The container that `raw` describes, if it is chosen."""
        labels = raw["Labels"]
        stack = labels.get(PROJECT, "")
        if ours(labels) or self.helps(raw) or labels.get(ONE_OFF) == "True" or self.stack not in ("*", stack):
            return None
        name = raw["Name"].lstrip("/")
        service = labels.get(SERVICE, name)
        env = variables(raw["Env"])
        ports = frozenset(int(port.split("/")[0]) for port in raw["Ports"])
        facts = Facts(stack, service, name, raw["Image"], labels, env, ports)
        if not any(selector.matches(facts) for selector in self.selectors):
            return None
        return Seen(Origin(stack or "-", self.environment, service, labels.get(NUMBER, "1"), name, raw["Id"][:12]))

    def helps(self, raw: Raw, above: tuple[str, ...] = ()) -> bool:
        """Whether it shares the namespaces of a sidekick, or of a container that is gone, as only Compose's own may: see `World.helps`."""
        for id in raw.get("Joins", ()):
            found = self.other(id)
            if found is None and PROJECT not in raw["Labels"]:
                return True
            if found and id not in above and (ours(found["Labels"]) or self.helps(found, (*above, raw["Id"]))):
                return True
        return False


def ours(labels: Mapping[str, str]) -> bool:
    """Whether it carries labels of remora's own."""
    return any(label.startswith(OURS) for label in labels)
