"""Every way in which an ops file may be written, and the value that it gives."""

import pytest
from worlds import checked, read

from remora.core.ops import Differences, Environment, Limits
from remora.core.selector import Selector

DIGEST = "nginx@sha256:" + "a" * 64


def logs(text):
    """An ops file with one sidekick of kind `logs`."""
    return f"environments: {{prod: }}\nsidekicks:\n  x:\n    kind: logs\n    {text}\n"


def container(text):
    """An ops file with one sidekick of kind `container`."""
    return f"environments: {{prod: }}\nsidekicks:\n  x:\n    kind: container\n    for: web\n    image: busybox\n    {text}\n"


def service(text):
    """An ops file with one declared difference."""
    return f"environments: {{prod: {{services: {{web: {text}}}}}}}\n"


SELECTORS = [
    pytest.param("web", Selector(service=("web",)), id="a service"),
    pytest.param('"*"', Selector(service=("*",)), id="every service"),
    pytest.param("[web, db]", Selector(service=("web", "db")), id="a list of services"),
    pytest.param("{}", Selector(), id="no condition"),
    pytest.param("{service: w*}", Selector(service=("w*",)), id="a glob in a mapping"),
    pytest.param("{label: tier}", Selector(label=("tier",)), id="a label by its key"),
    pytest.param("{label: {tier: front, on: true, n: 1, any: }}", Selector(label=("tier=front", "on=true", "n=1", "any")), id="labels"),
    pytest.param("{env: [A, B=c]}", Selector(env=("A", "B=c")), id="env in a list"),
    pytest.param("{image: postgres}", Selector(image=("postgres",)), id="an image"),
    pytest.param("{port: 80}", Selector(port=("80",)), id="a port"),
    pytest.param('{port: [80, "8000-8100"]}', Selector(port=("80", "8000-8100")), id="ports and ranges"),
    pytest.param("{name: shop-*}", Selector(name=("shop-*",)), id="a container name"),
    pytest.param("{except: web}", Selector(except_=(Selector(service=("web",)),)), id="all but a service"),
    pytest.param(
        "{except: [web, {label: a}]}", Selector(except_=(Selector(service=("web",)), Selector(label=("a",)))), id="all but two sorts"
    ),
    pytest.param("{except: {port: 80}}", Selector(except_=(Selector(port=("80",)),)), id="all but a condition"),
]

DIFFERENCES = [
    pytest.param("{}", Differences(), id="none"),
    pytest.param("{environment: {A: b, N: 1, B: true, F: 1.5}}", {"A": "b", "N": "1", "B": "true", "F": "1.5"}, id="env values"),
    pytest.param("{environment: {PASSWORD: env:PW}}", {"PASSWORD": "env:PW"}, id="a secret by reference"),
    pytest.param("{environment: {PASSWORD_FILE: /run/secrets/pw}}", {"PASSWORD_FILE": "/run/secrets/pw"}, id="a secret's file"),
    pytest.param('{environment: {PASSWORD: ""}}', {"PASSWORD": ""}, id="an empty password"),
    pytest.param("{replicas: 0}", Differences(replicas=0), id="no replicas"),
    pytest.param("{ports: []}", Differences(ports=()), id="no ports"),
    pytest.param('{ports: ["127.0.0.1:80:80/tcp", ":80"]}', Differences(ports=("127.0.0.1:80:80/tcp", ":80")), id="ports"),
    pytest.param("{restart: no}", Differences(restart="no"), id="no restart"),
    pytest.param('{restart: "on-failure:3"}', Differences(restart="on-failure:3"), id="three restarts"),
    pytest.param(f'{{image: "{DIGEST}"}}', Differences(image=DIGEST), id="an image by digest"),
    pytest.param("{drop_mounts: /var/log/nginx}", Differences(drop_mounts=("/var/log/nginx",)), id="one mount less"),
    pytest.param("{limits: {memory: 64m, cpus: 1, pids: 9}}", Differences(limits=Limits(memory=64 << 20, cpus=1.0, pids=9)), id="limits"),
    pytest.param("{limits: {memory: 8000000}}", Differences(limits=Limits(memory=8_000_000)), id="bytes"),
]

SETTINGS = [
    pytest.param(logs("for: web\n    to: file:///l"), "to", ("file:///l",), id="a destination"),
    pytest.param(logs('for: web\n    to: [file:///l, "relp://h:99"]'), "to", ("file:///l", "relp://h:99"), id="two destinations"),
    pytest.param(logs("for: web\n    to: file:///l\n    from: /var/log"), "from_", ("/var/log",), id="a folder"),
    pytest.param(logs("for: web\n    to: file:///l\n    spool: 1g"), "spool", 1 << 30, id="a size"),
    pytest.param(logs("for: web\n    to: file:///l\n    tls: {ca: file:/ca.pem, key: env:KEY}"), "compress", True, id="certificates"),
    pytest.param(container("command: nc -l 'a b'"), "command", ("nc", "-l", "a b"), id="a command as text"),
    pytest.param(container("command: [sleep, 5]"), "command", ("sleep", "5"), id="a command as words"),
    pytest.param(container("entrypoint: []"), "entrypoint", (), id="no entrypoint"),
    pytest.param(container("env: {A: 1, B: true}"), "env", {"A": "1", "B": "true"}, id="env"),
    pytest.param(container("secrets: {pw: env:PW}"), "secrets", {"pw": "env:PW"}, id="a secret"),
    pytest.param(container('user: "1000:1000"'), "user", "1000:1000", id="a user by number"),
    pytest.param(container("user: same"), "user", "same", id="the app's user"),
    pytest.param(container("tmpfs: []"), "tmpfs", (), id="nothing to write to"),
    pytest.param(container("capabilities: CAP_NET_RAW"), "capabilities", ("NET_RAW",), id="one capability"),
    pytest.param(container("capabilities: [SYS_PTRACE, NET_RAW]"), "capabilities", ("NET_RAW", "SYS_PTRACE"), id="two capabilities"),
    pytest.param(container("network: backend"), "network", "backend", id="a network of its own"),
    pytest.param(container("limits: {cpus: 0.5}"), "limits", Limits(cpus=0.5), id="limits"),
]

FILE_WALLS = [
    pytest.param("/var/log", [("/var/log", None, None, "ro")], id="a path"),
    pytest.param("[/var/log, logs]", [("/var/log", None, None, "ro"), (None, "logs", None, "ro")], id="a path and a volume"),
    pytest.param("{volume: logs, at: /in, mode: rw}", [(None, "logs", "/in", "rw")], id="a mapping"),
    pytest.param("[{path: /a}]", [("/a", None, None, "ro")], id="a list of mappings"),
]

FILES = [
    pytest.param("environments: {prod: }\n", id="the least there is"),
    pytest.param("stack: shop\nenvironments: {prod: {}}\nsidekicks: {}\n", id="a stack by name"),
    pytest.param("x-team: [a, b]\nenvironments: {prod: {attach: []}}\n", id="something of one's own"),
    pytest.param("environments: {prod: {project: shop-prod}}\n", id="a project name"),
    pytest.param("environments:\n  dev: &none {attach: []}\n  prod: *none\n", id="an alias"),
]

WHOLE = [
    *FILES,
    *(pytest.param(logs(f"to: file:///l\n    for: {row.values[0]}"), id=f"for {row.id}") for row in SELECTORS),
    *(pytest.param(service(row.values[0]), id=f"differences: {row.id}") for row in DIFFERENCES),
    *(pytest.param(row.values[0], id=f"settings: {row.id}") for row in SETTINGS),
    *(pytest.param(container(f"walls: {{files: {row.values[0]}}}"), id=f"files: {row.id}") for row in FILE_WALLS),
]


@pytest.mark.parametrize("text", FILES)
def test_a_good_file_is_taken(text):
    assert set(checked(text).environments) <= {"dev", "prod"}


@pytest.mark.parametrize("text, selector", SELECTORS)
def test_a_selector_is_read(text, selector):
    assert checked(logs(f"to: file:///l\n    for: {text}")).sidekicks["x"].for_.selector() == selector


@pytest.mark.parametrize("text, expected", DIFFERENCES)
def test_differences_are_read(text, expected):
    found = checked(service(text)).environments["prod"].services["web"]
    assert (found.environment if isinstance(expected, dict) else found) == expected


@pytest.mark.parametrize("text, setting, expected", SETTINGS)
def test_a_setting_is_read(text, setting, expected):
    assert getattr(checked(text).sidekicks["x"], setting) == expected


@pytest.mark.parametrize("text, expected", FILE_WALLS)
def test_a_wall_of_files_is_read(text, expected):
    walls = read(container(f"walls: {{files: {text}}}")).sidekicks["x"].walls.files
    assert [(wall.path, wall.volume, wall.at, wall.mode) for wall in walls] == expected


def test_an_environment_may_be_empty():
    assert checked("environments: {prod: }").environments["prod"] == Environment()


def test_an_image_by_digest_may_be_selected():
    text = service(f'{{image: "{DIGEST}"}}') + f'sidekicks: {{x: {{kind: logs, for: {{image: "{DIGEST}"}}, to: file:///l}}}}\n'
    assert checked(text).sidekicks["x"].for_.image == (DIGEST,)
