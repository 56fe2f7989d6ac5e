"""A sidekick that ends at once, for ever: the engine's back-off, then the watcher gives it up; nothing piles up, the app lives on."""

from __future__ import annotations

import pytest
from stackkit import IDLE, Stack, until

pytestmark = pytest.mark.engine


def test_a_sidekick_that_ends_at_once_is_given_up(stack: Stack) -> None:
    stack.developers(f"services: {{web: {{{IDLE}}}}}")
    stack.ops("""
        environments: {prod: {attach: [bad]}}
        sidekicks:
          bad: {kind: container, for: web, image: "debian:trixie-slim", command: sh -c "echo my last words; exit 3", give_up_after: 4}
    """)
    stack.remora("up")
    before = stack.lives()
    with stack.watched():
        until(lambda: f"! give up {stack.name}-web-1.bad: it ended with exit code 3" in stack.said, stack.why)
        until(lambda: stack.container("web-1.bad")["State"]["Status"] == "exited", stack.why)
        found = stack.json("status")["sidekicks"][0]
        assert found["remark"] == "given up: exit code 3; `remora attach` tries again"
        assert "my last words" in stack.remora("logs", "bad")
        assert len(stack.containers()) == 2 and stack.lives() == before
    stack.remora("attach")
    assert stack.container("web-1.bad")["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
