"""Does what the ops file's hooks ask for when something happens: webhooks, commands, jobs.

Each hook has a thread and a queue of its own, so that one that hangs holds up neither the watcher nor another hook. When too many news wait
for it, the oldest go and are counted. A secret is looked up when it is needed, and is in no remark, no news and no error.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import signal
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from http.client import HTTPException, InvalidURL
from pathlib import Path
from typing import IO, Any, Protocol
from urllib.parse import urlsplit

from remora import __version__
from remora.core import weave
from remora.core.hook import WHERE, Hook
from remora.core.news import News
from remora.core.ops import Ops, Sidekick
from remora.core.plan import JOB, Action, Attach, Detach, is_job, prepared
from remora.core.sidekick import Spec
from remora.core.weave import Woven
from remora.core.world import World
from remora.engines.secrets import check, look_up
from remora.errors import RemoraError
from remora.session import Session
from remora.witness import Outlet

MOST = 100  # news that may wait for one hook
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)  # seconds between the tries of a webhook
FAREWELL = 3.0  # seconds that what waits gets when the watcher ends
LAST_WORDS = 200  # characters of what a command said last

Say = Callable[[str], None]


class Count(Protocol):
    """Who counts what hooks do."""

    def hook(self, do: str, well: bool) -> None:
        """One was done, or failed for good."""

    def hook_missed(self, count: int) -> None:
        """So many news were not given to a hook, for too many waited."""


class Undone(Exception):
    """It could not be done; `again` where another try may help."""

    def __init__(self, reason: str, again: bool = False) -> None:
        super().__init__(reason)
        self.again = again


class Hooks(Outlet):
    """The hooks of a watcher. `note` takes news of what failed, `say` remarks."""

    def __init__(
        self,
        session: Callable[[], Session],
        say: Say,
        note: Callable[..., None],
        count: Count | None = None,
        pauses: Sequence[float] = PAUSES,
        farewell: float = FAREWELL,
    ) -> None:
        self.session, self.say, self.note, self.count = session, say, note, count
        self.pauses, self.farewell = pauses, farewell
        self.world = World()
        self.begun = False
        self.runners: dict[tuple[int, Hook], Runner] = {}

    def tell(self, news: News) -> None:
        found = self.session().ops
        for index, hook in enumerate(found.on):
            if hook.wants(news) and (hook.do.job is None or fits(found.sidekicks[hook.do.job], news)):
                self.runner(index, hook).put(news)

    def looked(self, world: World, woven: Woven, actions: Sequence[Action], seconds: float, resync: bool) -> None:
        if not self.begun:
            self.sweep(world)
        self.world, self.begun = world, True

    def reloaded(self, error: RemoraError | None) -> None:
        """Let go of the hooks that are not asked for any more; what waits for them is still done."""
        try:
            refuse_missing(self.session().ops)
        except RemoraError as missing:
            self.say(str(missing))
        wanted = set(enumerate(self.session().ops.on))
        for key in [key for key in self.runners if key not in wanted]:
            self.runners.pop(key).end()

    def close(self) -> None:
        """What waits is tried once, for a few seconds; what runs then is ended."""
        until = time.monotonic() + self.farewell
        runners = list(self.runners.values())
        for runner in runners:
            runner.end(hurry=True)
        for runner in runners:
            runner.join(max(0.0, until - time.monotonic()))

    def runner(self, index: int, hook: Hook) -> Runner:
        if (index, hook) not in self.runners:
            self.runners[index, hook] = Runner(self, index, hook)
        return self.runners[index, hook]

    def sweep(self, world: World) -> None:
        """A job that was made and never started is one that an earlier watcher was killed over."""
        session = self.session()
        for each in world.sidekicks(session.stack):
            if is_job(each) and each.state == "created":
                threading.Thread(target=self.discard, args=(each.id, each.name), daemon=True).start()

    def discard(self, container: str, name: str) -> None:
        with suppress(RemoraError):
            self.session().engine.perform(Detach(container, name, "", "it was never started"), lambda _: None)


class Runner:
    """One hook at work: its queue, and the thread that takes from it."""

    def __init__(self, hooks: Hooks, index: int, hook: Hook) -> None:
        self.hooks, self.hook = hooks, hook
        self.where = hooks.session().ops.line("on", index)
        self.waiting: deque[News] = deque()
        self.changed = threading.Condition()
        self.ending = False
        self.hurry = threading.Event()
        self.command: subprocess.Popen[bytes] | None = None
        self.thread = threading.Thread(target=self.run, name=f"hook-{index}", daemon=True)
        self.thread.start()

    def put(self, news: News) -> None:
        with self.changed:
            self.waiting.append(news)
            missed = len(self.waiting) - MOST
            for _ in range(missed):
                self.waiting.popleft()
            self.changed.notify()
        if missed > 0 and self.hooks.count:
            self.hooks.count.hook_missed(missed)

    def end(self, hurry: bool = False) -> None:
        """Finish what waits; in a hurry, without another try."""
        with self.changed:
            self.ending = True
            self.changed.notify()
        if hurry:
            self.hurry.set()

    def join(self, seconds: float) -> None:
        """Wait for that; a command that takes longer is killed."""
        self.thread.join(seconds)
        if self.thread.is_alive() and self.command:
            kill(self.command)
            self.thread.join(0.5)

    def next(self) -> News | None:
        """What waits longest, as soon as there is something; None at the end."""
        with self.changed:
            while not self.waiting and not self.ending:
                self.changed.wait()
            return self.waiting.popleft() if self.waiting else None

    def run(self) -> None:
        while (news := self.next()) is not None:
            try:
                self.do(news)
            except (Undone, RemoraError) as error:
                self.failed(news, str(error))
            except Exception as error:  # a bug of ours; the hook goes on with the next, and what it is about may be secret
                self.failed(news, f"this is a bug of remora's ({type(error).__name__})")
            else:
                self.counted(well=True)

    def failed(self, news: News, reason: str) -> None:
        """Name it."""
        self.counted(well=False)
        what = {"webhook": "the webhook", "run": "the command", "job": "the job"}[self.hook.do.kind]
        said = reason if reason.startswith(self.where) else f"{self.where}: {what} for {news.name}: {reason}"
        self.hooks.say(said)
        self.hooks.note("hook.failed", said, reason=reason, event=news.name, do=self.hook.do.kind)

    def counted(self, well: bool) -> None:
        if self.hooks.count:
            self.hooks.count.hook(self.hook.do.kind, well)

    def do(self, news: News) -> None:
        match self.hook.do.kind:
            case "webhook":
                self.send(news)
            case "run":
                self.execute(news)
            case _:
                attach(self.hook, news, self.hooks.session(), self.hooks.world, self.where)

    # ---- webhooks ----

    def send(self, news: News) -> None:
        """POST the news, again and again where that may help."""
        request, tries = signed(self.hook, news, self.hooks.session().ops, self.where), 0
        while True:
            tries += 1
            try:
                post(request, self.hook.within)
                return
            except Undone as error:
                if not error.again or tries > len(self.hooks.pauses) or self.hurry.wait(self.hooks.pauses[tries - 1]):
                    raise Undone(f"{error}, {tries} times" if tries > 1 else str(error)) from None

    # ---- commands ----

    def execute(self, news: News) -> None:
        """Run the command in the ops file's folder, with the news as its standard input."""
        assert self.hook.do.run
        folder = Path(self.hooks.session().ops.owner).parent
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
            given.write(body(news))
            given.seek(0)
            try:
                self.command = subprocess.Popen(self.hook.do.run, cwd=folder, stdin=given, stdout=said, stderr=said, start_new_session=True)
            except OSError as error:
                raise Undone(f"`{self.hook.do.run[0]}` cannot be run: {error.strerror}") from None
            self.await_end(self.command, said)

    def await_end(self, command: subprocess.Popen[bytes], said: IO[bytes]) -> None:
        try:
            code = command.wait(self.hook.within)
        except subprocess.TimeoutExpired:
            kill(command)
            raise Undone(f"it took longer than {self.hook.within} s and was killed{last_words(said)}") from None
        finally:
            self.command = None
        if code:
            ended = f"it was killed by signal {-code}" if code < 0 else f"it ended with exit code {code}"
            raise Undone(f"{ended}{last_words(said)}")


def kill(command: subprocess.Popen[bytes]) -> None:
    """End a command and all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(command.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        command.wait(1)


def last_words(said: IO[bytes]) -> str:
    """The end of what a command printed, on one line."""
    end = said.seek(0, os.SEEK_END)
    said.seek(max(0, end - 4 * LAST_WORDS))
    words = " ".join(said.read().decode(errors="replace").split())
    return f"; it said: {words[-LAST_WORDS:]}" if words else ""


def body(news: News) -> bytes:
    """The news as a webhook and a command get them."""
    return json.dumps(news.to_json(), sort_keys=True, default=str).encode()


# ---- webhooks ----


def signed(hook: Hook, news: News, ops: Ops, where: str) -> urllib.request.Request:
    """The request of a webhook. Raises RemoraError where a secret is missing, and Undone for an address that is none."""
    assert hook.do.webhook
    content = body(news)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"remora/{__version__}",
        "X-Remora-Event": news.name,
        "X-Remora-Delivery": uuid.uuid4().hex,  # the same at every try, so that the receiver can tell
    }
    if hook.do.webhook.secret:
        secret = look_up(hook.do.webhook.secret, where, ops.owner).rstrip(b"\r\n")
        headers["X-Remora-Signature"] = "sha256=" + hmac.new(secret, content, hashlib.sha256).hexdigest()
    return urllib.request.Request(address(hook.do.webhook.url, ops, where), content, headers, method="POST")


def address(url: str, ops: Ops, where: str) -> str:
    """The URL itself, looked up where it is given by reference."""
    if not WHERE.fullmatch(url):
        return url
    found = look_up(url, where, ops.owner).decode(errors="replace").strip()
    with suppress(ValueError):
        if urlsplit(found).scheme in ("http", "https"):
            return found
    raise Undone(f"what `{url}` holds is no http:// or https:// address")


class Stay(urllib.request.HTTPRedirectHandler):
    """What was signed for one address is not taken to another."""

    def redirect_request(self, *_: Any) -> None:
        return None


OPENER = urllib.request.build_opener(Stay)


def post(request: urllib.request.Request, within: float) -> None:
    """Send it. Raises Undone, and says whether another try may help."""
    try:
        with OPENER.open(request, timeout=within):
            return
    except urllib.error.HTTPError as error:
        error.close()
        raise Undone(f"it says {error.code} {error.reason}", error.code >= 500 or error.code in (408, 429)) from None
    except (OSError, HTTPException, ValueError) as error:
        raise Undone(why(error, within), again=not isinstance(error, (ValueError, InvalidURL))) from None


def why(error: Exception, within: float) -> str:
    """What a connection failed of; the address is not part of it, for it may be a secret."""
    reason = getattr(error, "reason", error)
    match reason:
        case TimeoutError():
            return f"nothing came within {within} s"
        case ValueError() | InvalidURL() | str():
            return "its address makes no sense"
        case OSError(strerror=str(words)) if words:
            return words
        case ConnectionError():
            return "it closed the connection"
    return f"what it says is not HTTP ({type(reason).__name__})"


# ---- jobs ----


def fits(sidekick: Sidekick, news: News) -> bool:
    """Whether the news are of an app container that a job is for. News of jobs start none, or there would be no end."""
    return news.app is not None and not news.facts.get("job") and sidekick.for_.selector().matches(news.app.facts)


def attach(hook: Hook, news: News, session: Session, world: World, where: str) -> None:
    """Attach a sidekick once, beside the app container of the news. The plan takes it away when it has ended."""
    spec = job(hook, news, session, world, where)
    if spec.name in session.engine.taken([spec.name]):
        raise Undone(f"{spec.name} is still there from the last time")
    check([Attach(spec)])
    for action in prepared([Attach(spec)], session.engine.having({spec.image})):
        session.engine.perform(action, lambda _: None)


def job(hook: Hook, news: News, session: Session, world: World, where: str) -> Spec:
    """The sidekick as a job. Raises Undone where it can be beside nobody."""
    assert hook.do.job
    assert news.app
    app = next((each for each in weave.present(world, session.stack) if each.id == news.app.id), None)
    if app is None:
        raise Undone(f"{news.app.name} is gone")
    specs, _ = weave.one(session.ops, hook.do.job, session.kinds, [app], session.context(world))
    spec = replace(specs[0], name=f"{specs[0].name}.{JOB}", role=JOB, restart="no", give_up_after=0, why=where)
    if spec.walls and not app.running:
        raise Undone(f"{app.name} does not run, and `{hook.do.job}` shares its {' and '.join(spec.walls)}")
    return spec


def refuse_missing(ops: Ops) -> None:
    """Raises RemoraError for a secret of a hook that is not there, before anything begins."""
    for index, hook in enumerate(ops.on):
        webhook = hook.do.webhook
        for reference in (webhook.url, webhook.secret) if webhook else ():
            if reference and WHERE.fullmatch(reference):
                look_up(reference, ops.line("on", index), ops.owner)
