"""Which mount of an app shows a path, and what cannot be shared."""

import pytest
from worlds import coming, context, read, shop

from remora.core import weave
from remora.core.sidekick import App
from remora.core.walls import Closed, covering, named
from remora.core.world import EngineFacts, Mount
from remora.errors import RemoraError
from remora.sidekicks import KINDS

APP = App(
    "shop",
    "web",
    "1",
    "shop-web-1",
    mounts=(
        Mount("volume", "shop_logs", "/var/log"),
        Mount("bind", "/srv/html", "/var/log/html"),
        Mount("volume", "f" * 64, "/cache"),
        Mount("tmpfs", "", "/run"),
    ),
)
OUT = "what lies outside of it: `/cache`, `/var/log`, `/var/log/html`"


@pytest.mark.parametrize(
    "path, source",
    [
        pytest.param("/var/log", "shop_logs", id="the mount itself"),
        pytest.param("/var/log/nginx/access.log", "shop_logs", id="a file in a volume"),
        pytest.param("/var/log/html/a", "/srv/html", id="the innermost of two mounts"),
        pytest.param("/var/log/htm", "shop_logs", id="a name that begins like a mount's"),
        pytest.param("/cache/x/", "f" * 64, id="an anonymous volume"),
        pytest.param("/var/log/html/../x", "shop_logs", id="a path with dots"),
    ],
)
def test_a_path_is_covered_by_a_mount(path, source):
    found = covering(APP, path)
    assert (found.source, found.read_only) == (source, True)


@pytest.mark.parametrize(
    "path, words",
    [
        pytest.param(
            "/etc",
            f"`/etc` of shop-web-1 is in the container's own layer, which nobody else can mount; {OUT}",
            id="the container's own layer",
        ),
        pytest.param("/var/log/..", f"`/var` of shop-web-1 is in the container's own layer, which nobody else can mount; {OUT}", id="dots"),
        pytest.param("/run/x", "`/run` of shop-web-1 is a tmpfs, which lives in that one container and cannot be shared", id="a tmpfs"),
    ],
)
def test_a_path_cannot_be_shared(path, words):
    with pytest.raises(Closed) as closed:
        covering(APP, path)
    assert str(closed.value) == words


@pytest.mark.parametrize("name", ["logs", "shop_logs"])
def test_a_volume_is_known_by_either_name(name):
    assert named(APP, name, {"logs": "shop_logs"}).target == "/var/log"


def test_a_volume_that_is_not_there():
    with pytest.raises(Closed, match=r"^shop-web-1 has no volume `data`; it has `/cache`, `/var/log`, `/var/log/html`$"):
        named(APP, "data", {})


def test_an_app_may_have_no_mounts():
    with pytest.raises(Closed, match=r"what lies outside of it: none$"):
        covering(App("shop", "web", "1", "web"), "/x")


def on(engine, walls):
    """The walls that a sidekick of web gets on an engine."""
    text = f"""
        environments: {{prod: {{attach: [x]}}}}
        sidekicks:
          x: {{kind: container, image: busybox, for: web,
              walls: {walls}}}
    """
    found = read(text)
    return weave.weave(found, coming(shop()), context(found, facts=EngineFacts(engine)), KINDS).specs[0].walls


@pytest.mark.parametrize("walls", ["{processes: true}", "{ipc: true}", "{network: true, processes: true}"])
def test_a_wall_that_would_hold_the_app_container_is_refused_where_it_does(walls):
    wall = "ipc" if "ipc" in walls else "processes"
    assert wall in on("docker", walls)
    assert wall in on("podman", walls.replace("}", ", may_hold: true}"))
    with pytest.raises(RemoraError) as refused:
        on("podman", walls)
    assert str(refused.value) == (
        f"remora.yaml:4: sidekicks.x.walls: Podman cannot remove or recreate shop-web-1 while a sidekick shares its `{wall}`: "
        "leave that wall closed, or accept it with `may_hold: true` beside it"
    )


def test_a_wall_that_holds_nothing_is_open_everywhere():
    assert on("podman", "{network: true, files: /var/log/nginx}") == ("network",)


def test_to_accept_the_hold_makes_no_other_container():
    found = [read(f"environments: {{prod: {{attach: [x]}}}}\nsidekicks: {{x: {{kind: container, image: a, for: web, walls: {walls}}}}}")
             for walls in ("{ipc: true}", "{ipc: true, may_hold: true}")]  # fmt: skip
    assert len({weave.weave(each, coming(shop()), context(each), KINDS).specs[0].digest for each in found}) == 1
