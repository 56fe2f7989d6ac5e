"""Is the app container of one environment the one of the other?"""

from dataclasses import replace

import pytest
from worlds import checked, compose

from remora.core.parity import Image, Side, allowed, compare, from_containers, from_files, hidden, masked

NGINX = Image(("sha256:1",), {"Cmd": ["nginx"], "Env": ["PATH=/bin"], "WorkingDir": "/srv", "User": "33"})
FILES = {"image": "nginx"}
LINE = {"web": "remora.yaml:5"}


def facts(entry, image=NGINX):
    return from_files(compose(web={**FILES, **entry}, volumes={"data": {"name": "shop_data"}}), {"nginx": image})


def side(name, entry=None, image=NGINX, actual=None):
    return Side(name, facts(entry or {}, image), actual or {})


def rows(a, b, text="{}"):
    """Fact, both values, and whether it is declared, for each difference."""
    declared = checked(f"environments: {{prod: {{services: {{web: {text}}}}}}}", compose(web=FILES)).environments["prod"].services
    return [(r.fact, r.a, r.b, r.declared) for r in compare(a, b, allowed(declared, LINE))]


def inspected(**more):
    """An inspected container that is just what FILES ask for."""
    config = {"Cmd": ["nginx"], "Env": ["PATH=/bin"], "WorkingDir": "/srv", "User": "33", **more.pop("Config", {})}
    host = {"NetworkMode": "shop_default", "RestartPolicy": {"Name": "no"}, **more.pop("HostConfig", {})}
    return {"Config": config, "HostConfig": host, "NetworkSettings": {"Networks": {}}, "Mounts": [], **more}


def running(*raw):
    return from_containers(compose(web=FILES), {"web": [(each, NGINX) for each in raw]})


@pytest.mark.parametrize(
    "entry, differences, expected",
    [
        pytest.param({}, "{}", [], id="no difference"),
        pytest.param({"command": ["sh"]}, "{}", [("command", "nginx", "sh", False)], id="another command"),
        pytest.param({"user": "0"}, "{}", [("user", "33", "0", False)], id="another user"),
        pytest.param({"restart": "always"}, "{}", [("restart", "no", "always", False)], id="not declared"),
        pytest.param({"restart": "always"}, "{restart: always}", [("restart", "no", "always", True)], id="declared"),
        pytest.param({"scale": 3}, "{replicas: 3}", [("replicas", "1", "3", True)], id="replicas"),
        pytest.param({"mem_limit": "64m"}, "{limits: {memory: 64m}}", [("memory", "no limit", "64 MiB", True)], id="memory"),
        pytest.param({"environment": {"A": "b"}}, "{environment: {A: b}}", [("env A", "-", "b", True)], id="an env value"),
        pytest.param(
            {"environment": {"A": "b"}}, "{environment: {B: b}}", [("env A", "-", "b", False)], id="another env value than declared"
        ),
        pytest.param({"environment": {"PW_TOKEN": "x"}}, "{}", [("env PW_TOKEN", "-", "(hidden)", False)], id="a secret is not shown"),
        pytest.param(
            {"environment": {"DB": "pg://u:x@db"}}, "{}", [("env DB", "-", "(hidden)", False)], id="a URL with a password is not shown"
        ),
        pytest.param({"cap_add": ["CAP_NET_RAW"]}, "{}", [("capabilities", "none", "+NET_RAW", False)], id="a capability"),
        pytest.param({"privileged": True}, "{}", [("capabilities", "none", "privileged", False)], id="privileged"),
        pytest.param({"network_mode": "host"}, "{}", [("networks", "none", "host", False)], id="another network"),
        pytest.param(
            {"volumes": [{"type": "volume", "source": "data", "target": "/d"}]},
            "{}",
            [("mount /d", "-", "volume data rw", False)],
            id="a mount more, by its name in the file",
        ),
        pytest.param(
            {"ports": [{"target": 80, "published": "8080", "host_ip": "127.0.0.1"}]},
            '{ports: ["127.0.0.1:8080:80"]}',
            [("ports", "none", "127.0.0.1:8080→80/tcp", True)],
            id="a published port",
        ),
        pytest.param({"healthcheck": {"disable": True}}, "{}", [("health check", "none", "NONE", False)], id="no health check"),
    ],
)
def test_two_environments_differ(entry, differences, expected):
    assert rows(side("dev"), side("prod", entry), differences) == expected


def test_another_content_under_one_name_is_a_difference():
    assert [row[0] for row in rows(side("dev"), side("prod", image=Image(("sha256:2",), NGINX.config)))] == ["image"]


def test_a_service_that_only_one_side_has():
    assert rows(side("dev"), Side("prod", {})) == [("service", "there", "missing", False)]


def test_a_running_container_that_is_as_its_files_say():
    assert rows(side("dev"), side("prod", actual=running(inspected()))) == []


@pytest.mark.parametrize(
    "raw, fact, value",
    [
        pytest.param(inspected(Config={"User": "0"}), "user", "0", id="another user"),
        pytest.param(inspected(Config={"Env": []}), "env PATH", "-", id="an env value less"),
        pytest.param(inspected(HostConfig={"Memory": 1 << 30}), "memory", "1.0 GiB", id="a cap"),
        pytest.param(inspected(HostConfig={"NanoCpus": 500_000_000}), "cpus", "0.5", id="half a processor"),
        pytest.param(inspected(HostConfig={"NetworkMode": "host"}), "networks", "host", id="the host's network"),
        pytest.param(inspected(HostConfig={"Tmpfs": {"/t": ""}}), "mount /t", "tmpfs rw", id="a tmpfs"),
        pytest.param(
            inspected(HostConfig={"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}}), "restart", "on-failure:3", id="retries"
        ),
        pytest.param(
            inspected(Mounts=[{"Type": "volume", "Name": "a" * 64, "Destination": "/d"}]), "mount /d", "volume anonymous rw", id="a volume"
        ),
    ],
)
def test_a_container_that_strayed_is_never_declared(raw, fact, value):
    found = compare(side("dev"), side("prod", actual=running(raw)), {"web": {fact: "remora.yaml:5"}})
    assert [(row.fact, row.b, row.declared) for row in found] == [(fact, value, False)]
    assert found[0].why.startswith("prod runs otherwise than its files say (")


def test_replicas_that_differ_among_themselves_are_shown():
    found = running(inspected(), inspected(Config={"User": "0"}))["web"]
    assert (found["user"], found["replicas"]) == ("0 | 33", "2")


def test_what_the_image_would_tell_is_unknown_without_it():
    found = facts({}, Image())["web"]
    assert {found[fact] for fact in ("image", "command", "user", "working_dir")} == {"unknown: the image is not on this engine"}


def test_a_container_cannot_stray_from_what_is_unknown():
    unknown = side("prod", image=Image(), actual=running(inspected()))
    assert [row.fact for row in compare(unknown, unknown, {}) if row.fact in ("image", "command", "user")] == []


def test_a_secret_that_was_kept_hidden_is_not_compared():
    kept = Side("dev", {"web": {"env TOKEN": "(hidden)"}})
    assert compare(kept, Side("prod", {"web": {"env TOKEN": "x"}}), {}) == ()


@pytest.mark.parametrize(
    "fact, value, shown",
    [
        pytest.param("env TOKEN", "x", "(hidden)", id="a secret"),
        pytest.param("env TOKEN", "-", "-", id="a secret that is not set"),
        pytest.param("command", "secret", "secret", id="what is no env value"),
    ],
)
def test_secrets_are_masked(fact, value, shown):
    assert masked(fact, value) == shown


def test_a_value_by_reference_is_a_secret_whatever_it_is_called():
    entry = {"environment": {"DSN": "hunter2", "B": "c"}}
    wanted = checked("environments: {prod: {services: {web: {environment: {DSN: env:DSN, B: c}}}}}", compose(web=FILES))
    differences = wanted.environments["prod"].services
    prod = replace(side("prod", entry), hidden=hidden(differences))
    found = compare(side("dev"), prod, allowed(differences, LINE))
    assert [(r.fact, r.b, r.declared) for r in found] == [("env B", "c", True), ("env DSN", "(hidden)", True)]
