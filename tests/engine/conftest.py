"""What the engine tests share: a stack or the containers of a pipeline, of which nothing stays."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from logkit import Kit
from stackkit import Stack

# Who starts the tests in the background of a script has them ignore Ctrl-C, and so would all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def kit() -> Iterator[Kit]:
    made = Kit()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with Stack(tmp_path) as made:
        yield made
