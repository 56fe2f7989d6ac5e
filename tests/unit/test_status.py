"""What `remora status` remarks on a sidekick."""

from dataclasses import replace

import pytest

from remora.commands.status import remark
from remora.core.world import Container

UP = Container("a", "web.net", restart="unless-stopped", memory=64 << 20)
ENDED = replace(UP, state="exited", exit_code=3)


@pytest.mark.parametrize(
    "container, restart, words",
    [
        pytest.param(UP, "always", "", id="it runs"),
        pytest.param(replace(UP, oom_killed=True), "always", "killed at 64 MiB; the app was not affected", id="it ran out of memory once"),
        pytest.param(ENDED, "always", "exit code 3", id="it ended, and will be started again"),
        pytest.param(replace(ENDED, restart="no"), "no", "exit code 3", id="it ended, and may"),
        pytest.param(replace(ENDED, restart="no"), "always", "given up: exit code 3; `remora attach` tries again", id="it was given up"),
        pytest.param(replace(ENDED, error="no such image"), "always", "no such image", id="the engine says why"),
    ],
)
def test_a_remark(container, restart, words):
    assert remark(container, restart) == words
