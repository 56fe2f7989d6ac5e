"""What the tests of the guard ask it, and an engine with a little of everything to be asked about."""

from typing import ClassVar

import pytest

from remora.core.admission import Network, Policy, Seen, Volume
from remora.core.body import Refused
from remora.core.guard import appetite, judge
from remora.core.world import MARK, mark
from remora.engines import recipes

ENGINE = "ENGINE:ID"
ROOT = "/var/lib/docker/containers"
NOTHING = Policy()  # allowed beyond what every sidekick may


def row(id, *values):
    return pytest.param(*values, id=id)


def missing(key):
    return f"{key}: is missing, and remora always sets it"


def unknown(parameter):
    return f"the parameter `{parameter}` is none that remora gives"


def labelled(name, **more):
    """The labels that remora gives a sidekick of that name."""
    found = {"remora.stack": "shop", "remora.sidekick": "probe", "remora.kind": "container", **more}
    return {**found, MARK: mark(ENGINE, name, found)}


OWN = labelled("shop-web-1.probe")
MODES = {"NetworkMode": "shop_default", "PidMode": "", "IpcMode": "private"}


class Facts:
    """An engine with a little of everything."""

    all = (
        Seen("a" * 64, "shop-web-1", {"com.docker.compose.project": "shop"}, "running", MODES),
        Seen("b" * 64, "shop-web-1.probe", OWN, "running", {"NetworkMode": f"container:{'a' * 64}"}, OWN[MARK]),
        Seen("c" * 64, "forged", OWN, "running", MODES, OWN[MARK]),
        Seen("7" * 64, "shop-web-2.probe", labelled("shop-web-2.probe"), "running", MODES),
        Seen("d" * 64, "copied", {"remora.sidekick": "probe", "remora.stack": "shop"}, "running", MODES),
        Seen("e" * 64, "carrier", {"remora.sidekick": "probe", "remora.carrier": "remora_x_secrets"}, "created", {"NetworkMode": "none"}),
        Seen("f" * 64, "carrier-that-runs", {"remora.sidekick": "probe", "remora.carrier": "remora_x_secrets"}, "running", MODES),
        Seen("1" * 64, "hosted", {}, "running", {"NetworkMode": "host", "PidMode": "host", "IpcMode": "host"}),
        Seen("2" * 64, "beside-hosted", {}, "running", dict.fromkeys(MODES, f"container:{'1' * 64}")),
        Seen("3" * 64, "hosted-by-id", {}, "running", {"NetworkMode": "9" * 64}),
        Seen("4" * 64, "round", {}, "running", {"PidMode": "container:round"}),
        Seen("5" * 64, "beside-nobody", {}, "running", {"PidMode": "container:gone"}),
        Seen("6" * 64, "beside-web", {}, "running", dict.fromkeys(MODES, "container:shop-web-1")),
    )
    volumes: ClassVar = {
        "shop_data": Volume(),
        "shop_nfs": Volume(plain=False),
        "remora_shop_spool": Volume({"remora.stack": "shop"}),
        "remora_shop_disk": Volume({"remora.stack": "shop"}, plain=False),
        "remora_x_secrets": Volume({"remora.stack": "shop"}),
        "remora_squatted": Volume(),
        "labelled": Volume({"remora.stack": "shop"}),
    }
    networks = (
        Network("7" * 64, "shop_default"),
        Network("8" * 64, "bridge"),
        Network("9" * 64, "host", "host"),
        Network("0" * 64, "beside_host", "host"),
    )

    def engine(self):
        return ENGINE

    def containers(self):
        return ROOT

    def container(self, name):
        found = [each for each in self.all if name == each.name or each.id.startswith(name)]
        return found[0] if found else None

    def volume(self, name):
        return self.volumes.get(name)

    def network(self, name):
        found = [each for each in self.networks if name == each.name or each.id.startswith(name)]
        return found[0] if found else None

    def recipe(self, image, base):
        return recipes.context("logs").read() if image == recipes.tagged("logs", base) else None


def let_through(method, target, body=b"", policy=NOTHING):
    """The call that is handed on, as one line; the body must be within what the call may have."""
    assert len(body) <= appetite(method, target) or not appetite(method, target)
    call = judge(method, target, body, policy, Facts())
    return f"{call.method} {call.target}"


def refused(method, target, body=b"", policy=NOTHING):
    with pytest.raises(Refused) as error:
        judge(method, target, body, policy, Facts())
    return str(error.value)


WEB, PROBE, CARRIER = "a" * 64, "b" * 64, "e" * 64
