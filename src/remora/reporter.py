"""Keeps what a watcher saw last, and makes news of what it sees next. Time comes as an argument; no thread, no file, no socket."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from remora.core import telling
from remora.core.event import parse
from remora.core.lives import Look, same_life, up
from remora.core.news import Heard, Moment, News, heard
from remora.core.plan import Action, Attach, Detach, Prepare, Start
from remora.core.world import Container, World
from remora.engines.performing import spared
from remora.errors import RemoraError

KEPT = 60.0  # seconds that an event waits for the look that shows what it tells of
ASKED = 600.0  # seconds that a container may take to end after it was told to
MOST = 32  # events kept of one container
SETTLED = 5.0  # seconds after which what was done must be seen
PLANS = 64  # that may be under way, as far as we count


@dataclass(frozen=True)
class Noted:
    """An event, and when it came: by the watcher's own clock, in seconds."""

    heard: Heard
    at: float

    def fresh(self, now: float) -> bool:
        return now - self.at < (ASKED if self.heard.asks_to_end else KEPT)


@dataclass
class Plan:
    """Actions that were begun together, and how those went that are over."""

    actions: tuple[Action, ...]
    results: list[bool] = field(default_factory=list)
    lacking: set[str] = field(default_factory=set)  # images that could not be had

    def took(self, action: Action, error: RemoraError | None) -> None:
        self.results.append(error is None)
        if error and isinstance(action, Prepare):
            self.lacking.add(action.image)

    @property
    def over(self) -> bool:
        """Whether all were tried, but for those that lack an image."""
        return len(self.results) >= sum(not spared(action, self.actions, self.lacking) for action in self.actions)


@dataclass
class Doing:
    """What remora does to a sidekick that is there, until a look shows it."""

    action: Action
    over: float | None = None  # since when it is done

    def shown(self, old: Container | None, new: Container | None) -> bool:
        """Whether two sights of the sidekick show that it was done."""
        if old is new:
            return False
        if isinstance(self.action, Detach):
            return new is None
        return up(new) == isinstance(self.action, Start)


class Reporter:
    """What one watcher has told so far."""

    def __init__(self) -> None:
        self.look: Look | None = None  # at the world as it was seen last
        self.notes: dict[str, list[Noted]] = {}  # by container id
        self.doing: dict[str, Doing] = {}  # by container id
        self.plans: list[Plan] = []  # under way
        self.lost = ""  # why no look is possible

    @property
    def world(self) -> World:
        """As it was seen last."""
        return self.look.after if self.look else World()

    def event(self, raw: str, now: float) -> None:
        """The engine told of a container."""
        found = parse(raw)
        if found:
            of_one = self.notes.setdefault(found.container, [])
            of_one.append(Noted(heard(found, raw), now))
            del of_one[:-MOST]

    def looked(self, before: World, after: World, actions: Sequence[Action], moment: Moment, now: float) -> tuple[News, ...]:
        """What is news since the last look. The first one is only remembered: what was there before us is no news."""
        hearing = {id: [each.heard for each in notes if each.fresh(now)] for id, notes in self.notes.items()}
        look = Look(before if self.look else after, after, moment, hearing, self.doing.keys())
        found = (*self.back(moment), *telling.between(look))
        self.forget(look, now)
        self.look = Look(after, after, moment)
        self.doing |= {action.container: Doing(action) for action in actions if not isinstance(action, (Attach, Prepare))}
        self.plans = [*self.plans, Plan(tuple(actions))][-PLANS:] if actions else self.plans
        return found

    def performed(self, action: Action, error: RemoraError | None, moment: Moment, now: float) -> tuple[News, ...]:
        """What an action is news of; after the last one of its plan, that the plan is done."""
        if not isinstance(action, (Attach, Prepare)) and action.container in self.doing:
            self.doing[action.container].over = now
        plan = next((each for each in self.plans if any(one is action for one in each.actions)), Plan((action,)))
        plan.took(action, error)
        found = telling.of_action(replace(self.look, moment=moment), action, error, plan.actions) if self.look else ()
        if not plan.over:
            return found
        self.plans = [each for each in self.plans if each is not plan]
        return (*found, telling.plan_done(moment, plan.results.count(True), plan.results.count(False)))

    def reloaded(self, error: RemoraError | None, moment: Moment) -> News:
        if error is None:
            return moment.news("ops.reloaded", "the ops file changed, and is in force")
        return moment.news("ops.refused", f"{error}; going on with the ops file as it was", reason=str(error))

    def gone(self, reason: str, moment: Moment) -> tuple[News, ...]:
        """The engine does not answer, or not well; said once."""
        if self.lost:
            return ()
        self.lost = reason
        return (moment.news("engine.lost", f"the engine is out of sight: {reason}", reason=reason),)

    def back(self, moment: Moment) -> tuple[News, ...]:
        """The engine answers; news where it did not before."""
        lost, self.lost = self.lost, ""
        return (moment.news("engine.back", "the engine is in sight again", reason=lost),) if lost else ()

    def forget(self, look: Look, now: float) -> None:
        """Drop what this look has used up: events, but that somebody asked for an end is kept until it comes; and what was being done."""
        kept = {}
        for id, notes in self.notes.items():
            old, new = look.earlier.get(id), look.later.get(id)
            alive = same_life(old, new) and up(new)
            if left := [each for each in notes if each.fresh(now) and (old is new or (alive and each.heard.asks_to_end))]:
                kept[id] = left
        self.notes = kept
        for id, doing in list(self.doing.items()):
            if doing.shown(look.earlier.get(id), look.later.get(id)) or (doing.over is not None and now - doing.over > SETTLED):
                del self.doing[id]
