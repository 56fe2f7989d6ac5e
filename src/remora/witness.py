"""What is seen of the watcher from outside: the loop tells a Witness what it sees and does, and never waits for it.

A thread of its own makes news of that and hands them to the outlets: the journal, the metrics, the hooks. Where it does not keep up, what
comes is dropped and counted; where an outlet fails, that is said and the others go on.
"""

from __future__ import annotations

import queue
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from remora.core.news import Moment, News
from remora.core.plan import Action
from remora.core.weave import Woven
from remora.core.world import World
from remora.errors import RemoraError
from remora.reporter import Reporter

WAITING = 20_000  # steps that may wait for the thread: an event storm of some seconds
SILENCE = 150.0  # seconds without a turn of the loop: longer than an engine may take to answer
FAREWELL = 5.0  # seconds that what was heard may take to be told at the end

FAILURES = ("sidekick.failed", "sidekick.given_up")

Weight = Callable[[str], str]
Step = Callable[[], News | Iterable[News]]


class Outlet:
    """Where the outside hears of the watcher. An outlet hears what it has a method for, always from the same thread."""

    def tell(self, news: News) -> None:
        """Something happened."""

    def event(self) -> None:
        """The engine told of something."""

    def looked(self, world: World, woven: Woven, actions: Sequence[Action], seconds: float, resync: bool) -> None:
        """A look is over, and took so long."""

    def performed(self, action: Action, error: RemoraError | None, seconds: float) -> None:
        """An action was tried."""

    def opened(self) -> None:
        """The stream of events was opened, for the first time or again."""

    def reloaded(self, error: RemoraError | None) -> None:
        """The ops file is another one, or was refused."""

    def dropped(self, steps: int) -> None:
        """So much could not be told, for it came too fast."""

    def close(self) -> None:
        """The watcher ends."""


class Pulse:
    """Whether the watcher lives, and whether it is ready: for probes, who ask from other threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.last = clock()
        self.ready = False
        self.lost = self.standby = ""

    def beat(self) -> None:
        self.last = self.clock()

    def sick(self) -> str:
        """Why the loop does not seem to run; "" when it does."""
        silent = self.clock() - self.last
        return f"the loop stands still since {silent:.0f} s" if silent > SILENCE else ""

    def unready(self) -> str:
        """Why nothing is attached at the moment; "" when it is."""
        return self.standby or self.lost or ("" if self.ready else "no look is done yet") or self.sick()


class Witness:
    """Hears of everything that the watcher sees and does. One without outlets tells nobody. Safe to use from several threads."""

    def __init__(
        self,
        stack: str = "",
        environment: str = "",
        outlets: Sequence[Outlet] = (),
        pulse: Pulse | None = None,
        weight: Weight = lambda _: "warn",
    ) -> None:
        """`weight` says of a sidekick how much its failure matters: `warn` or `page`."""
        self.stack, self.environment, self.outlets, self.weight = stack, environment, tuple(outlets), weight
        self.pulse = pulse or Pulse()
        self.reporter = Reporter()
        self.steps: queue.Queue[Step | None] = queue.Queue(WAITING)
        self.overflow = 0
        self.thread = threading.Thread(target=self.work, name="witness", daemon=True)
        if outlets:
            self.thread.start()

    # ---- what the loop tells ----

    def beat(self) -> None:
        """The loop runs; said at least every few seconds."""
        self.pulse.beat()

    def standby(self, reason: str) -> None:
        """Another watcher is at work; said again and again while it is, and "" when it is not any more."""
        self.pulse.beat()
        self.pulse.standby = reason

    def ready(self) -> None:
        """The first look is done."""
        self.pulse.ready = True

    def event(self, raw: str) -> None:
        """The engine told of something: a line of its stream."""
        if self.outlets:
            self.put(partial(self.take_event, raw, time.monotonic()))

    def looked(self, before: World, after: World, woven: Woven, actions: Sequence[Action], seconds: float, resync: bool) -> None:
        """A look is over, and took so long: what was there, what is there now, what is wanted, and what will be done."""
        self.pulse.beat()
        self.pulse.lost = ""
        if self.outlets:
            found = partial(self.reporter.looked, before, after, tuple(actions), self.moment(), time.monotonic())
            self.put(partial(self.take_look, found, woven, tuple(actions), seconds, resync))

    def performed(self, action: Action, error: RemoraError | None, seconds: float) -> None:
        """An action was done, or failed."""
        if self.outlets:
            self.put(partial(self.take_action, action, error, seconds, self.moment(), time.monotonic()))

    def lost(self, reason: str) -> None:
        """A look failed, or the engine's stream ended. May be said again and again, until a look goes well or the stream is open again."""
        self.pulse.beat()
        self.pulse.lost = reason
        if self.outlets:
            self.put(partial(self.reporter.gone, reason, self.moment()))

    def reconnected(self, reason: str) -> None:
        """The stream is open, for the first time or again."""
        self.pulse.lost = ""
        if self.outlets:
            self.put(partial(self.take_stream, self.moment()))

    def reloaded(self, error: RemoraError | None) -> None:
        """The ops file changed, and is in force, or was refused."""
        if self.outlets:
            self.put(partial(self.take_file, error, self.moment()))

    def close(self) -> None:
        """The watcher ends: what was heard is told before this returns, unless that takes too long."""
        if self.thread.is_alive():
            self.steps.put(None)
            self.thread.join(FAREWELL)

    # ---- what the outlets tell ----

    def note(self, name: str, words: str, **facts: object) -> None:
        """News that an outlet itself makes."""
        self.put(partial(self.moment().news, name, words, **facts))

    # ---- how it is handed on ----

    def moment(self) -> Moment:
        return Moment(datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"), self.stack, self.environment)

    def put(self, step: Step) -> None:
        try:
            self.steps.put_nowait(step)
        except queue.Full:
            self.overflow += 1

    def work(self) -> None:
        """Take one step after the other, until the last."""
        while (step := self.steps.get()) is not None:
            self.safely(self.publish, step)
            if self.overflow:
                missed, self.overflow = self.overflow, 0
                self.each("dropped", missed)
        self.each("close")

    def publish(self, step: Step) -> None:
        found = step()
        for news in (found,) if isinstance(found, News) else found:
            self.each("tell", self.weighed(news))

    def weighed(self, news: News) -> News:
        """With how much it matters, where a sidekick failed."""
        if news.name not in FAILURES:
            return news
        return replace(news, facts={**news.facts, "on_failure": self.weight(news.sidekick)})

    def each(self, hears: str, *what: object) -> None:
        for outlet in self.outlets:
            self.safely(getattr(outlet, hears), *what)

    def safely(self, do: Callable[..., None], *what: object) -> None:
        """A bug in what is only told may not end the telling."""
        try:
            do(*what)
        except Exception:
            traceback.print_exc()

    def take_event(self, raw: str, now: float) -> Iterable[News]:
        self.each("event")
        self.reporter.event(raw, now)
        return ()

    def take_look(self, tell: Callable[[], Iterable[News]], woven: Woven, *more: object) -> Iterable[News]:
        found = tell()
        self.each("looked", self.reporter.world, woven, *more)
        return found

    def take_action(self, action: Action, error: RemoraError | None, seconds: float, moment: Moment, now: float) -> Iterable[News]:
        self.each("performed", action, error, seconds)
        return self.reporter.performed(action, error, moment, now)

    def take_stream(self, moment: Moment) -> Iterable[News]:
        self.each("opened")
        return self.reporter.back(moment)

    def take_file(self, error: RemoraError | None, moment: Moment) -> News:
        self.each("reloaded", error)
        return self.reporter.reloaded(error, moment)
