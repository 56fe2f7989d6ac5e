"""Why a sidekick is for a container, or is not: the same answer as the selector's, and the line to blame."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_selector import selectors
from worlds import read

from remora.core.explain import barred, beside, explain, reasons_of
from remora.core.selector import CONDITIONS
from remora.core.sidekick import App
from remora.core.world import MARK, ONE_OFF, SIGN, STACK, Container, EngineFacts, World, mark

WEB = App(
    "shop",
    "web",
    "1",
    "shop-web-1",
    image="docker.io/library/nginx:1.27",
    labels={"tier": "front", "empty": ""},
    env={"PORT": "80", "TOKEN": "hunter2", "EMPTY": ""},
    ports=frozenset({80, 443}),
)
BARE = App("", "lone", "1", "lone", image="quay.io/team/api@sha256:abc")


def explained(selector, app=WEB, attach="x"):
    """The verdict of one sidekick; `for:` stands on line 5."""
    found = read(
        f"environments:\n  prod: {{attach: [{attach}]}}\nsidekicks:\n  x:\n    for: {selector}\n    kind: container\n    image: busybox\n"
    )
    return explain(found, "prod", app)[0]


SPELLINGS = (
    "`docker.io/library/nginx`, `docker.io/library/nginx:1.27`, `docker.io/nginx`, `docker.io/nginx:1.27`, "
    "`index.docker.io/library/nginx`, `index.docker.io/library/nginx:1.27`, `library/nginx`, `library/nginx:1.27`, `nginx`, `nginx:1.27`"
)
FOREIGN = "`quay.io/team/api`, `quay.io/team/api@sha256:abc`, `team/api`, `team/api@sha256:abc`"


@pytest.mark.parametrize(
    "selector, app, words",
    [
        pytest.param("web", WEB, ["yes its service is `web`"], id="its service"),
        pytest.param('"w*"', WEB, ["yes its service `web` fits `w*`"], id="a glob"),
        pytest.param("[db, api]", WEB, ["no its service is `web`, not `db` or `api`"], id="another service"),
        pytest.param("{image: nginx}", WEB, ["yes its image `docker.io/library/nginx:1.27` fits `nginx`, written as `nginx`"], id="image"),
        pytest.param("{image: '*:1.27'}", WEB, ["yes its image `docker.io/library/nginx:1.27` fits `*:1.27`"], id="image as it is written"),
        pytest.param(
            "{image: postgres}",
            WEB,
            [f"no its image `docker.io/library/nginx:1.27` is not `postgres`, in no spelling: {SPELLINGS}"],
            id="another image",
        ),
        pytest.param(
            "{image: api}", BARE, [f"no its image `quay.io/team/api@sha256:abc` is not `api`, in no spelling: {FOREIGN}"], id="by digest"
        ),
        pytest.param("{env: PORT}", WEB, ["yes its env is `PORT`"], id="env that is there"),
        pytest.param("{env: {PORT: 80}}", WEB, ["yes its env `PORT` fits `PORT=80`"], id="env with its value"),
        pytest.param("{env: {PORT: 81}}", WEB, ["no its env `PORT` has another value, not `PORT=81`"], id="env with another value"),
        pytest.param("{env: 'T*=x'}", WEB, ["no its env `TOKEN` has another value, not `T*=x`"], id="a value is never repeated"),
        pytest.param("{env: EMPTY}", WEB, ["yes its env is `EMPTY`, and empty"], id="env that is empty"),
        pytest.param("{env: EMPTY=x}", WEB, ["no its env `EMPTY` is empty, not `EMPTY=x`"], id="env that is empty and should not be"),
        pytest.param("{env: HOST}", WEB, ["no it has no env `HOST`"], id="env that is absent"),
        pytest.param("{label: tier}", WEB, ["yes its label is `tier`"], id="a label"),
        pytest.param(
            "{label: tier=back}", WEB, ["no its label `tier` has another value, not `tier=back`"], id="a label with another value"
        ),
        pytest.param("{label: [a, b]}", BARE, ["no it has no label `a` or `b`"], id="no label"),
        pytest.param("{port: 443}", WEB, ["yes its port is `443`"], id="a port"),
        pytest.param("{port: 79-81}", WEB, ["yes its port `80` fits `79-81`"], id="a range"),
        pytest.param("{port: 90}", WEB, ["no its ports are `443`, `80`, not `90`"], id="another port"),
        pytest.param("{port: 90}", BARE, ["no it has no port, so not `90`"], id="no port"),
        pytest.param("{name: 'shop-*'}", WEB, ["yes its name `shop-web-1` fits `shop-*`"], id="a name"),
        pytest.param("{name: lonely}", BARE, ["no its name is `lone`, not `lonely`"], id="another name"),
        pytest.param("{}", WEB, ["yes it is for every app container"], id="no condition"),
        pytest.param(
            "{service: web, port: 90}", WEB, ["yes its service is `web`", "no its ports are `443`, `80`, not `90`"], id="one of two holds"
        ),
        pytest.param(
            "{service: '*', except: web}", WEB, ["yes its service `web` fits `*`", "yes except: its service is `web`"], id="taken away"
        ),
        pytest.param(
            "{service: '*', except: [{service: web, port: 90}]}",
            WEB,
            ["yes its service `web` fits `*`", "no except: its ports are `443`, `80`, not `90`"],
            id="not taken away",
        ),
        pytest.param(
            "{service: db, except: web}", WEB, ["no its service is `web`, not `db`"], id="what is not selected need not be taken away"
        ),
    ],
)
def test_every_condition_is_told(selector, app, words):
    found = explained(selector, app)
    assert [f"{'yes' if r.holds else 'no'} {'except: ' if r.excepts else ''}{r.words}" for r in found.reasons] == words
    assert {r.line for r in found.reasons} == {"remora.yaml:5"}
    assert "hunter2" not in str(found)


def test_each_condition_has_its_own_line():
    found = explained(
        "\n      service: '*'\n      env:\n        A: b\n        PORT: 80\n      except:\n        - db\n        - image: nginx"
    )
    assert [str(each) for each in found.reasons] == [
        "remora.yaml:6: its service `web` fits `*`",
        "remora.yaml:9: its env `PORT` fits `PORT=80`",
        "remora.yaml:11: except: its service is `web`, not `db`",
        "remora.yaml:12: except: its image `docker.io/library/nginx:1.27` fits `nginx`, written as `nginx`",
    ]


@pytest.mark.parametrize(
    "selector, attach, words",
    [
        pytest.param("web", "x", "for it", id="attached"),
        pytest.param("web", "", "for it, but not attached in this environment", id="not attached"),
        pytest.param("db", "x", "not for it", id="for others"),
        pytest.param("db", "", "not for it, and not attached in this environment", id="for others, and not attached"),
    ],
)
def test_a_verdict_in_words(selector, attach, words):
    assert (explained(selector, attach=attach).words, explained(selector, attach=attach).line) == (words, "remora.yaml:4")


EMPTY = read("environments: {prod: }")


@given(selectors, st.sampled_from([WEB, BARE]))
def test_an_explanation_and_the_selector_never_differ(selector, app):
    reasons = list(reasons_of(EMPTY, selector, ("sidekicks", "x", "for"), app.facts))
    assert len(reasons) == sum(bool(getattr(selector, condition)) for condition in CONDITIONS)
    taken = any(each.matches(app.facts) for each in selector.except_)
    assert (all(reason.holds for reason in reasons) and not taken) is selector.matches(app.facts)


def test_a_name_of_many_lines_is_told_on_one():
    found = explained("db", App("shop", "a\nb\udce9" + "c" * 200, "1", "x"))
    assert str(found.reasons[0]) == f"remora.yaml:5: its service is `a?b?{'c' * 76}…`, not `db`"


# ---- what is never selected ----

HERE = EngineFacts(id="E")
LABELS = {"remora.stack": "shop", "remora.sidekick": "net", "remora.parent": "1" * 64, "remora.ops": "/srv/remora.yaml"}


def made(id, name, labels):
    """A sidekick that remora made."""
    sign = mark("E", name, labels)
    return Container(id, name, labels={**labels, MARK: sign}, env={SIGN: sign})


OURS = made("2" * 64, "shop-web-1.net", LABELS)
WHOLE = {key: value for key, value in LABELS.items() if key != "remora.parent"}
SHARED = made("3" * 64, "shop.net", WHOLE)
HELPER = Container("4" * 64, "helper", joins=(OURS.id,))
PROXY = Container("5" * 64, "proxy", labels={STACK: "shop"}, joins=("9" * 64,))
WORLD = World(HERE, (OURS, SHARED, HELPER, PROXY))


@pytest.mark.parametrize(
    "container, stack, words",
    [
        pytest.param(Container("1", "web", labels={STACK: "shop"}), "shop", "", id="an app container"),
        pytest.param(Container("1", "web"), "*", "", id="any container of a whole host"),
        pytest.param(
            Container("1", "web", labels={STACK: "shop", ONE_OFF: "True"}),
            "shop",
            "it is a one-off that `docker compose run` started, and no app container: it gets no sidekick",
            id="a one-off",
        ),
        pytest.param(
            Container("1", "web", labels={STACK: "blog"}),
            "shop",
            "it is of the stack `blog`, and this ops file is for `shop`: it gets no sidekick of it",
            id="of another stack",
        ),
        pytest.param(
            Container("1", "web"), "shop", "it is of no stack, and this ops file is for `shop`: it gets no sidekick of it", id="of no stack"
        ),
        pytest.param(
            OURS,
            "shop",
            "it is the sidekick `net` of `shop`, of the ops file /srv/remora.yaml, and a sidekick is never selected",
            id="a sidekick",
        ),
        pytest.param(
            OURS,
            "*",
            "it is the sidekick `net` of `shop`, of the ops file /srv/remora.yaml, and a sidekick is never selected",
            id="on a whole host",
        ),
        pytest.param(
            Container("1", "copy", labels=OURS.labels),
            "shop",
            "it carries the labels of a sidekick, but remora did not make it: it is left alone, and never selected",
            id="copied labels",
        ),
        pytest.param(
            Container("1", "shop-web-1.net", labels=OURS.labels),
            "shop",
            "it carries the labels of a sidekick, but remora did not make it: it is left alone, and never selected",
            id="copied labels and name",
        ),
        pytest.param(
            Container("1", "web", labels={STACK: "shop", "remora.stack": "a", "remora.parent": "1"}),
            "shop",
            "it carries `remora.parent`, `remora.stack`, which only remora sets: it is left alone, and gets no sidekick",
            id="other labels of remora's",
        ),
        pytest.param(
            Container("1", "x", labels={"remora.helper": ""}),
            "*",
            "its label `remora.helper` says that a sidekick started it: it gets no sidekick",
            id="what says that it is a helper",
        ),
        pytest.param(
            HELPER,
            "*",
            "it shares the namespaces of the sidekick `shop-web-1.net`: it is a helper of it, and gets no sidekick",
            id="a helper",
        ),
        pytest.param(
            Container("1", "x", joins=(HELPER.id,)),
            "*",
            "it shares the namespaces of the sidekick `shop-web-1.net`: it is a helper of it, and gets no sidekick",
            id="a helper of a helper",
        ),
        pytest.param(
            Container("1", "x", joins=("8" * 64,)),
            "*",
            f"it shares namespaces of {'8' * 12}, which is gone, and gets no sidekick",
            id="what joined a container that is gone",
        ),
        pytest.param(PROXY, "shop", "", id="a service that joined another container"),
        pytest.param(Container("1", "x", joins=(PROXY.id,)), "*", "", id="what joined an app container"),
        pytest.param(Container("1", "x", joins=("1",)), "*", "", id="what joined itself"),
        pytest.param(
            Container("1", "x", labels={STACK: "shop", "remora.sidekick": "net"}),
            "shop",
            "it is the sidekick `net` out of an overlay that Compose started, and a sidekick is never selected",
            id="out of an overlay",
        ),
    ],
)
def test_what_is_never_selected(container, stack, words):
    world = World(HERE, (*WORLD.containers, container))
    assert barred(container, world, stack) == words
    assert (container in world.apps) == (not words or "this ops file is for" in words)


def test_what_is_attached_now_is_beside_it_or_for_the_whole_stack():
    assert beside(WORLD, "shop", "net", "1" * 64) == (OURS, SHARED)
    assert beside(WORLD, "shop", "net", "9" * 64) == (SHARED,)
    assert beside(WORLD, "shop", "other", "1" * 64) == ()
