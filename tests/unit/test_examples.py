"""Every small example gives the overlay that lies beside it, as `remora render -e prod` prints it."""

from pathlib import Path

import pytest

from remora.core import ops, overlay, project, weave
from remora.core.check import check
from remora.core.sidekick import Context
from remora.engines.compose import Compose, binary
from remora.errors import RemoraError
from remora.sidekicks import KINDS, settings

FOLDERS = sorted((Path(__file__).parents[2] / "examples").glob("[0-9][0-9]-*"))


def compose_is_there():
    try:
        return bool(binary())
    except RemoraError:
        return False


def rendered(folder, environment):
    """What `remora render` makes of a folder."""
    stack = project.read(Compose((str(folder / "compose.yaml"),)).config())
    found = ops.read((folder / "remora.yaml").read_text(), "remora.yaml", "remora.yaml", settings())
    check(found, stack)
    apps = weave.expected(stack, found.environments[environment].services, ())
    context = Context(stack.name, environment, found.owner, volumes=stack.volumes)
    specs = weave.weave(found, apps, context, KINDS).specs
    made = overlay.overlay(stack, specs, {app.name: app.service for app in apps})
    return overlay.write(made, stack.name, environment, "overlay.yaml")


def test_there_are_examples():
    assert len(FOLDERS) >= 9


@pytest.mark.skipif(not compose_is_there(), reason="no Docker Compose here")
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_an_example_gives_its_overlay(folder):
    assert rendered(folder, "prod") == (folder / "overlay.yaml").read_text()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_an_example_says_what_it_shows(folder):
    assert (folder / "remora.yaml").read_text().startswith("# ")
