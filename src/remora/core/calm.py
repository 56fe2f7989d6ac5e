"""When to look again: at once where something began, in the calm behind a storm, and in any case now and then.

All times are seconds of one clock that only goes forward, and come as arguments.
"""

from __future__ import annotations

from dataclasses import dataclass, field

CALM_MIN, CALM_MAX = 0.2, 0.8  # a storm is over after so much quiet, and is not waited for longer
LONGEST = 60.0  # between two tries of what fails
FORGOTTEN = 600.0  # after which what failed, and was not tried again since, is of no interest
URGENT = ("start", "unpause")  # what has begun waits for its sidekicks; what ended is waited for, it may be coming back

Never = float("inf")


@dataclass
class Calm:
    """The nudges since the last look."""

    first: float = Never
    latest: float = -Never
    urgent: bool = False
    looked: float = -Never  # when the last look was over

    def nudge(self, now: float, urgent: bool = False) -> None:
        """Something happened."""
        self.first = min(self.first, now)
        self.latest = max(self.latest, now)
        self.urgent = self.urgent or urgent

    def due(self) -> float:
        """When to look: the first urgent nudge after a calm at once, others in the calm behind them."""
        if self.first == Never:
            return Never
        if self.urgent:
            return max(self.first, self.looked + CALM_MIN)
        return min(self.first + CALM_MAX, self.latest + CALM_MIN)

    def over(self, now: float) -> None:
        """A look is over; the nudges before it are answered."""
        self.first, self.latest, self.urgent, self.looked = Never, -Never, False, now


@dataclass
class BackOff:
    """What failed, by name, and when to try it again: after 1, 2, 4, … seconds."""

    failures: dict[str, int] = field(default_factory=dict)
    latest: dict[str, float] = field(default_factory=dict)  # when each failed
    until: dict[str, float] = field(default_factory=dict)

    def failed(self, name: str, now: float) -> None:
        self.failures[name] = self.failures.get(name, 0) + 1
        self.latest[name] = now
        self.until[name] = now + min(LONGEST, 2.0 ** (self.failures[name] - 1))

    def well(self, name: str) -> None:
        """It went well, or there is a reason to try it at once."""
        for each in (self.failures, self.latest, self.until):
            each.pop(name, None)

    def holds(self, name: str, now: float) -> bool:
        return self.until.get(name, -Never) > now

    def due(self) -> float:
        """When the next of them may be tried again."""
        return min(self.until.values(), default=Never)

    def over(self, now: float) -> None:
        """A look is over: what might be tried again was, or is not wanted any more; the latter is forgotten after a while."""
        self.until = {name: until for name, until in self.until.items() if until > now}
        for name in [name for name, failed in self.latest.items() if now - failed > FORGOTTEN]:
            self.well(name)
