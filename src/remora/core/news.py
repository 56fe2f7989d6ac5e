"""News: what happened to app containers and sidekicks, in words of remora's own that stay the same from engine to engine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from remora.core.event import Event
from remora.core.sidekick import App

VOCABULARY = {
    "app.started": "an app container began its first life",
    "app.restarted": "an app container began another life, under the same id",
    "app.stopped": "an app container ended: somebody asked for it, or it was done (`exit_code`)",
    "app.died": "an app container ended by itself, and not well (`exit_code`)",
    "app.oom": "an app container was killed, for it had no memory left (`memory`: its cap in bytes, 0 for none)",
    "app.oom_child": "a process of an app container was killed for lack of memory, and the container goes on (`memory`)",
    "app.paused": "an app container was frozen",
    "app.unpaused": "an app container goes on after it was frozen",
    "app.renamed": "an app container has a new name (`before`: the old one)",
    "app.recreated": "an app container was removed, and another is in its place: same service, same number",
    "app.gone": "an app container was removed",
    "app.healthy": "the health check of an app container succeeds",
    "app.unhealthy": "the health check of an app container fails",
    "app.network": "an app container was connected to a network, or disconnected (`network`, `change`)",
    "sidekick.attached": "a sidekick was created and started",
    "sidekick.detached": "a sidekick was stopped and removed",
    "sidekick.restarted": "a sidekick was started again",
    "sidekick.failed": "a sidekick ended by itself, or could not be attached, started or removed (`reason`, `exit_code`, `on_failure`)",
    "sidekick.given_up": "a sidekick failed too often, and is left alone (`reason`, `on_failure`)",
    "plan.done": "all that was to be done after a look was tried (`done`, `failed`)",
    "ops.reloaded": "the ops file changed, and is in force",
    "ops.refused": "the ops file changed, and is wrong; the one before stays in force (`reason`)",
    "engine.lost": "the engine does not answer, or its stream of events ended (`reason`)",
    "engine.back": "the engine answers again",
    "hook.failed": "a webhook, command or job of `on:` failed for good (`reason`, `event`); never given to hooks itself",
}
KEYS = {
    "name": "the name of the event",
    "time": "RFC 3339, UTC, by the watcher's clock",
    "words": "one sentence",
    "stack": "the Compose project; for a watcher of the whole host, that of the app container",
    "environment": "of the watcher",
    "container": "the container that it happened to: an app container, or a sidekick's",
    "service": "of the app container, or of the one that the sidekick is beside",
    "sidekick": "its name in the ops file",
    "facts": "what else is known: see above; of a sidekick also `beside`, the app container, and `job` where a hook started it",
    "engine": "the engine's own event, where there was one and it is not longer than 16 KiB",
}
ALWAYS_PRESENT = ("name", "time", "words", "stack", "environment")
ENDING_SIGNALS = ("1", "2", "3", "9", "15")
LONGEST_EVENT = 16 << 10  # characters: labels can be as long as they like


@dataclass(frozen=True)
class News:
    """One thing that happened. What does not apply is ""."""

    name: str  # of VOCABULARY
    time: str  # RFC 3339, UTC, by the watcher's clock
    words: str  # one sentence
    stack: str = ""
    environment: str = ""
    container: str = ""  # the name of the container that it happened to: an app container, or a sidekick's
    service: str = ""  # of the app container, or of the one that the sidekick is beside
    sidekick: str = ""  # its name in the ops file
    facts: Mapping[str, Any] = field(default_factory=dict, hash=False)
    engine: Mapping[str, Any] | None = field(default=None, hash=False)  # the engine's own event, where there was one
    app: App | None = field(default=None, compare=False, repr=False)  # for selectors; stays in the watcher

    def to_json(self) -> dict[str, Any]:
        """What goes into the journal, to webhooks and to commands; what is "" is left out."""
        given = {key: value for key, value in vars(self).items() if key != "app" and (value or key in ALWAYS_PRESENT)}
        return given | ({"facts": dict(self.facts)} if self.facts else {})


@dataclass(frozen=True)
class Moment:
    """When, and in which watcher's stack."""

    time: str
    stack: str = ""
    environment: str = ""

    def news(self, name: str, words: str, **facts: Any) -> News:
        """News of no container in particular."""
        return News(name, self.time, words, self.stack, self.environment, facts=facts)


@dataclass(frozen=True)
class Heard:
    """What matters of one event of the engine."""

    action: str
    inside: Mapping[str, Any] | None  # the whole of it, for the news; None where it is too long to be handed around
    exit_code: int | None = None
    signal: str = ""

    @property
    def asks_to_end(self) -> bool:
        """Whether somebody told the container to end."""
        return self.action == "stop" or (self.action == "kill" and self.signal in ENDING_SIGNALS)


def heard(event: Event, raw: str) -> Heard:
    """What matters of an event, which came as `raw`. Docker and Podman call the exit code differently."""
    code = str(event.labels.get("exitCode") or event.labels.get("containerExitCode") or "")
    inside = json.loads(raw) if len(raw) <= LONGEST_EVENT else None
    return Heard(event.action, inside, int(code) if code.lstrip("-").isdecimal() else None, str(event.labels.get("signal", "")))


Hearing = Mapping[str, Sequence[Heard]]
