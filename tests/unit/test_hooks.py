"""Hooks at work: on a real receiver that fails, hangs and redirects, with real commands, and with jobs on an engine in memory."""

import hashlib
import hmac
import json
import os
import queue
import signal
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from test_news import NOW
from worlds import planned, shop

from remora.core import ops
from remora.core.news import News
from remora.core.plan import Detach
from remora.core.sidekick import observed
from remora.engines.compose import Compose
from remora.engines.fake import FakeEngine
from remora.errors import RemoraError
from remora.hooks import MOST, Hooks, refuse_missing
from remora.session import Asked, Session
from remora.sidekicks import settings

SECRET = "hunter2"
LIMIT = 10.0


class Receiver:
    """A web server that answers as it is told, in this order, and then always with the last."""

    def __init__(self, *answers):
        self.answers, self.got = list(answers) or [204], queue.Queue()
        self.release = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answer = receiver.answers.pop(0) if len(receiver.answers) > 1 else receiver.answers[0]
                receiver.got.put((dict(self.headers), body))
                if answer == "close":
                    return
                if answer == "garbage":
                    self.wfile.write(b"garbage hunter2\r\n\r\n")
                    return
                if answer == "hang":
                    receiver.release.wait(LIMIT)
                    return
                self.send_response(answer)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            do_GET = do_POST

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def next(self):
        headers, body = self.got.get(timeout=LIMIT)
        return headers, json.loads(body)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.release.set()
        self.server.shutdown()
        self.server.server_close()


class Tally:
    """What is counted."""

    def __init__(self):
        self.done, self.missed = [], 0

    def hook(self, do, well):
        self.done.append((do, well))

    def hook_missed(self, count):
        self.missed += count


class Scene:
    """The hooks of an ops file at work, in a folder; what they say, and what fails."""

    def __init__(self, folder, text, engine=None, pauses=(), farewell=0.5):
        self.folder, self.engine = folder, engine or FakeEngine()
        self.said, self.failed, self.count = [], queue.Queue(), Tally()
        self.session = self.read(text)
        self.hooks = Hooks(lambda: self.session, self.said.append, self.note, self.count, pauses, farewell)

    def read(self, text):
        path = self.folder / "remora.yaml"
        found = ops.read(f"environments: {{prod: }}\n{text}", "remora.yaml", str(path), settings())
        return Session(Asked(), self.engine, found, "prod", Compose(), shop())

    def note(self, name, words, **facts):
        self.failed.put((name, words, facts))

    def failure(self):
        return self.failed.get(timeout=LIMIT)[1]

    def look(self):
        self.hooks.looked(self.session.observe(), None, (), 0.0, True)

    def until(self, count):
        """Wait until so many are done or failed."""
        end = time.monotonic() + LIMIT
        while len(self.count.done) < count:
            assert time.monotonic() < end, self.said
            threading.Event().wait(0.005)
        return self.count.done


@pytest.fixture
def scene(tmp_path, monkeypatch):
    monkeypatch.setenv("KEY", SECRET)
    made = []

    def make(text, **more):
        made.append(Scene(tmp_path, text, **more))
        return made[-1]

    yield make
    for each in made:
        each.hooks.close()
        assert SECRET not in "".join(each.said)


def news(name="app.oom", app=None, **facts):
    return News(name, NOW.time, "shop-web-1 ran out of memory", "shop", "prod", "shop-web-1", "web", facts=facts, app=app)


def webhook(url, more=""):
    return f"on:\n  - {{event: app.*, do: {{webhook: {{url: '{url}'{more}}}}}, within: 1s}}\n"


# ---- webhooks ----


def test_a_webhook_gets_the_news_signed(scene):
    with Receiver() as receiver:
        made = scene(webhook(receiver.url, ", secret: env:KEY"))
        made.hooks.tell(news(memory=1))
        headers, body = receiver.got.get(timeout=LIMIT)
        assert json.loads(body) == news(memory=1).to_json()
        assert headers["X-Remora-Signature"] == "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        assert (headers["Content-Type"], headers["X-Remora-Event"]) == ("application/json", "app.oom")
        assert made.until(1) == [("webhook", True)]


def test_a_webhook_without_a_secret_is_not_signed(scene):
    with Receiver() as receiver:
        scene(webhook(receiver.url)).hooks.tell(news())
        assert "X-Remora-Signature" not in receiver.next()[0]


def test_a_secret_may_be_in_a_file_and_so_may_the_url(scene, tmp_path):
    with Receiver() as receiver:
        (tmp_path / "key").write_text(f"{SECRET}\n")
        (tmp_path / "url").write_text(f"{receiver.url}\n")
        scene(webhook("file:url", ", secret: file:key")).hooks.tell(news())
        headers, body = receiver.got.get(timeout=LIMIT)
        assert headers["X-Remora-Signature"] == "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()


@pytest.mark.parametrize("answer", [500, 503, 408, 429])
def test_a_receiver_that_fails_twice_is_tried_again(scene, answer):
    with Receiver(answer, answer, 200) as receiver:
        made = scene(webhook(receiver.url), pauses=(0.01, 0.01, 0.01))
        made.hooks.tell(news())
        deliveries = {receiver.next()[0]["X-Remora-Delivery"] for _ in range(3)}
        assert (len(deliveries), made.until(1), made.said) == (1, [("webhook", True)], [])


def test_a_receiver_that_goes_on_failing_is_given_up(scene):
    with Receiver(500) as receiver:
        made = scene(webhook(receiver.url), pauses=(0.01, 0.01))
        made.hooks.tell(news())
        words = "remora.yaml:3: the webhook for app.oom: it says 500 Internal Server Error, 3 times"
        facts = {"reason": "it says 500 Internal Server Error, 3 times", "event": "app.oom", "do": "webhook"}
        assert made.failed.get(timeout=LIMIT) == ("hook.failed", words, facts)
        assert (made.said, made.count.done, receiver.got.qsize()) == ([words], [("webhook", False)], 3)


@pytest.mark.parametrize("answer, words", [(404, "it says 404 Not Found"), (401, "it says 401 Unauthorized"), (302, "it says 302 Found")])
def test_an_answer_that_will_not_change_is_not_tried_again(scene, answer, words):
    with Receiver(answer) as receiver:
        made = scene(webhook(receiver.url), pauses=(0.01,))
        made.hooks.tell(news())
        assert made.failure() == f"remora.yaml:3: the webhook for app.oom: {words}"
        assert receiver.got.qsize() == 1


def test_a_receiver_that_hangs_holds_up_nobody(scene):
    with Receiver("hang") as hanging, Receiver() as well:
        made = scene(webhook(hanging.url) + webhook(well.url).removeprefix("on:\n"), pauses=(0.01,))
        began = time.monotonic()
        made.hooks.tell(news())
        assert well.next()[1]["name"] == "app.oom"
        assert time.monotonic() - began < 0.9
        assert made.failure() == "remora.yaml:3: the webhook for app.oom: nothing came within 1 s, 2 times"


@pytest.mark.parametrize("answer, words", [("close", "it closed the connection"), ("garbage", "what it says is not HTTP (BadStatusLine)")])
def test_a_receiver_that_makes_no_sense_is_named(scene, answer, words):
    with Receiver(answer) as receiver:
        made = scene(webhook(receiver.url))
        made.hooks.tell(news())
        assert made.failure() == f"remora.yaml:3: the webhook for app.oom: {words}"


def test_a_receiver_that_is_not_there_is_named_without_its_address(scene, monkeypatch):
    monkeypatch.setenv("URL", f"http://127.0.0.1:1/{SECRET}")
    made = scene(webhook("env:URL"))
    made.hooks.tell(news())
    assert made.failure() == "remora.yaml:3: the webhook for app.oom: Connection refused"


@pytest.mark.parametrize(
    "value, words",
    [
        pytest.param(SECRET, "what `env:URL` holds is no http:// or https:// address", id="no address"),
        pytest.param("http://[hunter2/", "what `env:URL` holds is no http:// or https:// address", id="an address with a slip"),
        pytest.param("http://127.0.0.1:hunter2/", "its address makes no sense", id="a port that is none"),
    ],
)
def test_an_address_that_makes_no_sense_is_not_repeated(scene, monkeypatch, value, words):
    monkeypatch.setenv("URL", value)
    made = scene(webhook("env:URL"))
    made.hooks.tell(news())
    assert made.failure() == f"remora.yaml:3: the webhook for app.oom: {words}"


def test_a_secret_that_is_gone_is_named(scene, monkeypatch):
    made = scene(webhook("http://127.0.0.1:1", ", secret: env:KEY"))
    refuse_missing(made.session.ops)
    monkeypatch.delenv("KEY")
    made.hooks.tell(news())
    missing = "remora.yaml:3: the secret `env:KEY` is missing: the variable KEY is not set"
    assert made.failure() == missing
    with pytest.raises(RemoraError) as error:
        refuse_missing(made.session.ops)
    assert str(error.value) == missing


def test_when_too_many_news_wait_the_oldest_go_and_are_counted(scene):
    with Receiver("hang") as receiver:
        made = scene(webhook(receiver.url))
        made.hooks.tell(news())
        receiver.next()
        began = time.monotonic()
        for number in range(MOST + 50):
            made.hooks.tell(news(number=number))
        assert time.monotonic() - began < 0.5
        assert made.count.missed == 50
        [runner] = made.hooks.runners.values()
        assert [each.facts["number"] for each in runner.waiting] == list(range(50, MOST + 50))


def test_what_waits_when_the_watcher_ends_is_tried_once(scene):
    with Receiver(500, 500, 500, 200) as receiver:
        made = scene(webhook(receiver.url), pauses=(100.0,))
        for number in range(3):
            made.hooks.tell(news(number=number))
        receiver.next()
        began = time.monotonic()
        made.hooks.close()
        assert time.monotonic() - began < 3.0
        assert made.count.done == [("webhook", False)] * 3


def test_a_hook_that_is_not_asked_for_any_more_ends_when_it_is_done(scene):
    with Receiver() as receiver:
        made = scene(webhook(receiver.url))
        made.hooks.tell(news())
        [runner] = made.hooks.runners.values()
        made.session = made.read("")
        made.hooks.reloaded(None)
        runner.thread.join(LIMIT)
        assert (receiver.got.qsize(), made.hooks.runners, runner.thread.is_alive()) == (1, {}, False)
        made.hooks.tell(news())
        assert made.hooks.runners == {}


# ---- commands ----


def command(*words, within="10s"):
    return f"on:\n  - {{event: app.*, do: {{run: {json.dumps(words)}}}, within: {within}}}\n"


def test_a_command_gets_the_news_and_runs_in_the_ops_files_folder(scene, tmp_path):
    made = scene(command("sh", "-c", "cat > got.json"))
    made.hooks.tell(news())
    assert made.until(1) == [("run", True)]
    assert json.loads((tmp_path / "got.json").read_text()) == news().to_json()


def test_a_command_is_run_without_a_shell(scene, tmp_path):
    made = scene(command("touch", "$HOME", "a; b"))
    made.hooks.tell(news())
    assert made.until(1) == [("run", True)]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["$HOME", "a; b"]


COMMANDS = [
    pytest.param(("sh", "-c", "exit 3"), "it ended with exit code 3", id="an exit code"),
    pytest.param(
        ("sh", "-c", "echo no route; echo to host >&2; exit 1"), "it ended with exit code 1; it said: no route to host", id="words"
    ),
    pytest.param(
        ("sh", "-c", "head -c 9999 /dev/zero | tr '\\0' x; exit 1"), f"it ended with exit code 1; it said: {'x' * 200}", id="too many"
    ),
    pytest.param(("sh", "-c", "kill -TERM $$"), "it was killed by signal 15", id="a signal"),
    pytest.param(("./page",), "`./page` cannot be run: No such file or directory", id="no such command"),
    pytest.param(("/etc/passwd",), "`/etc/passwd` cannot be run: Permission denied", id="no command"),
]


@pytest.mark.parametrize("words, reason", COMMANDS)
def test_a_command_that_fails_is_named(scene, words, reason):
    made = scene(command(*words))
    made.hooks.tell(news())
    assert made.failure() == f"remora.yaml:3: the command for app.oom: {reason}"


def test_a_command_that_takes_too_long_is_killed_with_all_that_it_started(scene, tmp_path):
    made = scene(command("sh", "-c", "echo $$ > pids; sleep 600 & echo $! >> pids; echo waiting; wait", within="1s"))
    made.hooks.tell(news())
    assert made.failure() == "remora.yaml:3: the command for app.oom: it took longer than 1 s and was killed; it said: waiting"
    assert gone(int(pid) for pid in (tmp_path / "pids").read_text().split())


def test_a_command_does_not_outlive_the_watcher(scene, tmp_path):
    os.mkfifo(tmp_path / "ready")
    made = scene(command("sh", "-c", "echo $$ > ready; sleep 600", within="600s"))
    made.hooks.tell(news())
    pid = int((tmp_path / "ready").read_text())
    made.hooks.close()
    assert gone([pid])


def gone(pids):
    """Whether these processes end, soon."""
    end, pids = time.monotonic() + LIMIT, list(pids)
    while any(alive(pid) for pid in pids) and time.monotonic() < end:
        threading.Event().wait(0.005)
    return not any(alive(pid) for pid in pids)


def alive(pid):
    try:
        os.kill(pid, signal.SIG_DFL)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


# ---- jobs ----

JOBS = """\
sidekicks:
  core: {kind: container, for: web, image: busybox, command: "gcore 1", walls: {processes: true}}
on:
  - {event: "app.*", do: {job: core}}
"""


@pytest.fixture
def jobs(scene):
    """A stack that runs, and a hook that starts a job."""
    engine = FakeEngine()
    engine.up(shop())
    made = scene(JOBS, engine=engine)
    made.look()
    return made


def trouble(jobs, name="shop-web-1", **facts):
    return news(app=observed(jobs.engine.named(name)), **facts)


def names(jobs):
    return sorted(each.name for each in jobs.engine.containers.values() if each.is_sidekick)


def todo(jobs):
    return planned(jobs.engine, jobs.session.ops, shop())


def test_a_job_is_attached_beside_the_app_container(jobs):
    jobs.hooks.tell(trouble(jobs))
    assert jobs.until(1) == [("job", True)]
    job = jobs.engine.named("shop-web-1.core.job")
    assert (job.restart, job.labels["remora.role"], job.labels["remora.parent"]) == ("no", "job", jobs.engine.named("shop-web-1").id)
    assert jobs.engine.images["busybox"]  # had before


def test_a_job_is_left_alone_while_it_works_and_taken_away_when_it_is_over(jobs):
    jobs.hooks.tell(trouble(jobs))
    jobs.until(1)
    assert todo(jobs) == ()
    jobs.engine.crash("shop-web-1.core.job", 3)
    job = jobs.engine.named("shop-web-1.core.job")
    [gone] = todo(jobs)
    assert gone == Detach(job.id, job.name, "", "the job is over: it ended with exit code 3")


def test_a_job_goes_with_its_app_container(jobs):
    jobs.hooks.tell(trouble(jobs))
    jobs.until(1)
    jobs.engine.remove("shop-web-1")
    assert [action.name for action in todo(jobs)] == ["shop-web-1.core.job"]


def test_there_is_one_job_at_a_time(jobs):
    jobs.hooks.tell(trouble(jobs))
    jobs.hooks.tell(trouble(jobs))
    assert jobs.failure() == "remora.yaml:5: the job for app.oom: shop-web-1.core.job is still there from the last time"
    assert names(jobs) == ["shop-web-1.core.job"]


def test_news_of_a_job_start_no_job(jobs):
    jobs.hooks.tell(trouble(jobs, job=True))
    assert jobs.hooks.runners == {}


def test_a_job_is_for_the_app_containers_that_its_sidekick_is_for(jobs):
    jobs.hooks.tell(news())
    jobs.hooks.tell(trouble(jobs, "shop-db-1"))
    assert jobs.hooks.runners == {}


def test_an_app_container_that_is_gone_gets_no_job(jobs):
    found = trouble(jobs)
    jobs.engine.remove("shop-web-1")
    jobs.look()
    jobs.hooks.tell(found)
    assert jobs.failure() == "remora.yaml:5: the job for app.oom: shop-web-1 is gone"


def test_walls_that_are_closed_are_named(jobs):
    jobs.engine.stop("shop-web-1")
    jobs.look()
    jobs.hooks.tell(trouble(jobs))
    assert jobs.failure() == "remora.yaml:5: the job for app.oom: shop-web-1 does not run, and `core` shares its processes"


def test_an_engine_that_refuses_is_named(jobs):
    jobs.engine.fail("the image `busybox` is not here and cannot be pulled: no")
    jobs.hooks.tell(trouble(jobs))
    assert jobs.failure() == "remora.yaml:5: the job for app.oom: the image `busybox` is not here and cannot be pulled: no"
    assert names(jobs) == []


@contextmanager
def left_behind(jobs):
    """A job that a watcher made and did not live to start."""
    jobs.hooks.tell(trouble(jobs))
    jobs.until(1)
    job = jobs.engine.named("shop-web-1.core.job")
    jobs.engine.containers[job.id] = replace(job, state="created")
    yield


def test_a_job_that_was_never_started_is_swept_up_by_the_next_watcher(jobs, tmp_path):
    with left_behind(jobs):
        assert todo(jobs) == ()
        successor = Scene(tmp_path, JOBS, engine=jobs.engine)
        successor.look()
        end = time.monotonic() + LIMIT
        while names(jobs):
            assert time.monotonic() < end
            threading.Event().wait(0.005)
