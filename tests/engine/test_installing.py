"""The watcher in its container, as `remora install` runs it, on a real engine."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from stackkit import IDLE, Stack, until

pytestmark = pytest.mark.engine

NET = "for: web, walls: {network: true}, user: same"


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    tmp_path.chmod(0o755)
    with Stack(tmp_path) as made:
        yield made


def test_the_watcher_in_a_container_follows_a_scale_up(stack: Stack) -> None:
    """As nobody, without a network, and with nothing of the host but the engine's socket and the folder of the ops file."""
    stack.developers(f"services: {{web: {{{IDLE}}}}}")
    stack.attached(net=NET)
    (stack.folder / "remora.yaml").write_text(f"stack: {stack.name}\n{(stack.folder / 'remora.yaml').read_text()}")
    (stack.folder / "remora.yaml").chmod(0o644)
    project = f"remora-test-{uuid.uuid4().hex[:8]}"
    engine = Path(os.environ["DOCKER_HOST"].removeprefix("unix://")).resolve()
    stack.compose("up", "-d")
    stack.remora("images", "build", "--only", "watch")
    stack.remora("install", "--container", "-H", f"unix://{engine}", "-o", "watch.yaml")
    ours = ("-f", "watch.yaml", "-p", project)
    try:
        stack.compose(*ours, "up", "-d")

        def why() -> str:
            return stack.why() + stack.compose(*ours, "logs")

        until(lambda: stack.paired(1, net="network"), why)
        stack.compose("up", "-d", "--scale", "web=3")
        until(lambda: stack.paired(3, net="network"), why)
        stack.attached()  # a changed ops file is seen, too
        (stack.folder / "remora.yaml").write_text(f"stack: {stack.name}\n{(stack.folder / 'remora.yaml').read_text()}")
        stack.compose("up", "-d", "--scale", "web=2")
        until(lambda: len(stack.apps()) == 2 and not stack.sidekicks(), why)
        [watcher] = stack.api.containers(filters={"label": f"com.docker.compose.project={project}"})
        status = stack.compose(*ours, "exec", "watch", "cat", "/proc/self/status")
        assert "Uid:\t65532" in status and "CapEff:\t0000000000000000" in status and "NoNewPrivs:\t1" in status
        assert stack.api.inspect_container(watcher["Id"])["RestartCount"] == 0
        stack.api.stop(watcher["Id"])
        assert stack.api.inspect_container(watcher["Id"])["State"]["ExitCode"] == 0
    finally:
        stack.compose(*ours, "down", "-v", "-t", "0")
