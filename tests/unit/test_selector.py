"""Which app containers a selector takes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.core.selector import Facts, Selector, image_matches, pair_matches, port_matches, variables

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
        pytest.param("*", f"{HERE}:7", True, id="a star goes over slashes"),
        pytest.param("registry.internal:5000/*", f"{HERE}:7", True, id="all of a registry"),
        pytest.param("registry.internal:5000/?pi", f"{HERE}:7", False, id="a question mark is one letter"),
        pytest.param("team/*", f"{HERE}:7", True, id="all of a folder"),
        pytest.param(f"{HERE}:7@sha256:abc", f"{HERE}:7@sha256:abc", True, id="a registry with a port, a tag and a digest"),
        pytest.param(f"{HERE}@sha256:abc", f"{HERE}:7@sha256:abc", True, id="a registry with a port, by digest"),
        pytest.param("api@sha256:*", "api:7@sha256:abc", True, id="any digest"),
        pytest.param("nginx:*", "nginx@sha256:abc", False, id="a digest is no tag"),
        pytest.param("nginx:latest", "nginx@sha256:abc", False, id="by digest is not latest"),
        pytest.param("localhost/api", "localhost/api:1", True, id="localhost is a registry"),
        pytest.param("api", "localhost/api:1", True, id="without its registry"),
        pytest.param("index.docker.io/nginx", "index.docker.io/nginx", True, id="as it is written"),
        pytest.param("registry-1.docker.io/library/nginx", "registry-1.docker.io/library/nginx", True, id="as it is written, at the hub"),
        pytest.param("nginx", "index.docker.io/library/nginx:1", True, id="the old name of the hub"),
        pytest.param("library/nginx", "quay.io/library/nginx:1", True, id="a folder of that name elsewhere"),
        pytest.param("nginx", "quay.io/library/nginx:1", False, id="official is what the hub has"),
        pytest.param("docker.io/nginx:1", "nginx:1", True, id="the hub without the folder"),
        pytest.param("nginx", "", False, id="no image at all"),
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


@pytest.mark.parametrize(
    "pairs, env",
    [
        pytest.param(["A=1", "B=2"], {"A": "1", "B": "2"}, id="as they stand"),
        pytest.param(["A="], {"A": ""}, id="an empty value is there"),
        pytest.param(["A"], {}, id="without an equals sign there is none"),
        pytest.param(["A=1", "A"], {}, id="without an equals sign it is taken away"),
        pytest.param(["A", "A=1"], {"A": "1"}, id="taken away, and given again"),
        pytest.param(["A=1", "A=2"], {"A": "2"}, id="the last one counts"),
        pytest.param(["A=b=c"], {"A": "b=c"}, id="a value with an equals sign"),
        pytest.param(["A=x\ny"], {"A": "x\ny"}, id="a value of two lines"),
    ],
)
def test_env_is_what_the_engine_gives_the_container(pairs, env):
    assert variables(pairs) == env


ODD = {"LINES": "one\ntwo", "LONG": "x" * (1 << 20) + "y", "EMPTY": "", "HALF\udce9": "caf\udce9", "A\nB": "1"}


@pytest.mark.parametrize(
    "pattern, fits",
    [
        pytest.param("LINES=one*two", True, id="a star goes over the end of a line"),
        pytest.param("LINES=one", False, id="a value is all of its lines"),
        pytest.param("LINES=*[[]*", False, id="a bracket that is not there"),
        pytest.param("LONG=x*y", True, id="a value of a megabyte"),
        pytest.param("LONG=*x*x*z*", False, id="a value of a megabyte that does not fit"),
        pytest.param("EMPTY", True, id="an empty value is there"),
        pytest.param("EMPTY=", True, id="an empty value is empty"),
        pytest.param("EMPTY=?*", False, id="an empty value is no value"),
        pytest.param("ABSENT=", False, id="what is absent is not empty"),
        pytest.param("ABSENT=*", False, id="what is absent has no value"),
        pytest.param("HALF*", True, id="a name that is not UTF-8"),
        pytest.param("HALF?=caf?", True, id="a value that is not UTF-8"),
        pytest.param("A\nB=1", True, id="a name of two lines"),
        pytest.param("A", False, id="a name is all of its lines"),
        pytest.param("empty", False, id="upper and lower case differ"),
    ],
)
def test_an_odd_pair_fits(pattern, fits):
    assert pair_matches(pattern, ODD) is fits
