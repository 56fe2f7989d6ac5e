"""Whether a row of the engine's list fits what was inspected: each row was printed by a real engine, or is what it would print."""

from dataclasses import replace

import pytest

from remora.core.uptime import human, seconds, unchanged
from remora.core.world import Container

NOW = seconds("2026-01-31T12:00:00Z")
UP = Container("a", "web", state="running", started_at="2026-01-31T11:54:50.123456789Z", networks=("shop_default",))
ENDED = replace(UP, state="exited", exit_code=137, finished_at="2026-01-31T11:59:30Z")


def row(status, state="running", name="web", networks=("shop_default",)):
    return {"Id": "a", "Names": [f"/{name}"], "State": state, "Status": status, "NetworkSettings": {"Networks": dict.fromkeys(networks)}}


@pytest.mark.parametrize(
    "row, known, expected",
    [
        pytest.param(row("Up 5 minutes"), UP, True, id="as it was"),
        pytest.param(row("Up 3 seconds"), UP, False, id="it was started again"),
        pytest.param(row("Up 5 minutes", name="other"), UP, False, id="it was renamed"),
        pytest.param(row("Up 5 minutes", networks=()), UP, False, id="it left a network"),
        pytest.param(row("Up 5 minutes (healthy)"), UP, False, id="it is healthy now"),
        pytest.param(row("Up 5 minutes (healthy)"), replace(UP, health="healthy"), True, id="it still is healthy"),
        pytest.param(row("Up 5 minutes (health: starting)"), replace(UP, health="healthy"), False, id="it is not healthy any more"),
        pytest.param(row("Up 5 minutes (Paused)", "paused"), UP, False, id="it was paused"),
        pytest.param(row("Up 5 minutes (Paused)", "paused"), replace(UP, state="paused"), True, id="it still is paused"),
        pytest.param(row("Exited (137) 30 seconds ago", "exited"), UP, False, id="it ended"),
        pytest.param(row("Exited (137) 30 seconds ago", "exited"), ENDED, True, id="it ended before"),
        pytest.param(row("Exited (0) 30 seconds ago", "exited"), ENDED, False, id="it ended again, otherwise"),
        pytest.param(row("Exited (137) 3 seconds ago", "exited"), ENDED, False, id="it ended again"),
        pytest.param(row("Restarting (1) 5 seconds ago", "restarting"), replace(UP, state="restarting"), False, id="it is restarting"),
        pytest.param(row("Created", "created"), replace(UP, state="created"), True, id="it was never started"),
        pytest.param(row("oben seit 5 Minuten"), UP, False, id="words that nobody understands"),
    ],
)
def test_a_row_fits_or_not(row, known, expected):
    assert unchanged(row, known, NOW) == expected


@pytest.mark.parametrize(
    "status, known",
    [pytest.param("Up 5 minutes", UP, id="it runs"), pytest.param("Exited (137) 30 seconds ago", ENDED, id="it ended")],
)
def test_a_life_that_began_after_the_last_list_is_too_young_to_be_told_from_the_next(status, known):
    there, since = row(status, known.state), seconds(known.finished_at or known.started_at)
    assert unchanged(there, known, NOW, since + 121) and not unchanged(there, known, NOW, since + 119)


@pytest.mark.parametrize(
    "age, words",
    [
        (0.4, "Less than a second"),
        (1, "1 second"),
        (59.9, "59 seconds"),
        (60, "About a minute"),
        (119, "About a minute"),
        (120, "2 minutes"),
        (3599, "59 minutes"),
        (3600, "About an hour"),
        (5400, "2 hours"),
        (47 * 3600, "47 hours"),
        (49 * 3600, "2 days"),
        (20 * 86400, "2 weeks"),
        (100 * 86400, "3 months"),
        (800 * 86400, "2 years"),
    ],
)
def test_ages_are_called_as_the_engine_calls_them(age, words):
    assert human(age) == words


def test_a_time_that_makes_no_sense_fits_nothing():
    assert seconds("yesterday") == 0.0
    assert not unchanged(row("Up 5 minutes"), replace(UP, started_at=""), NOW)
