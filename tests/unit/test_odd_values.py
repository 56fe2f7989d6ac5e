"""Names, env and labels that nobody would write by hand: the core and the log reader choose alike, and neither stumbles."""

import json

import pytest
from worlds import read, woven

from remora.core.plan import plan
from remora.core.selector import joined
from remora.core.sidekick import observed
from remora.core.world import NUMBER, ONE_OFF, SERVICE, STACK, World
from remora.engines.fake import FakeEngine
from remora.engines.inspection import container
from remora.images.logs.choice import Choice
from remora.images.logs.engine_files import described

LONG = "x" * (1 << 20)
HALF = "caf\udce9"  # what is left of a letter that is not UTF-8, or of half a surrogate pair in JSON


def raw(service="web", labels=None, env=()):
    """A container as the engine inspects it."""
    return {
        "Id": "1" * 64,
        "Name": "/shop-web-1",
        "Image": "sha256:0",
        "Config": {"Image": "nginx:1", "Labels": {STACK: "shop", SERVICE: service, NUMBER: "1", **(labels or {})}, "Env": list(env)},
        "State": {"Status": "running", "StartedAt": "", "FinishedAt": "", "ExitCode": 0, "OOMKilled": False},
        "HostConfig": {"LogConfig": {"Type": "json-file"}},
        "NetworkSettings": {},
    }


def chosen_by_the_core(given, select):
    found = read(f"environments: {{prod: {{attach: [x]}}}}\nsidekicks: {{x: {{kind: container, image: busybox, for: {select}}}}}")
    specs = woven(found, [observed(container(given))]).specs
    assert plan(specs, World(FakeEngine().facts, (container(given),)), "shop", found.owner) or not specs
    assert all(spec.digest and json.dumps(spec.labels) for spec in specs)
    return bool(specs)


def chosen_by_the_reader(given, select):
    found = read(f"environments: {{prod: {{attach: [x]}}}}\nsidekicks: {{x: {{kind: logs, for: {select}, to: 'file:///x'}}}}")
    settings = {"stack": "shop", "selectors": [found.sidekicks["x"].for_.selector().to_json()]}
    choice = Choice(json.loads(json.dumps({"select": settings, "environment": "prod"})))
    seen = choice.chosen({**given, "Image": "nginx:1", "Labels": given["Config"]["Labels"], "Env": given["Config"]["Env"], "Ports": []})
    assert seen is None or json.loads(seen.origin.prefix.rstrip(b",") + b"}")["stack"] == "shop"
    return seen is not None


@pytest.mark.parametrize(
    "given, select, fits",
    [
        pytest.param(raw(env=["A=one\ntwo"]), "{env: 'A=one*two'}", True, id="env of two lines"),
        pytest.param(raw(env=["A=one\ntwo"]), "{env: A=one}", False, id="the first line of two"),
        pytest.param(raw(env=[f"A={LONG}y"]), "{env: 'A=*y'}", True, id="env of a megabyte"),
        pytest.param(raw(env=[f"A={LONG}"]), "{env: 'A=*y'}", False, id="env of a megabyte that does not fit"),
        pytest.param(raw(env=[f"A={HALF}"]), "{env: 'A=caf?'}", True, id="env that is not UTF-8"),
        pytest.param(raw(env=["A="]), "{env: A}", True, id="env that is empty"),
        pytest.param(raw(env=["A"]), "{env: A}", False, id="env without a value is absent"),
        pytest.param(raw(env=["A=1", "A"]), "{env: A}", False, id="env that is taken away"),
        pytest.param(raw(labels={"a\nb": "c"}), "{label: 'a?b=c'}", True, id="a label whose name has two lines"),
        pytest.param(raw(labels={"a": LONG}), "{label: a}", True, id="a label of a megabyte"),
        pytest.param(raw(labels={HALF: HALF}), "{label: 'caf?=caf?'}", True, id="a label that is not UTF-8"),
        pytest.param(raw(service="a\nb"), "{service: 'a?b'}", True, id="a service whose name has two lines"),
        pytest.param(raw(service=HALF), "{service: 'caf*'}", True, id="a service whose name is not UTF-8"),
        pytest.param(raw(service=LONG), "{service: 'x*'}", True, id="a service whose name is a megabyte"),
        pytest.param(raw(labels={ONE_OFF: "True"}), "{label: '*'}", False, id="a one-off"),
        pytest.param(raw(labels={"remora.sidekick": ""}), "{label: '*'}", False, id="a sidekick without a name"),
    ],
)
def test_the_core_and_the_reader_choose_alike(given, select, fits):
    barred = container(given) not in World(containers=(container(given),)).apps
    assert (chosen_by_the_core(given, select) and not barred, chosen_by_the_reader(given, select)) == (fits, fits)


def test_a_container_whose_file_is_not_utf_8_is_read_all_the_same(tmp_path):
    config = {"Name": "/shop-web-1", "Config": {"Image": "nginx", "Labels": {}, "Env": ["A=caf?"]}}
    (tmp_path / "config.v2.json").write_bytes(json.dumps(config).encode().replace(b"caf?", b"caf\xe9"))
    (tmp_path / "hostconfig.json").write_text("{}")
    assert described(str(tmp_path), "1" * 64)["Env"] == ["A=caf\ufffd"]


SIDEKICK = {**raw(labels={"remora.sidekick": "net"}), "Id": "2" * 64}
BESIDE = {**raw(), "Id": "5" * 64, "HostConfig": {"LogConfig": {"Type": "json-file"}, "NetworkMode": f"container:{'1' * 64}"}}
HELPER = {**raw(), "Id": "3" * 64, "HostConfig": {"LogConfig": {"Type": "json-file"}, "PidMode": f"container:{'2' * 64}"}}
SECOND = {**raw(), "Id": "4" * 64, "HostConfig": {"LogConfig": {"Type": "json-file"}, "IpcMode": f"container:{'3' * 64}"}}
ORPHAN = {**raw(), "Id": "6" * 64, "HostConfig": {"LogConfig": {"Type": "json-file"}, "NetworkMode": f"container:{'9' * 64}"}}
LONE = {**ORPHAN, "Config": {**ORPHAN["Config"], "Labels": {}}}
ALL = {each["Id"]: each for each in (raw(), SIDEKICK, BESIDE, HELPER, SECOND, ORPHAN)}


@pytest.mark.parametrize(
    "given, fits",
    [
        pytest.param(BESIDE, True, id="beside an app container"),
        pytest.param(HELPER, False, id="a helper of a sidekick"),
        pytest.param(SECOND, False, id="a helper of a helper"),
        pytest.param(ORPHAN, True, id="Compose's own, beside one that is gone"),
        pytest.param(LONE, False, id="another's, beside one that is gone"),
        pytest.param(raw(labels={"remora.parent": "x"}), False, id="with a label of remora's own"),
        pytest.param(raw(labels={"remora-like": "x"}), True, id="with a label that only begins alike"),
    ],
)
def test_the_core_and_the_reader_know_a_helper_alike(given, fits):
    world = World(containers=tuple(container(each) for each in {**ALL, given["Id"]: given}.values()))
    settings = {"select": {"stack": "*", "selectors": [{}]}, "environment": "prod"}
    described = {id: {**each, "Labels": each["Config"]["Labels"], "Joins": joined(each["HostConfig"])} for id, each in ALL.items()}
    choice = Choice(settings, described.get)
    asked = {**given, "Image": "nginx", "Labels": given["Config"]["Labels"], "Env": [], "Ports": [], "Joins": joined(given["HostConfig"])}
    assert (container(given) in world.apps, choice.chosen(asked) is not None) == (fits, fits)
