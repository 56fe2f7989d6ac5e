"""The loop that keeps it true: look at everything, do what is to be done, wait for a nudge.

Events only say "look again", and at what. A lost, doubled or late one costs nothing, for a resync compares all that is wanted
with all that there is. Between two resyncs the world is carried along: only what an event named is inspected again. Where there
are many containers, what happened to one of them is first answered for that one, and for the whole when there is time.

What is done is done in the background, and its sidekicks are left alone meanwhile: one that takes its time, or an engine that
hangs over it, holds up no other.
"""

from __future__ import annotations

import gc
import queue
import signal
import threading
import time
import traceback
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from remora.commands.doing import said
from remora.core.calm import CALM_MAX, LONGEST, URGENT, BackOff, Calm, Never
from remora.core.event import OPENED, Event, parse
from remora.core.history import History
from remora.core.plan import Action, Attach, Prepare
from remora.core.sidekick import observed
from remora.core.weave import Woven
from remora.core.world import Container, World, belongs
from remora.engines.performing import perform
from remora.errors import RemoraError
from remora.leader import STAND_BY, Leader
from remora.output import Output
from remora.session import Session, open_session, ops_path
from remora.witness import Witness

MANY = 300  # containers, above which what changed comes before the whole
FEW = 1 / 3  # of them: more is not worth being picked out
BATCHES = 4  # plans that may be under way side by side
ASKED = "kill"  # that somebody asked for an end is for the witness: the end itself is another event
TICK = 1.0  # seconds between two looks at the ops file

Clock = Callable[[], float]


@dataclass(frozen=True)
class Stop:
    """Somebody asked us to end."""


@dataclass(frozen=True)
class Reload:
    """Somebody asked us to read the ops file again."""


@dataclass(frozen=True)
class Done:
    """One action was done, or failed."""

    action: Action
    error: RemoraError | None
    seconds: float


@dataclass(frozen=True)
class Over:
    """All actions of a batch were tried; the sidekicks with these names are free again."""

    names: frozenset[str]


News = str | Stop | Reload | Done | Over  # a str is a line of the engine's event stream


class Watch:
    """One watcher of one stack."""

    def __init__(
        self,
        session: Session,
        out: Output,
        resync: float,
        witness: Witness | None = None,
        clock: Clock = time.monotonic,
        share: float = 1 / 250,
    ) -> None:
        """`resync` is how many seconds may pass without a look at everything; such looks take no more than `share` of the time."""
        self.share = share
        self.session, self.out, self.resync, self.clock = session, out, resync, clock
        self.witness = witness or Witness()
        self.news: queue.SimpleQueue[News] = queue.SimpleQueue()  # a signal handler may put into it at any time
        self.workers = ThreadPoolExecutor(BATCHES, "batch")
        self.calm, self.back_off = Calm(), BackOff()
        self.world: World | None = None  # as it was last seen
        self.history = History()
        self.changed: set[str] = set()  # ids or names of containers to be inspected
        self.busy: set[str] = set()  # names of sidekicks that something is being done to
        self.waiting: set[str] = set()  # those of them for which more is to be done
        self.stamped = self.stamp()
        self.faults: tuple[str, ...] = ()
        self.failures = 0  # looks in a row in which the engine did not answer
        self.listed = -Never  # when everything was last listed, or that was last tried
        self.next_list, self.next_whole = -Never, Never  # when everything is to be listed, and to be compared as it is known
        self.whole = -Never  # when comparing everything may next take its time

    # ---- the loop ----

    def run(self) -> None:
        """Watch until SIGTERM or Ctrl-C, as soon as nobody else does."""
        signal.signal(signal.SIGTERM, lambda *_: self.news.put(Stop()))
        signal.signal(signal.SIGHUP, lambda *_: self.news.put(Reload()))
        leader = Leader(self.session.engine.id, self.session.ops.owner)
        try:
            if self.stand_by(leader):
                threading.Thread(target=self.listen, daemon=True).start()
                self.out.say(f"watching {self.session.stack} in {self.session.environment}")
                while self.turn():
                    pass
        finally:
            self.workers.shutdown(wait=True, cancel_futures=True)
            leader.leave()
            self.witness.close()

    def once(self) -> bool:
        """Look at everything, do what is to be done, and wait for that; whether all went well."""
        actions = self.look()
        failed = 0
        while self.busy:
            news = self.news.get()
            failed += isinstance(news, Done) and news.error is not None
            self.take(news)
        self.workers.shutdown()
        return actions is not None and not failed

    def stand_by(self, leader: Leader) -> bool:
        """Wait until we are the one who watches; False when told to end before."""
        waiting = False
        while not leader.take():
            if not waiting:
                self.out.say(f"another watcher of {self.session.ops.owner} is at work; standing by")
            waiting = True
            self.witness.standby("another watcher is at work; this one stands by")
            try:
                if isinstance(self.news.get(timeout=STAND_BY), Stop):
                    return False
            except queue.Empty:
                continue
        self.witness.standby("")
        return True

    def turn(self) -> bool:
        """Wait for news or for the time to look, and look where it is time; False when told to end."""
        self.witness.beat()
        for news in self.wait(min(self.due(), self.clock() + TICK)):
            if isinstance(news, Stop):
                return False
            self.take(news)
        if self.stamp() != self.stamped:
            self.reload()
        if self.due() <= self.clock():
            self.look()
        return True

    def wait(self, until: float) -> list[News]:
        """What came, waiting for it until then at the longest."""
        found: list[News] = []
        try:
            found.append(self.news.get(timeout=max(0.0, until - self.clock())))
            while True:
                found.append(self.news.get_nowait())
        except queue.Empty:
            return found

    def due(self) -> float:
        """When to look next."""
        if self.failures:
            return self.listed + min(LONGEST, 2.0 ** (self.failures - 1))
        return min(self.calm.due(), self.next_list, self.next_whole, self.back_off.due())

    def listen(self) -> None:
        """Turn the engine's events into news; a stream that ends is opened again, at growing intervals."""
        failures = 0
        while True:
            reason = "the stream ended"
            try:
                for line in self.session.engine.events():
                    failures = 0
                    self.news.put(line)
            except RemoraError as error:
                reason = str(error)
                self.out.say(f"! {error}; trying again")
            self.witness.lost(reason)
            time.sleep(min(LONGEST, 0.1 * 2.0**failures))
            failures += 1

    # ---- what comes in ----

    def take(self, news: News) -> None:
        now = self.clock()
        match news:
            case Reload():
                self.reload()
            case Done(action, error, seconds):
                self.witness.performed(action, error, seconds)
                self.back_off.failed(named(action), now) if error else self.back_off.well(named(action))
            case Over(names):
                self.busy -= names
                self.changed |= names
                self.calm.nudge(now, urgent=not names.isdisjoint(self.waiting))
            case str() if news == OPENED:
                self.failures, self.next_list = 0, now
                self.witness.reconnected("the stream is open")
            case str():
                self.witness.event(news)
                self.hear(parse(news), now)

    def hear(self, event: Event | None, now: float) -> None:
        """Note which container an event is about, if that is one of ours."""
        if event is None or event.action == ASKED or not self.concerns(event):
            return
        self.changed.add(event.container)
        self.calm.nudge(now, urgent=event.action in URGENT and not event.of_sidekick)
        if not event.of_sidekick:  # whatever failed beside this app container may go well now
            for name in [name for name in self.back_off.until if name.startswith(f"{event.name}.")]:
                self.back_off.well(name)

    def concerns(self, event: Event) -> bool:
        """Whether the container is of the stack, or beside it."""
        if belongs(event.labels, self.session.stack):
            return True
        return self.world is not None and event.container in self.world.by_id

    # ---- looking ----

    def look(self) -> tuple[Action, ...] | None:
        """Compare, and begin what is to be done; gives that, None where the engine did not answer."""
        began = self.clock()
        before, changed = self.world, frozenset(self.changed)
        resync = before is None or began >= self.next_list
        self.changed.clear()
        try:
            world = self.session.observe(before) if resync or before is None else self.refreshed(before, changed)
            woven, actions = self.compare(world, changed, resync)
        except RemoraError as error:
            self.fail(error, changed)
            return None
        self.world, self.failures = world, 0
        self.begin(actions)
        took = self.clock() - began
        if resync:
            self.listed, self.next_list = began, self.clock() + max(self.resync, took / self.share if before else 0)
            self.workers.submit(self.sweep, frozenset(each.name for each in world.sidekicks(self.session.stack)) | self.busy)
        self.calm.over(self.clock())
        self.back_off.over(began)
        self.witness.looked(before or replace(world, containers=()), world, woven, actions, took, resync)
        if before is None:
            self.witness.ready()
            gc.freeze()  # what is there stays, mostly: looking through it for garbage would take longer than a look
        return actions

    def fail(self, error: RemoraError, changed: frozenset[str]) -> None:
        """The engine did not answer: what was known stays, and is never taken for an empty world."""
        self.out.warn(f"remora: {error}")
        self.witness.lost(str(error))
        self.changed |= changed
        self.failures += 1
        self.listed = self.clock()
        self.calm.over(self.listed)

    def refreshed(self, before: World, changed: Iterable[str]) -> World:
        """The world with what was inspected again."""
        wanted = set(changed)
        found = self.session.engine.inspect(wanted)
        new = [each for each in found.values() if belongs(each.labels, self.session.stack)]
        names = wanted - before.by_id.keys()
        return before.renewed({*wanted, *found, *(each.id for each in before.containers if names and each.name in names)}, new)

    def compare(self, world: World, changed: frozenset[str], resync: bool) -> tuple[Woven, tuple[Action, ...]]:
        """What is wanted, and what is to be done for it: for what changed where there is much, else for everything."""
        few = not resync and len(world.containers) > MANY and 0 < len(changed) < FEW * len(world.containers)
        part = portion(world, changed) if few else world
        mine = part.sidekicks(self.session.stack)
        self.history = self.history.noted(part, mine) if few else self.history.noted(part, mine).kept(each.id for each in mine)
        began = self.clock()
        woven = self.session.weave(part, strict=False)
        if few:
            woven = replace(woven, specs=tuple(spec for spec in woven.specs if spec.host), faults=self.faults)
        actions = self.session.plan(woven, part, self.history, retry=False)
        if few and self.concerns_all(world, changed):
            self.next_whole = min(self.next_whole, max(self.clock() + CALM_MAX, self.whole))
        if not few:
            took = self.clock() - began
            self.next_whole, self.whole = Never, self.clock() + 10 * took
        self.remark(woven.faults)
        self.waiting = self.busy & (self.waiting | {named(action) for action in actions})
        return woven, self.possible(actions)

    def possible(self, actions: Iterable[Action]) -> tuple[Action, ...]:
        """Those that need not wait, for another on the same sidekick or for the next try."""
        now = self.clock()
        return tuple(a for a in actions if named(a) not in self.busy and not self.back_off.holds(named(a), now))

    def concerns_all(self, world: World, changed: Iterable[str]) -> bool:
        """Whether more may be wanted of what changed than what is beside it: for a sidekick of the whole stack, or other app containers."""
        before = self.world.by_id if self.world else {}
        return any(not same_facts(before.get(each), world.by_id.get(each)) for each in changed)

    def remark(self, faults: tuple[str, ...]) -> None:
        """Say what cannot be had, once."""
        for fault in faults:
            if fault not in self.faults:
                self.out.warn(f"! {fault}")
        self.faults = faults

    # ---- doing ----

    def begin(self, actions: Sequence[Action]) -> None:
        """Do these in the background."""
        if actions:
            names = frozenset(named(action) for action in actions)
            self.busy |= names
            self.workers.submit(self.batch, tuple(actions), names)

    def batch(self, actions: Sequence[Action], names: frozenset[str]) -> None:
        """Do them, telling the loop of each."""
        try:
            perform(self.session.engine, actions, self.out.step, self.tell, go_on=True)
        except Exception:  # a bug of ours; it must not stop the watcher
            self.out.warn(traceback.format_exc())
        finally:
            self.news.put(Over(names))

    def sweep(self, sidekicks: Collection[str]) -> None:
        """Tidy up after a watcher that was killed in the middle of something."""
        try:
            self.session.engine.sweep(self.session.stack, sidekicks)
        except RemoraError as error:
            self.out.warn(f"remora: {error}")

    def tell(self, action: Action, error: RemoraError | None, seconds: float) -> None:
        said(action, error, self.out)
        if error:
            self.out.warn(f"remora: {error}")
        self.news.put(Done(action, error, seconds))

    # ---- the ops file ----

    def reload(self) -> None:
        """Take up the ops file as it is now; a wrong one is said, and the last good one stays in force."""
        self.stamped = self.stamp()
        try:
            self.session = open_session(self.session.asked, self.session.engine)
        except RemoraError as error:
            self.out.warn(f"remora: {error}; going on with the ops file as it was")
            self.witness.reloaded(error)
            return
        self.out.say(f"{self.session.ops.document.name} changed, and is in force")
        self.witness.reloaded(None)
        self.back_off, self.next_list = BackOff(), self.clock()

    def stamp(self) -> tuple[int, int]:
        """What changes when the ops file does."""
        try:
            found = ops_path(self.session.asked).stat()
        except OSError:
            return (0, 0)
        return (found.st_mtime_ns, found.st_size)


def named(action: Action) -> str:
    """The sidekick, or the image, that an action is about."""
    match action:
        case Attach(spec):
            return spec.name
        case Prepare(image):
            return image
    return action.name


def same_facts(before: Container | None, now: Container | None) -> bool:
    """Whether a container is to others what it was: an app container that is made as before, or a sidekick beside one."""
    if before is None or now is None:
        return before is now
    if now.is_sidekick:
        return bool(now.labels.get("remora.parent"))
    return replace(observed(before), running=True) == replace(observed(now), running=True)


def portion(world: World, changed: Collection[str]) -> World:
    """The app containers that changed, or whose sidekicks did, with all that is beside them."""
    touched = [world.by_id[each] for each in changed if each in world.by_id]
    if len(touched) < len(changed):  # what is gone, and what is known by its name
        touched += [each for each in world.containers if each.name in changed]
    apps = {*changed, *(each.labels.get("remora.parent", "") for each in touched)} - {""}
    apps -= {each.id for each in touched if not each.claims and world.helps(each)}
    hosts = {world.by_id[each].name for each in apps if each in world.by_id and not world.by_id[each].is_sidekick}
    near = {each for key in (*apps, *hosts) for each in world.beside.get(key, ())}
    return replace(world, containers=tuple(world.by_id[each] for each in sorted(near | (apps & world.by_id.keys()))))
