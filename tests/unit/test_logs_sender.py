"""What the sender writes for rsyslog, and where it goes back to."""

import json
from pathlib import Path
from typing import Any

import pytest

from remora.images.logs.choice import Choice
from remora.images.logs.sender import left, render, rewind
from remora.images.logs.senders import BACK, Sender
from remora.images.logs.spool import HEAD, Limits, Spool

SETTINGS: dict[str, Any] = {
    "stack": "coins",
    "id": "d-1",
    "tls": {},
    "file": {"rotate": 3 << 30, "keep": 7, "compress": True},
}


@pytest.mark.parametrize(
    ("to", "words"),
    [
        pytest.param("relp://logs:20", 'type="omrelp" target="logs" port="20"', id="RELP"),
        pytest.param("relp://logs", 'target="logs" port="2514"', id="RELP's usual port"),
        pytest.param("syslog+udp://logs", 'protocol="udp" target="logs" port="514"', id="UDP"),
        pytest.param("syslog+udp://logs", 'position.to="60000"', id="a datagram has an end"),
        pytest.param("syslog+tcp://logs", 'TCP_Framing="octet-counted"', id="TCP counts octets"),
        pytest.param("syslog+tls://logs", 'StreamDriverAuthMode="x509/name" StreamDriverPermittedPeers="logs"', id="TLS checks the name"),
        pytest.param("syslog+tls://[::1]:7", 'target="::1" port="7"', id="IPv6"),
        pytest.param("file:///srv/logs", 'rotation.sizeLimit="2147483647"', id="a size that rsyslog can count"),
    ],
)
def test_a_destination(to: str, words: str) -> None:
    conf = render({**SETTINGS, "destination": to}, "whale")
    assert words in conf
    assert 'action.resumeRetryCount="-1"' in conf and 'persistStateInterval="0" persistStateAfterSubmission="on"' in conf


def test_our_own_certificate_is_shown_where_there_is_one() -> None:
    paths = {"ca": "/run/secrets/ca", "cert": "/run/secrets/cert", "key": "/run/secrets/key"}
    conf = render({**SETTINGS, "destination": "syslog+tls://logs", "tls": paths}, "whale")
    own = 'StreamDriver.CAFile="/run/secrets/ca" StreamDriver.CertFile="/run/secrets/cert" StreamDriver.KeyFile="/run/secrets/key"'
    assert own in conf


def test_relp_goes_back_for_what_nobody_confirmed(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path), "r", Limits(segment_bytes=100))
    for number in range(4):
        spool.append(b"".join(b"%d %d\n" % (number, line) for line in range(100)), {})
    paths = sorted((tmp_path / "segments" / "r").glob("*.jsonl"))
    folder = tmp_path / "state" / "d-1"
    folder.mkdir(parents=True)
    for path in paths:
        size = path.stat().st_size
        facts = {"filename": str(path), "prev_was_nl": 0, "curr_offs": size, "strt_offs": size, "prev_line_segment": 'x"y'}
        (folder / f"imfile-state:{path.stat().st_ino}:00").write_text(json.dumps(facts))
    assert left(str(tmp_path), "d-1") == 0
    rewind(str(folder), {str(path): path.stat().st_size for path in paths}, BACK)
    sender = Sender(str(folder))
    sender.look()
    again = sum(path.read_bytes()[sender.sent[str(path)] :].count(b"\n") for path in paths)
    assert again == BACK
    assert sender.sent[str(paths[0])] == paths[0].stat().st_size and sender.sent[str(paths[3])] == HEAD
    assert sum("prev_line_segment" in each.read_text() for each in folder.iterdir()) == 1


@pytest.mark.parametrize(
    ("stack", "selectors", "labels", "service"),
    [
        pytest.param("coins", [{}], {"com.docker.compose.project": "coins", "com.docker.compose.service": "web"}, "web", id="of the stack"),
        pytest.param("coins", [{}], {"com.docker.compose.project": "other"}, None, id="of another stack"),
        pytest.param("*", [{}], {}, "tool", id="of no stack"),
        pytest.param("*", [{}], {"remora.sidekick": "logs"}, None, id="a sidekick never"),
        pytest.param("*", [{"service": ["db"]}, {"label": ["a=1"]}], {"a": "1"}, "tool", id="by the second selector"),
        pytest.param("*", [{"env": ["B"]}], {}, None, id="by none"),
    ],
)
def test_which_containers_are_chosen(stack: str, selectors: list[dict[str, Any]], labels: dict[str, str], service: str | None) -> None:
    choice = Choice({"select": {"stack": stack, "selectors": selectors}, "environment": "prod"})
    raw = {"Id": "ab" * 32, "Name": "/tool", "Image": "tool:1", "Labels": labels, "Env": ["A=1"], "Ports": ["80/tcp"]}
    seen = choice.chosen(raw)
    assert (seen.origin.service if seen else None) == service
