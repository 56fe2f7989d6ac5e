"""From what is seen and done to news.

The engine's events come late, doubled, in another order, or not at all. So news are made of two worlds, one look apart; an event only adds
what a world does not show: how a life ended that lay between the looks, or that somebody asked for the end.

An app container begins (`app.started`, each later life `app.restarted`), ends (`app.stopped`, `app.died` or `app.oom`), and is removed
(`app.gone`, or `app.recreated` where another is in its place). Steps that lie between two looks are told as if each had been seen, so that
the news do not depend on when the watcher looked. Of a sidekick, what remora did is told by what it did, and what happened by the worlds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from remora.core.lives import Begin, End, Look, at, begun, lives, same_life, up
from remora.core.news import Moment, News
from remora.core.plan import JOB, Action, Attach, Detach, GiveUp, Prepare, Start, Stop, attached
from remora.core.sidekick import Spec, observed
from remora.core.world import NUMBER, SERVICE, STACK, Container
from remora.errors import RemoraError, counted

Seen = Container | None


def between(look: Look) -> tuple[News, ...]:
    """What happened from one world to the next: apps first, for what happens to a sidekick often follows from it."""
    apps: list[News] = []
    sidekicks: list[News] = []
    for old, new in look.changed:
        found = some(old, new)
        if look.is_app(found):
            apps += of_app(look, old, new)
        elif look.is_ours(found):
            sidekicks += of_sidekick(look, old, new)
    return (*apps, *sidekicks)


def some(old: Seen, new: Seen) -> Container:
    """The container as it is, or as it was last."""
    found = new or old
    assert found
    return found


# ---- app containers ----


def of_app(look: Look, old: Seen, new: Seen) -> Iterator[News]:
    """The way of one app container from one world to the next."""
    for step in lives(look, old, new):
        yield beginning(look, step) if isinstance(step, Begin) else ending(look, step)
    if old and new and begun(old) and begun(new):
        yield from changes(look, old, new)
    if new and up(new):
        yield from conditions(look, old if same_life(old, new) else None, new)
    if old and begun(old) and not new:
        yield removal(look, old)


def about(look: Look, name: str, container: Container, words: str, *proofs: str, **facts: Any) -> News:
    """News of an app container, with the engine's last event of one of the names in `proofs`."""
    app = observed(container)
    where = (app.stack or look.moment.stack, look.moment.environment, container.name, app.service)
    inside = look.proof(container.id, *proofs)
    return News(name, look.moment.time, words, *where, facts=facts, engine=inside, app=app)


def beginning(look: Look, begin: Begin) -> News:
    new = begin.container
    if begin.again:
        return about(look, "app.restarted", new, f"{new.name} was started again", "start", restarts=new.restarts)
    return about(look, "app.started", new, f"{new.name} was started", "start")


def ending(look: Look, end: End) -> News:
    name = "app.oom" if end.oom else "app.stopped" if end.well else "app.died"
    facts = {"exit_code": end.code} | ({"memory": end.container.memory} if end.oom else {})
    return about(look, name, end.container, f"{end.container.name} {end.how}", "die", **facts)


def removal(look: Look, old: Container) -> News:
    for new in look.after.containers:
        if look.is_app(new) and place(new) == place(old) and not begun(look.earlier.get(new.id)):
            return about(look, "app.recreated", old, f"{old.name} was removed, and another container is in its place", "destroy")
    return about(look, "app.gone", old, f"{old.name} was removed", "destroy")


def place(container: Container) -> tuple[str, ...]:
    """What stays the same when one container follows another."""
    labels = container.labels
    return (labels[STACK], labels[SERVICE], labels.get(NUMBER, "1")) if STACK in labels and SERVICE in labels else (container.name,)


def changes(look: Look, old: Container, new: Container) -> Iterator[News]:
    """What may change while a container lives, or between its lives."""
    if old.name != new.name:
        yield about(look, "app.renamed", new, f"{old.name} is now called {new.name}", "rename", before=old.name)
    for network in sorted({*old.networks} ^ {*new.networks}):
        verb, to = ("connect", "to") if network in new.networks else ("disconnect", "from")
        words = f"{new.name} was {verb}ed {to} the network {network}"
        yield about(look, "app.network", new, words, verb, network=network, change=f"{verb}ed")


def conditions(look: Look, old: Seen, new: Container) -> Iterator[News]:
    """How it goes in its life of now; `old` is the same life, earlier."""
    if (new.state == "paused") != (old is not None and old.state == "paused"):
        verb, words = ("pause", "was paused") if new.state == "paused" else ("unpause", "goes on after a pause")
        yield about(look, f"app.{verb}d", new, f"{new.name} {words}", verb)
    if new.oom_killed and (not (old and old.oom_killed) or look.proof(new.id, "oom")):
        words = f"a process of {new.name} was killed for lack of memory{at(new.memory)}; {new.name} goes on"
        yield about(look, "app.oom_child", new, words, "oom", memory=new.memory)
    if new.health in ("healthy", "unhealthy") and new.health != (old.health if old else ""):
        yield about(look, f"app.{new.health}", new, f"{new.name} is {new.health}", "health_status")


# ---- sidekicks ----


@dataclass(frozen=True)
class Subject:
    """The sidekick that news are about, and the app container it is beside."""

    container: str  # its name
    labels: Mapping[str, str]
    host: Container | None
    id: str = ""

    def __str__(self) -> str:
        """`probe beside shop-web-1`."""
        named = ".".join(part for part in (self.labels.get("remora.sidekick", self.container), self.labels.get("remora.role")) if part)
        return f"{named} beside {self.host.name}" if self.host else named

    def news(self, look: Look, name: str, words: str, *proofs: str, **facts: Any) -> News:
        """News of it, with the engine's last event of one of the names in `proofs`."""
        app = observed(self.host) if self.host else None
        job = {"job": True} if self.labels.get("remora.role") == JOB else {}
        given = ({"beside": self.host.name} if self.host else {}) | job | facts
        where = (
            look.moment.stack,
            look.moment.environment,
            self.container,
            app.service if app else "",
            self.labels.get("remora.sidekick", ""),
        )
        return News(name, look.moment.time, f"{self} {words}", *where, facts=given, engine=look.proof(self.id, *proofs), app=app)


def subject(look: Look, sidekick: Container) -> Subject:
    return Subject(sidekick.name, sidekick.labels, look.last(sidekick.labels.get("remora.parent", "")), sidekick.id)


def coming(look: Look, spec: Spec) -> Subject:
    """A sidekick that is not there yet."""
    return Subject(spec.name, spec.labels, look.last(spec.parent))


def of_sidekick(look: Look, old: Seen, new: Seen) -> Iterator[News]:
    """What happened to a sidekick that remora did not do itself."""
    about = subject(look, some(old, new))
    for step in lives(look, old, new):
        match step:
            case Begin(container=begun) if old and by_the_engine(look, old, begun):
                yield about.news(look, "sidekick.restarted", "was started again by the engine", "start", restarts=begun.restarts)
            case End() if failed(look, step, old, new):
                yield failure(look, step, about)
    if old and not new and old.id not in look.ended:
        yield about.news(look, "sidekick.detached", "was removed, and not by this watcher", "destroy")


def by_the_engine(look: Look, old: Container, new: Container) -> bool:
    """Whether the engine's restart policy began this life."""
    return new.restarts > old.restarts or (old.state == "restarting" and new.id not in look.ended)


def failed(look: Look, end: End, old: Seen, new: Seen) -> bool:
    """Whether a sidekick ended that should not have: not by remora, not with its app, and not because it was removed."""
    asked_for = (old is end.container or same_life(old, end.container)) and (end.container.id in look.ended or new is None)
    may_end = end.code == 0 and end.container.restart in ("no", "on-failure")
    return not (asked_for or may_end or with_its_app(look, end))


def with_its_app(look: Look, end: End) -> bool:
    """Whether it ended because the life of its app did: walls go with whom they belong to."""
    return bool(end.container.labels.get("remora.parent")) and not unaffected(look, end.container) and not end.oom


def unaffected(look: Look, sidekick: Container) -> bool:
    """Whether it has an app container, and that one lives on as it did."""
    id = sidekick.labels.get("remora.parent", "")
    old, new = look.earlier.get(id), look.later.get(id)
    return same_life(old, new) and up(old) and up(new)


def failure(look: Look, end: End, about: Subject) -> News:
    """That a sidekick ended by itself, and why."""
    found = end.container
    verb, reason = ("was ", f"killed{at(found.memory)}") if end.oom else ("", end.how)
    if found.error:
        verb, reason = "could not be started: ", found.error
    reason += "; the app was not affected" if unaffected(look, found) else ""
    return about.news(look, "sidekick.failed", verb + reason, "oom", "die", reason=reason, exit_code=end.code)


# ---- what remora did ----


def of_action(look: Look, action: Action, error: RemoraError | None, others: Sequence[Action] = ()) -> tuple[News, ...]:
    """What an action, done or failed, is news of; `look` is the one it was planned at, and `others` are the actions planned with it."""
    if isinstance(action, Prepare):
        return tuple(missing(look, spec, error) for spec in attached(others) if spec.image == action.image and error)
    name, words, verb = DONE[type(action)]
    if isinstance(action, Attach):
        about, reason = coming(look, action.spec), {}
    else:
        about, reason = subject(look, look.last(action.container) or Container(action.container, action.name)), {"reason": action.why}
    if error is not None:
        return (about.news(look, "sidekick.failed", f"could not be {verb}: {error}", reason=str(error)),)
    return (about.news(look, name, ": ".join([words, *reason.values()]), **reason),) if name else ()


DONE: dict[type[Action], tuple[str, str, str]] = {
    Attach: ("sidekick.attached", "was attached", "attached"),
    Detach: ("sidekick.detached", "was detached", "detached"),
    Start: ("sidekick.restarted", "was started again", "started again"),
    GiveUp: ("sidekick.given_up", "is left alone", "stopped"),
    Stop: ("", "", "stopped"),  # its app is not running: no news of the sidekick
}


def missing(look: Look, spec: Spec, error: RemoraError) -> News:
    """A sidekick whose image cannot be had."""
    return coming(look, spec).news(look, "sidekick.failed", f"could not be attached: {error}", reason=str(error))


def plan_done(moment: Moment, done: int, failed: int) -> News:
    """The end of a plan."""
    words = f"{counted(done, 'action')} done" + (f", {failed} failed" if failed else "")
    return moment.news("plan.done", words, done=done, failed=failed)
