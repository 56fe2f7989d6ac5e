"""When the watcher looks again."""

import pytest

from remora.core.calm import CALM_MAX, CALM_MIN, FORGOTTEN, LONGEST, BackOff, Calm, Never


def due(looked, *nudges):
    """When to look after nudges at these times; those in brackets are urgent."""
    calm = Calm(looked=looked)
    for nudge in nudges:
        calm.nudge(*((nudge[0], True) if isinstance(nudge, list) else (nudge,)))
    return calm.due()


@pytest.mark.parametrize(
    "looked, nudges, expected",
    [
        pytest.param(0, [], Never, id="nothing happened"),
        pytest.param(0, [[10]], 10, id="something began after a calm: at once"),
        pytest.param(10, [[10.05]], 10 + CALM_MIN, id="something began just after a look"),
        pytest.param(0, [10], 10 + CALM_MIN, id="something ended: it may be coming back"),
        pytest.param(0, [10, 10.1, 10.15], 10.15 + CALM_MIN, id="the calm behind several"),
        pytest.param(0, [10, [10.1]], 10, id="it came back"),
        pytest.param(0, [10 + n / 10 for n in range(50)], 10 + CALM_MAX, id="a storm is not waited for"),
        pytest.param(10, [[10.01 + n / 1000] for n in range(900)], 10 + CALM_MIN, id="an urgent storm neither"),
    ],
)
def test_when_to_look(looked, nudges, expected):
    assert due(looked, *nudges) == pytest.approx(expected)


def test_a_look_answers_the_nudges_before_it():
    calm = Calm()
    calm.nudge(10, urgent=True)
    calm.over(11)
    assert (calm.due(), calm.looked) == (Never, 11)


def test_what_fails_is_tried_at_growing_intervals():
    waits = []
    back_off = BackOff()
    for _ in range(9):
        back_off.failed("x", 100)
        waits.append(back_off.due() - 100)
    assert waits == [1, 2, 4, 8, 16, 32, LONGEST, LONGEST, LONGEST]
    assert back_off.holds("x", 101) and not back_off.holds("x", 100 + LONGEST) and not back_off.holds("y", 101)


def test_what_goes_well_is_not_held_back():
    back_off = BackOff()
    back_off.failed("x", 100)
    back_off.well("x")
    assert (back_off.due(), back_off.holds("x", 100)) == (Never, False)


def test_what_is_not_tried_again_is_not_waited_for():
    back_off = BackOff()
    back_off.failed("gone", 100)
    back_off.failed("later", 100.5)
    back_off.over(101)
    assert back_off.due() == 101.5


def test_what_nobody_tries_any_more_is_forgotten():
    back_off = BackOff()
    back_off.failed("gone", 100)
    back_off.failed("gone", 101)
    back_off.over(100 + FORGOTTEN)
    assert back_off.failures == {"gone": 2}
    back_off.over(102 + FORGOTTEN)
    assert (back_off.failures, back_off.latest, back_off.due()) == ({}, {}, Never)
