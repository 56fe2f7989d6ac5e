"""Whether a row of the engine's list still fits what was inspected before.

A list costs one call however many containers there are, an inspection one each. The list does not say since when a container
runs, but for how long, in rough words: `Up 5 minutes (healthy)`. A container that was started again is younger than its last
inspection says, so its words differ, and it is inspected. What cannot be understood is inspected, too.

The words for two lives that began within two minutes of each other may be the same for ever. So a life is inspected once more by the
list after the one that first had it: what begins later than that is younger by as much as the words can tell.

Source: go-units HumanDuration, and moby's container/state.go.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from remora.core.world import Container

SLACK = range(-3, 4)  # seconds between what the engine's list was made from, and what we know of its clock
ROUGH = 120  # seconds: how rough the words are for what began some minutes ago
STATUS = re.compile(r"(Up|Exited|Restarting)(?: \((-?\d+)\))? (.+?)(?: ago)?(?: \(([^)]+)\))?")
SIMPLE = {"Created": "created", "Dead": "dead"}
HEALTH = {"healthy": "healthy", "unhealthy": "unhealthy", "health: starting": "starting", "Paused": None}


def unchanged(row: Mapping[str, Any], known: Container, now: float, listed: float = float("inf")) -> bool:
    """Whether the container in `row` of the list is in the life that `known` saw.

    `now` is the engine's clock, seconds since 1970, and `listed` what it was when everything was listed last.
    """
    if row["State"] != known.state or f"/{known.name}" not in row["Names"] or networks(row) != known.networks:
        return False
    status = row["Status"]
    if status in SIMPLE:
        return SIMPLE[status] == known.state
    found = STATUS.fullmatch(status)
    if not found:
        return False
    word, code, duration, remark = found.groups()
    if remark and HEALTH.get(remark, known.health) not in (None, known.health):
        return False
    if word == "Exited":
        return int(code or 0) == known.exit_code and fits(duration, seconds(known.finished_at), now, listed)
    return word == "Up" and fits(duration, seconds(known.started_at), now, listed)


def networks(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(sorted((row.get("NetworkSettings") or {}).get("Networks") or {}))


def fits(words: str, since: float, now: float, listed: float) -> bool:
    """Whether the time from `since` to `now`, give or take the slack, is called `words`, and cannot be a later one's."""
    return since + ROUGH < listed and any(human(now - since + slack) == words for slack in SLACK)


def human(age: float) -> str:
    """A number of seconds as the engine's list writes it."""
    whole = int(age)
    if whole < 1:
        return "Less than a second"
    if whole < 60:
        return "1 second" if whole == 1 else f"{whole} seconds"
    minutes = whole // 60
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    hours = int(age / 3600 + 0.5)
    if hours == 1:
        return "About an hour"
    for most, length, name in ((48, 1, "hours"), (24 * 14, 24, "days"), (24 * 60, 24 * 7, "weeks"), (24 * 730, 24 * 30, "months")):
        if hours < most:
            return f"{hours // length} {name}"
    return f"{int(age / 3600) // 24 // 365} years"


def seconds(stamp: str) -> float:
    """An engine's RFC 3339 time as seconds since 1970; 0 for one that makes no sense."""
    try:
        return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", stamp).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return 0.0
