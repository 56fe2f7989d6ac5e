"""Which app containers a selector takes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.core.selector import Facts, Selector, image_matches, pair_matches, port_matches

WEB = Facts("shop", "web", "shop-web-1", "nginx:1.27", {"tier": "front"}, {"PORT": "80"}, frozenset({80}))
HERE = "registry.internal:5000/team/api"


@pytest.mark.parametrize(
    "pattern, image, fits",
    [
        pytest.param("nginx", "nginx:1.27", True, id="without a tag it fits every tag"),
        pytest.param("nginx:1.27", "nginx:1.27", True, id="with the same tag"),
        pytest.param("nginx:1.26", "nginx:1.27", False, id="with another tag"),
        pytest.param("nginx:latest", "nginx", True, id="no tag is latest"),
        pytest.param("nginx:latest", "nginx:1.27", False, id="a tag is not latest"),
        pytest.param("nginx:1.*", "nginx:1.27", True, id="a glob in the tag"),
        pytest.param("ngin", "nginx:1.27", False, id="a piece of the name is not the name"),
        pytest.param("docker.io/library/nginx", "nginx:1.27", True, id="the full name of a short one"),
        pytest.param("nginx", "docker.io/library/nginx:1.27", True, id="the short name of a full one"),
        pytest.param("library/nginx", "nginx", True, id="the folder of official images"),
        pytest.param("nginx", "bitnami/nginx:1", False, id="another folder is another image"),
        pytest.param("bitnami/nginx", "docker.io/bitnami/nginx:1", True, id="a folder of the default registry"),
        pytest.param("*/nginx", "bitnami/nginx:1", True, id="a glob for the folder"),
        pytest.param("team/api", f"{HERE}:7", True, id="a registry of one's own may be left out"),
        pytest.param(HERE, f"{HERE}:7", True, id="a registry with a port is not a tag"),
        pytest.param(f"{HERE}:7", f"{HERE}:7", True, id="a registry with a port, and a tag"),
        pytest.param("api", f"{HERE}:7", False, id="the folder may not be left out"),
        pytest.param("nginx", "nginx@sha256:abc", True, id="by digest only"),
        pytest.param("nginx@sha256:abc", "nginx:1.27@sha256:abc", True, id="by digest where there is a tag too"),
        pytest.param("nginx:1.27", "nginx:1.27@sha256:abc", True, id="by tag where there is a digest too"),
        pytest.param("nginx@sha256:def", "nginx@sha256:abc", False, id="another digest"),
        pytest.param("postgres*", "postgres:16", True, id="a glob behind the name"),
        pytest.param("postgres*", "postgrest/postgrest", True, id="a glob behind the name takes what begins alike"),
    ],
)
def test_an_image_fits_in_any_spelling(pattern, image, fits):
    assert image_matches(pattern, image) is fits


@pytest.mark.parametrize(
    "selector, taken",
    [
        pytest.param(Selector(), True, id="no condition takes all"),
        pytest.param(Selector(service=("web",)), True, id="its service"),
        pytest.param(Selector(service=("w?b",)), True, id="a glob"),
        pytest.param(Selector(service=("db", "web")), True, id="any of several"),
        pytest.param(Selector(service=("web",), image=("postgres",)), False, id="one condition of two does not hold"),
        pytest.param(Selector(label=("tier",)), True, id="a label by its key"),
        pytest.param(Selector(label=("tier=back",)), False, id="a label with another value"),
        pytest.param(Selector(label=("ti*=f*",)), True, id="globs in key and value"),
        pytest.param(Selector(env=("PORT=80",)), True, id="env"),
        pytest.param(Selector(env=("VIRTUAL_HOST",)), False, id="env that is not there"),
        pytest.param(Selector(port=("80",)), True, id="a port"),
        pytest.param(Selector(port=("8000-9000",)), False, id="a range without its port"),
        pytest.param(Selector(name=("shop-*",)), True, id="a container name"),
        pytest.param(Selector(except_=(Selector(service=("web",)),)), False, id="taken away by service"),
        pytest.param(Selector(except_=(Selector(service=("web",), port=("81",)),)), True, id="all of an exception has to fit"),
        pytest.param(Selector(except_=(Selector(port=("81",)), Selector(env=("PORT",)))), False, id="any of several exceptions"),
    ],
)
def test_a_selector_takes(selector, taken):
    assert selector.matches(WEB) is taken


@pytest.mark.parametrize(
    "selector, words",
    [
        pytest.param(Selector(service=("db", "api")), "its service is web, not db or api", id="another service"),
        pytest.param(Selector(label=("a",)), "its label is tier, not a", id="another label"),
        pytest.param(Selector(except_=(Selector(service=("w*",)),)), "taken away by except service w*", id="an exception"),
        pytest.param(Selector(), "", id="it is selected"),
    ],
)
def test_a_selector_says_why_not(selector, words):
    assert selector.explain(WEB) == words


def test_a_container_without_labels_has_none():
    assert Selector(label=("a",)).explain(Facts("shop", "web", "web")) == "its label is none, not a"


@pytest.mark.parametrize(
    "pattern, fits", [("80", True), ("79-81", True), ("81-99", False), ("http", False), ("", False)], ids=lambda each: str(each) or "empty"
)
def test_a_port_fits(pattern, fits):
    assert port_matches(pattern, frozenset({80})) is fits


def test_a_value_with_an_equals_sign_is_one_value():
    assert pair_matches("OPTS=a=b", {"OPTS": "a=b"})


names = st.lists(st.text("abc*?=-:/.@", min_size=1, max_size=6), max_size=2).map(tuple)
plain = st.builds(Selector, service=names, label=names, image=names, env=names, port=names, name=names)
selectors = st.builds(Selector, service=names, image=names, except_=st.lists(plain, max_size=2).map(tuple))


@given(selectors)
def test_a_selector_survives_json(selector):
    assert Selector.from_json(json.loads(json.dumps(selector.to_json()))) == selector


@given(selectors)
def test_to_match_is_to_have_nothing_against(selector):
    assert selector.matches(WEB) is (selector.explain(WEB) == "")
