"""Where a sidekick sends."""

import pytest

from remora.core.destination import Destination, parse

PORTS = {"file": 0, "relp": 2514, "syslog+tls": 6514}


@pytest.mark.parametrize(
    "text, expected",
    [
        pytest.param("file:///srv/logs", Destination("file", path="/srv/logs"), id="a folder"),
        pytest.param("file:///srv/logs/", Destination("file", path="/srv/logs"), id="a folder with a slash behind"),
        pytest.param("file:///", Destination("file", path="/"), id="the root folder"),
        pytest.param("relp://logs", Destination("relp", "logs", 2514), id="the scheme's own port"),
        pytest.param("relp://logs:99", Destination("relp", "logs", 99), id="a port"),
        pytest.param("relp://Logs.Internal/", Destination("relp", "logs.internal", 2514), id="capitals and a slash behind"),
        pytest.param("syslog+tls://[::1]:5", Destination("syslog+tls", "::1", 5), id="an IPv6 address"),
    ],
)
def test_a_destination_is_read(text, expected):
    assert parse(text, PORTS) == expected


@pytest.mark.parametrize("text", ["file:///srv/logs", "relp://logs:2514", "syslog+tls://[::1]:6514"])
def test_a_destination_is_shown_as_it_is_read(text):
    assert str(parse(text, PORTS)) == text


def test_one_destination_has_one_id():
    assert parse("relp://logs", PORTS).id == parse("relp://logs:2514", PORTS).id != parse("relp://log", PORTS).id


@pytest.mark.parametrize("text", ["", "://", "relp:logs", "relp://h;x", "relp://h h", "relp://h#f", "FILE:///x"])
def test_what_is_no_destination_is_refused(text):
    with pytest.raises(ValueError, match=r"must|no destination"):
        parse(text, PORTS)
