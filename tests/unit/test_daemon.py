"""When the watcher looks again."""

import queue
import time

import pytest

from remora.daemon import stopped

APP = '{"Action":"start","Actor":{"Attributes":{"com.docker.compose.service":"web","name":"shop-web-1"}}}'
OWN = '{"Action":"die","Actor":{"Attributes":{"name":"shop-web-1.probe","remora.sidekick":"probe"}}}'
AT_ONCE, WHOLE = 60.0, 0.4  # seconds to wait at the longest, where that must not happen, and where it must


@pytest.mark.parametrize(
    "nudges, patient, longest",
    [
        pytest.param([], False, WHOLE, id="nothing happens"),
        pytest.param([OWN], False, AT_ONCE, id="something happens to a sidekick"),
        pytest.param([APP], False, AT_ONCE, id="something happens to an app container"),
        pytest.param([""], False, AT_ONCE, id="the stream was opened"),
        pytest.param([OWN, ""], True, WHOLE, id="a failed look made waves"),
        pytest.param([OWN, APP], True, AT_ONCE, id="a look failed, and then its app container changed"),
    ],
)
def test_the_watcher_waits_as_long_as_it_should(nudges, patient, longest):
    waiting = queue.SimpleQueue()
    for nudge in nudges:
        waiting.put(nudge)
    began = time.monotonic()
    assert not stopped(waiting, longest, patient, time.monotonic)
    assert (time.monotonic() - began >= WHOLE) == (longest == WHOLE)


@pytest.mark.parametrize("patient", [False, True], ids=["calm", "after a failed look"])
def test_the_watcher_ends_when_it_is_told_to(patient):
    waiting = queue.SimpleQueue()
    waiting.put("stop")
    assert stopped(waiting, AT_ONCE, patient, time.monotonic)
