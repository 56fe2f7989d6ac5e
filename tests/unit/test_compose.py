"""Compose as the reader of compose files, for real; no engine is needed for that."""

import pytest
from test_examples import compose_is_there

from remora.engines.compose import Compose

pytestmark = pytest.mark.skipif(not compose_is_there(), reason="no Docker Compose here")


def test_a_dollar_is_one_dollar(tmp_path):
    (tmp_path / "compose.yaml").write_text("name: x\nservices: {a: {image: b, command: echo $$HOME, environment: {PRICE: 5$$$$}}}\n")
    service = Compose((str(tmp_path / "compose.yaml"),)).config()["services"]["a"]
    assert (service["command"], service["environment"]) == (["echo", "$HOME"], {"PRICE": "5$$"})
