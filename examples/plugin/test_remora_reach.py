"""The kind `reach` keeps the contract of a kind, and does what it says."""

import pytest
import remora_reach

from remora.core.kind import Unwoven
from remora.core.sidekick import App, Context
from remora.testing import contract

APP = App("shop", "web", "1", "shop-web-1", ports=frozenset({443, 80}))
CONTEXT = Context("shop", "prod", "/srv/remora.yaml")


def settings(**given):
    return remora_reach.Settings.model_validate({"kind": "reach", "for": "web", **given})


@pytest.mark.parametrize("law", contract(remora_reach, {}, {"port": 8080, "every": 1}), ids=str)
def test_it_keeps_the_contract(law):
    law()


@pytest.mark.parametrize("given, port", [({}, "80"), ({"port": 8080}, "8080")], ids=["the lowest exposed", "as asked"])
def test_it_knocks_at_one_port(given, port):
    (spec,) = remora_reach.specs("x", settings(**given), [APP], CONTEXT)
    assert (spec.command[-2], spec.walls) == (port, ("network",))


def test_there_must_be_a_port():
    with pytest.raises(Unwoven, match="shop-web-1 exposes no port; name one with `port`"):
        list(remora_reach.specs("x", settings(), [App("shop", "web", "1", "shop-web-1")], CONTEXT))
