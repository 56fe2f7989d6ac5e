"""What a watcher tells over time, with actions under way while it looks on."""

import time
from dataclasses import replace

import pytest
from test_news import ENDED, NOW, SPEC, app, look, sidekick, told_by_engine

from remora.core.plan import Attach, Detach, Prepare, Start
from remora.core.weave import Woven
from remora.errors import RemoraError
from remora.reporter import Reporter
from remora.witness import Outlet, Pulse, Witness

NO = RemoraError("the engine says: no")
WOVEN = Woven((), ())


def worlds(*each):
    """One world after the other."""
    return [look((), containers).after for containers in each]


def names(found):
    return [news.name for news in found]


class Story:
    """A reporter and its clock."""

    def __init__(self, world):
        self.reporter, self.now, self.world = Reporter(), 0.0, world
        assert self.looked(world) == []

    def looked(self, world, *actions):
        before, self.world = self.world, world
        return names(self.reporter.looked(before, world, actions, NOW, self.now))

    def performed(self, action, error=None):
        return names(self.reporter.performed(action, error, NOW, self.now))

    def heard(self, *args, **more):
        self.reporter.event(told_by_engine(*args, **more), self.now)


def test_what_was_there_before_is_no_news():
    [empty, full] = worlds((), [app(), sidekick(state="exited")])
    reporter = Reporter()
    assert reporter.looked(empty, full, (), NOW, 0.0) == ()
    assert names(reporter.looked(full, empty, (), NOW, 0.0)) == ["app.stopped", "app.gone", "sidekick.detached"]


def test_a_plan_is_done_when_its_last_action_is():
    [bare] = worlds([app()])
    story, one, two = Story(bare), Attach(SPEC), Attach(replace(SPEC, name="shop-web-1.other", sidekick="other"))
    assert story.looked(bare, one, two) == []
    assert story.performed(one) == ["sidekick.attached"]
    assert story.performed(two, NO) == ["sidekick.failed", "plan.done"]


def test_two_plans_under_way_are_told_apart():
    [bare] = worlds([app()])
    story, one, two = Story(bare), Attach(SPEC), Attach(replace(SPEC, name="shop-web-1.other"))
    story.looked(bare, one)
    story.looked(bare, two)
    assert story.performed(one) == story.performed(two) == ["sidekick.attached", "plan.done"]


def test_what_lacks_an_image_is_not_waited_for():
    [bare] = worlds([app()])
    story, image = Story(bare), Prepare("busybox")
    story.looked(bare, image, Attach(SPEC))
    assert story.performed(image, NO) == ["sidekick.failed", "plan.done"]


def test_an_action_that_is_shown_late_is_still_ours():
    [full, bare] = worlds([app(), sidekick()], [app()])
    story, gone = Story(full), Detach("shop-web-1.probe", "shop-web-1.probe", "", "no longer asked for")
    story.looked(full, gone)
    assert story.performed(gone) == ["sidekick.detached", "plan.done"]
    assert story.looked(full) == []
    assert story.looked(bare) == []


def test_an_action_that_is_shown_early_is_ours_too():
    full, ending, bare = worlds([app(), sidekick()], [app(), sidekick(state="exited", exit_code=143)], [app()])
    story, gone = Story(full), Detach("shop-web-1.probe", "shop-web-1.probe", "", "no longer asked for")
    story.looked(full, gone)
    assert story.looked(ending) == story.looked(bare) == []


def test_a_crash_after_an_action_is_not_ours():
    first, again, ended = worlds(
        [app(), sidekick()],
        [app(), sidekick(started_at="2024-05-01T11:00:00Z")],
        [app(), sidekick(started_at="2024-05-01T11:00:00Z", state="restarting", exit_code=1)],
    )
    story, start = Story(first), Start("shop-web-1.probe", "shop-web-1.probe", "shop-web-1", "new namespaces")
    story.looked(first, start)
    assert story.looked(again) == []
    assert story.performed(start) == ["sidekick.restarted", "plan.done"]
    assert story.looked(ended) == ["sidekick.failed"]


def test_what_was_never_shown_is_forgotten():
    full, bare = worlds([app(), sidekick()], [app()])
    story, start = Story(full), Start("shop-web-1.probe", "shop-web-1.probe", "shop-web-1", "")
    story.looked(full, start)
    story.performed(start)
    story.now = 6.0
    assert story.looked(full) == []
    assert story.looked(bare) == ["sidekick.detached"]


def test_that_somebody_asked_for_the_end_is_remembered_until_it_comes():
    alive, ended = worlds([app()], [app(state="exited", exit_code=137)])
    story = Story(alive)
    story.heard("kill", signal="15")
    story.now = 120.0
    assert story.looked(replace(alive, containers=(app(),))) == []
    assert story.looked(ended) == ["app.stopped"]


def test_but_not_for_ever():
    alive, ended = worlds([app()], [app(state="exited", exit_code=137)])
    story = Story(alive)
    story.heard("kill", signal="15")
    story.now = 3600.0
    assert story.looked(ended) == ["app.died"]


def test_an_event_waits_for_the_look_that_shows_it():
    alive, again = worlds([app()], [app(started_at="2024-05-01T11:00:00Z", restarts=1)])
    story = Story(alive)
    story.heard("die", exitCode="7")
    story.looked(alive)
    assert story.reporter.looked(alive, again, (), NOW, 1.0)[0].facts == {"exit_code": 7}


def test_events_of_one_container_are_no_pile():
    story = Story(*worlds([app()]))
    for _ in range(1000):
        story.heard("start", label="x" * 100_000)
    assert len(story.reporter.notes["shop-web-1"]) < 100
    assert "xxx" not in repr(story.reporter.notes)


@pytest.mark.parametrize(
    "raw", ["", "no JSON", "[]", "null", '{"Actor": 5}', '{"Actor": {"ID": 5}}', '{"Actor": {"ID": "a", "Attributes": [1]}}']
)
def test_events_that_make_no_sense_are_nothing(raw):
    story = Story(*worlds([app()]))
    story.reporter.event(raw, 0.0)
    assert story.reporter.notes == {}


def test_that_the_engine_is_lost_is_said_once_and_so_is_that_it_is_back():
    story = Story(*worlds([app()]))
    assert names(story.reporter.back(NOW)) == []
    assert names(story.reporter.gone("no answer", NOW)) == ["engine.lost"]
    assert names(story.reporter.gone("still no answer", NOW)) == []
    assert story.looked(story.world) == ["engine.back"]
    assert names(story.reporter.back(NOW)) == []


# ---- the witness: the same in a thread of its own ----


class Ear(Outlet):
    """An outlet that remembers, and that fails once in a while."""

    def __init__(self, broken=""):
        self.heard, self.broken = [], broken

    def tell(self, news):
        if news.name == self.broken:
            raise ValueError("a bug")
        self.heard.append(news.name)

    def event(self):
        self.heard.append("event")

    def opened(self):
        self.heard.append("opened")

    def close(self):
        self.heard.append("close")


def test_a_witness_tells_all_in_order_before_it_closes():
    ear = Ear()
    witness = Witness("shop", "prod", [ear])
    alive, ended = worlds([app()], [app(**ENDED)])
    witness.reconnected("")
    witness.looked(alive, alive, WOVEN, (), 0.1, True)
    witness.event(told_by_engine("die", exitCode="1"))
    witness.looked(alive, ended, WOVEN, (), 0.1, False)
    witness.lost("no answer")
    witness.reconnected("")
    witness.reloaded(None)
    witness.reloaded(NO)
    witness.close()
    told = ["opened", "event", "app.died", "engine.lost", "opened", "engine.back", "ops.reloaded", "ops.refused", "close"]
    assert ear.heard == told


def test_an_outlet_with_a_bug_hurts_no_other(capsys):
    deaf, ear = Ear("ops.refused"), Ear()
    witness = Witness("shop", "prod", [deaf, ear])
    witness.reloaded(NO)
    witness.reloaded(None)
    witness.close()
    assert (deaf.heard, ear.heard) == (["ops.reloaded", "close"], ["ops.refused", "ops.reloaded", "close"])
    assert "ValueError: a bug" in capsys.readouterr().err


def test_an_outlet_that_is_slow_does_not_hold_up_the_loop():
    class Slow(Outlet):
        lost = 0

        def event(self):
            time.sleep(0.001)

        def dropped(self, steps):
            self.lost += steps

    slow = Slow()
    witness = Witness("shop", "prod", [slow])
    began = time.monotonic()
    for _ in range(40_000):
        witness.event("{}")
    assert time.monotonic() - began < 1.0
    witness.steps.queue.clear()
    witness.close()
    assert slow.lost > 0


def test_a_witness_that_nobody_configured_costs_next_to_nothing():
    witness = Witness()
    [world] = worlds([app()])
    began = time.monotonic()
    for _ in range(10_000):
        witness.event("{}")
        witness.looked(world, world, WOVEN, (), 0.0, False)
    witness.close()
    assert time.monotonic() - began < 0.2
    assert not witness.thread.is_alive()


def test_the_pulse_says_what_is_wrong():
    now = [0.0]
    pulse = Pulse(lambda: now[0])
    assert (pulse.sick(), pulse.unready()) == ("", "no look is done yet")
    pulse.ready = True
    assert pulse.unready() == ""
    now[0] = 200.0
    assert pulse.sick() == pulse.unready() == "the loop stands still since 200 s"
    pulse.beat()
    pulse.lost = "no engine answers"
    assert (pulse.sick(), pulse.unready()) == ("", "no engine answers")
    pulse.standby = "another watcher is at work"
    assert pulse.unready() == "another watcher is at work"
