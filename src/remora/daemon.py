"""The loop that keeps it true: look at everything, do what is to be done, wait for a nudge.

Events only say "look again". A lost, doubled or late one costs nothing, for every look compares all that is wanted with
all that there is; a resync heals what no event told.
"""

from __future__ import annotations

import queue
import signal
import threading
import time
from collections.abc import Callable

from remora.commands.doing import carry_out
from remora.errors import RemoraError
from remora.output import Output
from remora.session import Session, open_session, ops_path

CALM_MIN, CALM_MAX = 0.2, 2.0  # seconds: a storm of events is over after so much quiet, and is not waited for longer
BACK_OFF_MAX = 60.0  # seconds between looks that fail

Clock = Callable[[], float]


class Watch:
    """One watcher of one stack."""

    def __init__(self, session: Session, out: Output, resync: int) -> None:
        """`resync` is how many seconds may pass without a look."""
        self.session, self.out, self.resync = session, out, resync
        self.nudges: queue.SimpleQueue[str] = queue.SimpleQueue()  # a signal handler may put into it at any time
        self.seen = self.stamp()
        self.said: tuple[str, ...] = ()

    def run(self) -> None:
        """Look until SIGTERM or Ctrl-C. Subscribes first, so that nothing happens between the list and the stream."""
        signal.signal(signal.SIGTERM, lambda *_: self.nudges.put("stop"))
        threading.Thread(target=self.listen, daemon=True).start()
        self.out.say(f"watching {self.session.stack} in {self.session.environment}")
        failures = 0
        while self.wait(self.resync if not failures else min(BACK_OFF_MAX, 2.0**failures), patient=bool(failures)):
            failures = 0 if self.look() else failures + 1

    def listen(self) -> None:
        """Turn the engine's events into nudges; a stream that ends is opened again, at growing intervals."""
        failures = 0
        while True:
            try:
                for event in self.session.engine.events():
                    failures = 0
                    self.nudges.put(event)
            except RemoraError as error:
                self.out.say(f"! {error}; trying again")
            failures += 1
            time.sleep(min(BACK_OFF_MAX, 0.1 * 2**failures))

    def wait(self, longest: float, patient: bool = False) -> bool:
        """Wait for a nudge, at most `longest` seconds, and for the calm behind it; False when it is time to stop.

        `patient` is for after a look that failed: it is not to be repeated at every event that it caused itself.
        """
        return not stopped(self.nudges, longest, patient, time.monotonic)

    def look(self) -> bool:
        """Compare and act once; whether all went well. What fails is said and tried again at the next look."""
        try:
            self.reread()
            world = self.session.observe()
            woven = self.session.weave(world)
            self.remark(woven.faults)
            return carry_out(self.session, self.session.plan(woven, world), self.out)
        except RemoraError as error:
            self.out.warn(f"remora: {error}")
            return False

    def remark(self, faults: tuple[str, ...]) -> None:
        """Say what cannot be had, once."""
        for fault in faults:
            if fault not in self.said:
                self.out.warn(f"! {fault}")
        self.said = faults

    def reread(self) -> None:
        """Take up a changed ops file; a broken one is said, and the last good one stays in force."""
        stamp = self.stamp()
        if stamp == self.seen:
            return
        self.seen = stamp
        try:
            self.session = open_session(self.session.asked)
            self.out.say(f"{self.session.ops.document.name} changed, and is in force")
        except RemoraError as error:
            self.out.warn(f"remora: {error}; going on with the ops file as it was")

    def stamp(self) -> tuple[int, int]:
        """What changes when the ops file does."""
        try:
            found = ops_path(self.session.asked).stat()
        except OSError:
            return (0, 0)
        return (found.st_mtime_ns, found.st_size)


def stopped(nudges: queue.SimpleQueue[str], longest: float, patient: bool, clock: Clock) -> bool:
    """Take nudges until it is time to look again; whether one of them said to stop.

    `patient` waits the whole time, unless there is news of an app container: that we cannot have caused.
    """
    began = clock()
    until = began + longest
    first = None
    while True:
        now = clock()
        if first is not None:
            until = min(until, first + CALM_MAX, now + CALM_MIN)
        try:
            nudge = nudges.get(timeout=max(0.0, until - now))
        except queue.Empty:
            return False
        if nudge == "stop":
            return True
        if first is None and not (patient and own(nudge)):
            first = clock()


def own(nudge: str) -> bool:
    """Whether it tells of a sidekick, by its label, or of nothing."""
    return not nudge or '"remora.sidekick"' in nudge
