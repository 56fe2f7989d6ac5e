"""On Podman: walls that would hold the app container are refused, and what is attached stands in nobody's way."""

from __future__ import annotations

import pytest
from stackkit import BESIDE, IDLE, Stack, name, until

pytestmark = [pytest.mark.engine, pytest.mark.podman]


@pytest.fixture
def stack(stack: Stack) -> Stack:
    if not stack.podman:
        pytest.skip("Docker removes any container")
    return stack


def ops(stack: Stack, walls: str) -> None:
    stack.ops(f"environments: {{prod: {{attach: [x]}}}}\nsidekicks:\n  x:\n    {{{BESIDE}, for: web, walls: {{{walls}}}}}\n")


@pytest.mark.parametrize("wall", ["processes", "ipc"])
def test_a_wall_that_would_hold_the_app_container_is_refused(stack: Stack, wall: str) -> None:
    stack.developers(f"services: {{web: {{{IDLE}, ipc: shareable}}}}")
    ops(stack, f"{wall}: true")
    said = (
        f"sidekicks.x.walls: Podman cannot remove or recreate {stack.name}-web-1 while a sidekick shares its `{wall}`: "
        "leave that wall closed, or accept it with `may_hold: true` beside it\n"
    )
    for verb in ("plan", "up"):
        assert stack.refused(verb) == f"remora: remora.yaml:4: {said}"
        assert stack.containers() == []
    stack.compose("up", "-d")
    with stack.watched():
        until(lambda: f"! remora.yaml:4: {said}" in stack.said, stack.why)
        before = stack.lives()
        stack.compose("up", "-d", "--force-recreate")
        assert stack.lives() != before
    assert [name(each) for each in stack.containers()] == [f"{stack.name}-web-1"]


@pytest.mark.parametrize("wall", ["processes", "ipc"])
def test_the_hold_can_be_accepted(stack: Stack, wall: str) -> None:
    stack.developers(f"services: {{web: {{{IDLE}, ipc: shareable}}}}")
    ops(stack, f"{wall}: true, may_hold: true")
    stack.remora("up")
    assert stack.paired(1, x=wall), stack.why()
    stack.remora("down")
    assert stack.leftovers() == []


def test_the_network_of_the_host_holds_nothing(stack: Stack) -> None:
    stack.developers(f"services: {{web: {{{IDLE}, network_mode: host}}}}")
    ops(stack, "network: true")
    stack.remora("up")
    assert stack.paired(1, x="network"), stack.why()
    before = stack.lives()
    with stack.watched():
        stack.compose("up", "-d", "--force-recreate")
        until(lambda: stack.lives() != before and stack.paired(1, x="network"), stack.why)


def test_a_network_that_another_container_lends_holds_nothing(stack: Stack) -> None:
    stack.developers(f"services: {{vpn: {{{IDLE}}}, web: {{{IDLE}, network_mode: 'service:vpn'}}}}")
    ops(stack, "network: true")
    stack.remora("up")
    web = stack.container("web-1")["Id"]
    stack.api.remove_container(web, force=True)
    stack.remora("detach")


def test_no_network_at_all_cannot_be_shared_without_a_hold(stack: Stack) -> None:
    stack.developers(f"services: {{web: {{{IDLE}, network_mode: none}}}}")
    ops(stack, "network: true")
    stack.compose("up", "-d")
    held = f"Podman cannot remove or recreate {stack.name}-web-1 while a sidekick shares its `network`"
    assert f"remora: remora.yaml:3: sidekicks.x.walls: {held}: leave that wall closed, or accept" in stack.refused("attach", "-q")
    stack.compose("up", "-d", "--force-recreate")
    ops(stack, "network: true, may_hold: true")
    stack.remora("attach")
    assert stack.paired(1, x="network"), stack.why()
