"""What the engine tests share: a stack or the containers of a pipeline, of which nothing stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from logkit import Kit
from stackkit import Stack


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
