"""What the sender writes for rsyslog, and where it goes back to."""

import json
from pathlib import Path
from typing import Any

import pytest

from remora.images.logs.choice import Choice
from remora.images.logs.sender import left, prepare, render, rewind, unacknowledged
from remora.images.logs.senders import BACK, SOCKET, Sender
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


def sent(root: Path, batches: int, lines: int, text: bytes = b"") -> tuple[list[Path], Path]:
    """Segments that are sent whole, and the folder with a sender's positions in them."""
    spool = Spool(str(root), "r", Limits(segment_bytes=100))
    for number in range(batches):
        spool.append(b"".join(b"%d %d%s\n" % (number, line, text) for line in range(lines)), {})
    paths = sorted((root / "segments" / "r").glob("*.jsonl"))
    folder = root / "state" / "d-1"
    folder.mkdir(parents=True)
    for path in paths:
        size = path.stat().st_size
        facts = {"filename": str(path), "prev_was_nl": 0, "curr_offs": size, "strt_offs": size, "prev_line_segment": 'x"y'}
        (folder / f"imfile-state:{path.stat().st_ino}:00").write_text(json.dumps(facts))
    assert left(str(root), "d-1") == 0
    return paths, folder


def positions(folder: Path) -> dict[str, int]:
    sender = Sender(str(folder))
    sender.look()
    return sender.sent


def test_relp_goes_back_for_what_nobody_confirmed(tmp_path: Path) -> None:
    paths, folder = sent(tmp_path, 4, 100)
    rewind(str(folder), {str(path): path.stat().st_size for path in paths}, BACK, 0)
    found = positions(folder)
    again = sum(path.read_bytes()[found[str(path)] :].count(b"\n") for path in paths)
    assert again == BACK
    assert found[str(paths[0])] == paths[0].stat().st_size and found[str(paths[3])] == HEAD
    assert sum("prev_line_segment" in each.read_text() for each in folder.iterdir()) == 1


def test_tls_goes_back_for_what_lay_in_the_socket(tmp_path: Path) -> None:
    paths, folder = sent(tmp_path, 4, 1000, b"x" * 300)
    rewind(str(folder), {str(path): path.stat().st_size for path in paths}, 0, SOCKET)
    found = positions(folder)
    pieces = [path.read_bytes()[found[str(path)] :] for path in paths]
    assert SOCKET <= sum(map(len, pieces)) < SOCKET + 400
    assert all(path.read_bytes()[: found[str(path)]].endswith(b"\n") for path in paths)


@pytest.mark.parametrize("stopped, again", [pytest.param(False, BACK, id="killed"), pytest.param(True, 0, id="stopped, and all was sent")])
def test_nothing_is_repeated_after_a_stop_in_peace(tmp_path: Path, stopped: bool, again: int) -> None:
    paths, folder = sent(tmp_path, 4, 100)
    if stopped:
        (folder / "all-sent").touch()
    prepare({**SETTINGS, "destination": "relp://logs"}, str(tmp_path), str(tmp_path))
    found = positions(folder)
    assert sum(path.read_bytes()[found[str(path)] :].count(b"\n") for path in paths) == again
    assert not (folder / "all-sent").exists()


def test_what_the_socket_holds_is_counted(tmp_path: Path) -> None:
    (tmp_path / "tcp").write_text(
        "  sl  local_address rem_address   st tx_queue rx_queue\n"
        "   0: 0100007F:1F90 00000000:0000 0A 00000005:00000000\n"
        "   1: 0100007F:1F90 0100007F:9D3C 01 00000A00:00000007\n"
    )
    assert unacknowledged((str(tmp_path / "tcp"), str(tmp_path / "none"))) == 2560


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


def test_what_is_no_folder_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    settings = {**SETTINGS, "destination": "file:///srv/logs"}
    with pytest.raises(SystemExit) as ended:
        prepare(settings, str(tmp_path), str(tmp_path), str(tmp_path / "out"))
    assert ended.value.code == f"sender: file:///srv/logs: {tmp_path}/out is no folder; what is printed waits in the spool"
    (tmp_path / "out").unlink()
    (tmp_path / "out").mkdir()
    prepare(settings, str(tmp_path), str(tmp_path), str(tmp_path / "out"))
    assert (tmp_path / "keep").read_text() == "7 gz coins\n"
