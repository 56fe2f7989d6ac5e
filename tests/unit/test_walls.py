"""Which mount of an app shows a path, and what cannot be shared."""

import pytest

from remora.core.sidekick import App
from remora.core.walls import Closed, covering, named
from remora.core.world import Mount

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
