"""Whatever can be typed is named in the README or the docs."""

import re
from pathlib import Path

import pytest

from remora.cli import remora
from remora.core.ops import TOP, Conditions, Differences, Environment, Limits
from remora.sidekicks import KINDS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXT = "\n".join(page.read_text() for page in PAGES if page.exists() and not page.name.endswith(".notes.md"))


def named(pattern):
    return bool(re.search(pattern, TEXT, re.M))


def settings(model):
    return [field.alias or name for name, field in model.model_fields.items()]


def options(command):
    return [option for each in command.params for option in each.opts if option.startswith("--")]


@pytest.mark.parametrize("name", sorted(remora.commands))
def test_a_command_is_named(name):
    assert named(rf"remora {name}\b")


@pytest.mark.parametrize("option", sorted({option for command in remora.commands.values() for option in options(command)}))
def test_an_option_is_named(option):
    assert named(rf"(?<!\S)`?{option}\b")


@pytest.mark.parametrize("name", sorted(KINDS))
def test_a_kind_is_named(name):
    assert named(rf"kind: {name}\b|Kind `{name}`")
    assert (ROOT / f"docs/kinds/{name}.md").exists()


@pytest.mark.parametrize(
    "name", sorted({*TOP, *(name for model in (Conditions, Differences, Environment, Limits) for name in settings(model))})
)
def test_a_setting_is_named(name):
    assert named(rf"`{name}`|\b{name}:|`for\.{name}`|`limits\.{name}`")


@pytest.mark.parametrize("kind, name", [(kind, name) for kind, module in sorted(KINDS.items()) for name in settings(module.Settings)])
def test_a_setting_of_a_kind_is_named_on_its_page(kind, name):
    assert f"`{name}`" in (ROOT / f"docs/kinds/{kind}.md").read_text()


def test_every_command_that_is_named_is_there():
    typed = "\n".join(re.findall(r"```sh\n(.*?)```", TEXT, re.S))
    named_there = {*re.findall(r"`remora ([a-z]+)", TEXT), *re.findall(r"^remora ([a-z]+)", typed, re.M)}
    assert {"plan", "up", "attach"} <= named_there <= remora.commands.keys()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_page_that_is_linked_is_there(page):
    links = re.findall(r"\]\(([^)#]+)", page.read_text())
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []
