"""The JSON Schema and the reader agree: what one takes the other takes, and what a schema can see both refuse."""

from pathlib import Path

import pytest
import test_ops_read as good
import test_ops_refused as bad
from jsonschema import Draft202012Validator

from remora.core import ops
from remora.core.document import parse
from remora.sidekicks import settings

SCHEMA = Draft202012Validator(ops.schema(settings()))
EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*/remora.yaml"))

SEES_NOT = {  # what is no mapping at all, or needs the stack, two places at once, or arithmetic
    "an empty file",
    "a list",
    "plain text",
    "a key twice at the top",
    "a key twice below",
    "an unknown sidekick where there is none",
    "an unknown sidekick",
    "a sidekick attached twice",
    "an unknown service",
    "a key that is a number",
    "an environment called by a number",
    "a size of zero",
    "a size too small for the engine",
    "infinite cpus",
    "a mount that is not there",
    "a password in clear",
    "a password that is a number",
    "a password in a URL",
    "a password by reference, where none is looked up",
    "a reference that Compose cannot look up",
    "a reference to no variable",
    "an unknown service in a list",
    "a glob that fits no service",
    "empty text",
    "an unknown service in a mapping",
    "an image that no service runs",
    "a tag that no service runs",
    "a range that runs backwards",
    "an exception that is no service",
    "one exception of several wrong",
    "an exception that takes all away",
    "conditions that no service has together",
    "a relative path",
    "one relative path of several",
    "a spool of nothing",
    "a command with an open quote",
    "files both by path and by volume",
    "files by nothing",
    "a tmpfs at a relative path",
}
REFUSED = [
    pytest.param(file.replace("TEXT", row.values[0]), id=row.id)
    for file, rows in (
        ("TEXT", [row for row in bad.FILES if "not YAML" not in row.values[1] and "{{" not in row.values[0]]),
        (bad.DIFFERENCES_FILE, bad.DIFFERENCES),
        (bad.SELECTORS_FILE, bad.SELECTORS),
        (bad.LOGS_FILE, bad.LOGS),
        (bad.CONTAINERS_FILE, bad.CONTAINERS),
    )
    for row in rows
    if row.id not in SEES_NOT
]


def faults(text):
    """What the schema says of a text."""
    return [error.message for error in SCHEMA.iter_errors(parse(text, "remora.yaml").plain())]


def test_the_schema_is_one():
    Draft202012Validator.check_schema(ops.schema(settings()))


@pytest.mark.parametrize("text", good.WHOLE)
def test_a_good_file_fits_the_schema(text):
    assert faults(text) == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_an_example_fits_the_schema(path):
    assert faults(path.read_text()) == []


@pytest.mark.parametrize("text", REFUSED)
def test_a_wrong_file_does_not_fit_the_schema(text):
    assert faults(text) != []


def test_every_setting_is_described():
    named = {(name, key): field for name, each in ops.schema(settings())["$defs"].items() for key, field in each["properties"].items()}
    assert [place for place, field in named.items() if not field.get("description")] == []
