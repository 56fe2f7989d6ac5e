"""Declared differences become one Compose override, and nothing else does."""

import pytest
from worlds import checked, compose

from remora.core.override import render, table

SRC = {"type": "bind", "source": "/home/$me", "target": "/src"}
LOGS = {"type": "bind", "source": "/var/$x", "target": "/logs"}
DIGEST = "nginx@sha256:" + "a" * 64


def differences(text, stack):
    return checked(f"environments: {{prod: {{services: {{web: {text}}}}}}}", stack).environments["prod"].services


def lines(text, entry):
    """What an override says of a service."""
    stack = compose(web=entry)
    return [line.strip() for line in render(stack, differences(text, stack), "prod in remora.yaml").splitlines()[3:]]


@pytest.mark.parametrize(
    "text, entry, expected",
    [
        pytest.param("{environment: {B: 2, A: a$b}}", {}, ['environment: {"A": "a$$b", "B": "2"}'], id="env values as they stand"),
        pytest.param(
            "{environment: {PASSWORD: env:PW}}", {}, ['environment: {"PASSWORD": "${PW:?the variable PW is not set}"}'], id="a secret"
        ),
        pytest.param('{ports: ["80:80"]}', {}, ['ports: !override ["80:80"]'], id="ports instead of the file's"),
        pytest.param("{ports: []}", {}, ["ports: !override []"], id="no ports"),
        pytest.param("{restart: always}", {}, ['restart: "always"'], id="a restart policy"),
        pytest.param(f'{{image: "{DIGEST}"}}', {}, [f'image: "{DIGEST}"'], id="an image"),
        pytest.param(f'{{image: "{DIGEST}"}}', {"build": {}}, [f'image: "{DIGEST}"'], id="an image, with nothing to build"),
        pytest.param(
            f'{{image: "{DIGEST}"}}', {"build": {"context": "."}}, [f'image: "{DIGEST}"', "build: !reset null"], id="not built here"
        ),
        pytest.param(
            "{drop_mounts: /src}",
            {"volumes": [SRC, LOGS]},
            ['volumes: !override [{"type": "bind", "source": "/var/$$x", "target": "/logs"}]'],
            id="a mount less",
        ),
        pytest.param("{drop_mounts: /a}", {"tmpfs": ["/a:size=1m", "/b"]}, ['tmpfs: !override ["/b"]'], id="a tmpfs less"),
        pytest.param("{replicas: 3}", {}, ['deploy: {"replicas": 3}'], id="replicas"),
        pytest.param("{replicas: 3}", {"scale": 1}, ["scale: 3"], id="replicas where the file says scale"),
        pytest.param(
            "{limits: {memory: 64m, cpus: 1, pids: 9}}",
            {},
            ['deploy: {"resources": {"limits": {"memory": "67108864", "cpus": "1.0", "pids": 9}}}'],
            id="limits",
        ),
        pytest.param(
            "{limits: {memory: 64m}}", {"mem_limit": "1g"}, ["mem_limit: 67108864"], id="a limit where the file has the short form"
        ),
        pytest.param("{}", {}, [], id="nothing"),
    ],
)
def test_a_difference_becomes_lines(text, entry, expected):
    assert lines(text, entry) == expected


def test_the_override_says_whose_it_is():
    stack = compose(web={})
    text = render(stack, differences("{replicas: 2}", stack), "environment `prod` in remora.yaml")
    assert text.splitlines()[0] == "# Declared differences of environment `prod` in remora.yaml. Made by remora; a change here is lost."


def test_the_table_names_references_and_no_secret():
    stack = compose(web={"volumes": [SRC]})
    found = table(differences("{environment: {PASSWORD: env:PW}, replicas: 2, limits: {memory: 1g}, drop_mounts: /src, ports: []}", stack))
    assert found == [
        ("web", "environment.PASSWORD", "env:PW"),
        ("web", "replicas", "2"),
        ("web", "ports", "none"),
        ("web", "limits.memory", "1.0 GiB"),
        ("web", "drop_mounts", "/src"),
    ]
