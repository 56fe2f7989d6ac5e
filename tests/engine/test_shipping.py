"""Kind `logs` from the two files to real destinations, through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from logkit import Kit, authority, until
from stackkit import Stack

pytestmark = pytest.mark.engine

PRINTER = "bash -c 'trap \"echo last words; exit\" TERM; n=0; while sleep 0.1; do echo line $$((n++)); done'"
APP = f"services: {{web: {{image: debian:trixie-slim, command: {json.dumps(PRINTER)}}}}}"


@pytest.fixture
def stack(stack: Stack) -> Stack:
    stack.developers(APP)
    return stack


def ships(stack: Stack, kit: Kit, to: str, more: str = "") -> None:
    stack.ops(
        f"environments: {{prod: {{attach: [logs]}}}}\n"
        f"sidekicks: {{logs: {{kind: logs, for: web, to: {json.dumps(to)}, network: {kit.network}{more}}}}}\n"
    )


def words(kit: Kit) -> list[str]:
    return [line.partition(" ")[2] for line in kit.received()]


def numbered(lines: list[str]) -> list[int]:
    return [int(line.split()[1]) for line in lines if line.startswith("line ")]


def test_a_destination_that_is_away_is_named_and_gets_everything_later(kit: Kit, stack: Stack) -> None:
    ships(stack, kit, f"relp://{kit.name('receiver')}:2514")
    stack.remora("up")
    away = f"logs: relp://{kit.name('receiver')}:2514 takes nothing since 20"
    assert until(lambda: any(fault.startswith(away) for fault in stack.json("status")["faults"]), 30)
    kit.receiver("relp")
    assert until(lambda: len(kit.received()) > 30)
    assert until(lambda: stack.json("status")["faults"] == [])
    got = sorted(set(numbered(words(kit))))
    assert got == list(range(len(got)))


def test_last_words_arrive(kit: Kit, stack: Stack) -> None:
    kit.receiver("relp")
    ships(stack, kit, f"relp://{kit.name('receiver')}:2514")
    stack.remora("up")
    assert until(lambda: len(kit.received()) > 5)
    stack.remora("down")
    assert words(kit)[-1] == "last words"


def test_tls_with_certificates_by_reference(kit: Kit, stack: Stack, tmp_path: Path) -> None:
    name = kit.name("receiver")
    made = authority(name)
    folder = tmp_path / "tls"
    folder.mkdir()
    for each in ("ca.pem", "client.pem"):
        (folder / each).write_bytes(made[each])
    kit.receiver(
        "tls",
        auth="x509/certvalid",
        files={"/tls/ca.pem": made["ca.pem"], "/tls/cert.pem": made["server.pem"], "/tls/key.pem": made["server.key"]},
    )
    ships(stack, kit, f"syslog+tls://{name}:6514", ', tls: {ca: "file:tls/ca.pem", cert: "file:tls/client.pem", key: "env:CLIENT_KEY"}')
    key = made["client.key"].decode()
    stack.remora("up", CLIENT_KEY=key)
    assert until(lambda: len(kit.received()) > 5), stack.remora("logs", "logs")
    shown = json.dumps(stack.containers()) + stack.remora("plan", "--json") + stack.remora("render") + stack.remora("logs", "logs")
    assert key.splitlines()[1] not in shown


@pytest.mark.parametrize("kind, scheme", [("tcp", "syslog+tcp"), ("udp", "syslog+udp")])
def test_plain_syslog(kit: Kit, stack: Stack, kind: str, scheme: str) -> None:
    kit.receiver(kind)
    ships(stack, kit, f"{scheme}://{kit.name('receiver')}:514")
    stack.remora("up")
    assert until(lambda: len(numbered(words(kit))) > 5), stack.remora("logs", "logs")


def test_a_driver_that_keeps_nothing_is_named(kit: Kit, stack: Stack) -> None:
    stack.developers(APP.replace("}}", ", logging: {driver: none}}}"))
    ships(stack, kit, "relp://nobody:2514")
    stack.remora("up")
    silent = f"{stack.name}-web-1: its logging driver is `none`: what it prints is kept nowhere"
    assert silent in stack.json("plan")["faults"] and silent in stack.json("status")["faults"]
