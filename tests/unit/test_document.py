"""Every value of a YAML text knows its line."""

import pytest

from remora.core.document import parse

TEXT = """\
environments:
  prod:
    attach:
      - logs
      - probe
sidekicks:
  logs: {kind: logs,
         to: x}
  all: &all
    a: 1
  more:
    <<: *all
    b: 2
"""


@pytest.mark.parametrize(
    "path, line",
    [
        pytest.param((), 1, id="the file"),
        pytest.param(("sidekicks",), 6, id="a key at the top"),
        pytest.param(("environments", "prod", "attach", 1), 5, id="an item of a list"),
        pytest.param(("sidekicks", "logs", "to"), 8, id="a key in braces"),
        pytest.param(("sidekicks", "logs", "from"), 7, id="a key that is not there has the line of what is above"),
        pytest.param(("sidekicks", "more", "b"), 13, id="a key behind a merge"),
        pytest.param(("nothing", "at", "all"), 1, id="nothing above either"),
        pytest.param(("environments", "prod", "attach", 9), 3, id="an item beyond the end"),
    ],
)
def test_a_value_knows_its_line(path, line):
    assert parse(TEXT, "remora.yaml").line(path) == line


@pytest.mark.parametrize(
    "path, words",
    [
        pytest.param(("sidekicks", "logs", "to", 0), "remora.yaml:8: sidekicks.logs.to: wrong", id="the item of a bare value is the value"),
        pytest.param(("environments", "prod", "attach", 1), "remora.yaml:5: environments.prod.attach.1: wrong", id="an item"),
        pytest.param((), "remora.yaml:1: wrong", id="the file"),
    ],
)
def test_a_fault_names_what_is_written(path, words):
    assert str(parse(TEXT, "remora.yaml").fault(path, "wrong")) == words


def test_values_are_plain():
    assert parse(TEXT, "remora.yaml").plain(("sidekicks", "more")) == {"a": 1, "b": 2}
