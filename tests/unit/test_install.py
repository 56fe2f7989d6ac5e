"""What `remora install` prints: units that systemd takes and finds hardened, and a Compose file for a hardened container."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from remora.commands.install import mounted
from remora.core.service import Service, contained, guarding, quoted, watching

ROOT = Path(__file__).parents[2]
REMORA = str(Path(sys.executable).with_name("remora"))
OPS = """\
stack: shop
environments: {prod: {attach: [x]}}
sidekicks: {x: {kind: container, for: web, image: "a:1", secrets: {t: "env:TOKEN", u: "env:OTHER", v: "env:TOKEN"}}}
"""
WATCH = Service("remora-watch", ["/usr/bin/remora", "watch", "-e", "prod"], "docker", "/srv/shop", ("TOKEN",))
GUARD = Service("remora-guard", ["/usr/bin/remora", "guard", "--listen", "/run/remora-guard/engine.sock"], "docker")


def row(id, *values):
    return pytest.param(*values, id=id)


@pytest.fixture
def install(tmp_path):
    """The command beside an ops file; gives what it prints and what it says."""
    tmp_path.chmod(0o755)
    (tmp_path / "remora.yaml").write_text(OPS)

    def run(*words, code=0, host="unix:///nowhere/docker.sock"):
        words = [REMORA, "install", *words, *(["-H", host] if "--" not in words else [])]
        env = {**os.environ, "DOCKER_HOST": host, "REMORA_ENVIRONMENT": ""}
        done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)
        assert done.returncode == code, done.stderr
        return done.stdout or done.stderr

    return run


# ---- systemd ----

UNITS = [
    row("the watcher", watching(WATCH, False)),
    row("the watcher behind a guard", watching(WATCH, True)),
    row("the guard", guarding(GUARD, "remora")),
]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze here")
@pytest.mark.parametrize("unit", UNITS)
def test_systemd_finds_a_unit_hardened(tmp_path, unit):
    file = tmp_path / "remora-test.service"
    file.write_text(unit.replace("/usr/bin/remora", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", file], capture_output=True, text=True)
    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert exposure and float(exposure[1]) <= 3, done.stdout + done.stderr
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", file], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def lines(unit, key):
    return [line.partition("=")[2] for line in unit.splitlines() if line.startswith(f"{key}=")]


def test_the_watcher_is_nobody_but_for_the_sockets_group():
    unit = watching(WATCH, False)
    assert [lines(unit, key) for key in ("DynamicUser", "SupplementaryGroups", "CapabilityBoundingSet")] == [["yes"], ["docker"], [""]]
    assert (lines(unit, "ExecStart"), lines(unit, "WorkingDirectory")) == (["/usr/bin/remora watch -e prod"], ["/srv/shop"])
    assert (lines(unit, "After"), lines(watching(WATCH, True), "After")) == (["docker.service"], ["remora-guard.service"])
    assert "/etc/remora/remora-watch.env: TOKEN=…\n" in unit and lines(unit, "EnvironmentFile") == ["-/etc/remora/remora-watch.env"]


def test_the_guard_has_no_network_and_a_socket_for_its_group():
    unit = guarding(GUARD, "ops")
    assert [lines(unit, key) for key in ("Group", "SupplementaryGroups", "PrivateNetwork")] == [["ops"], ["docker"], ["yes"]]
    assert "groupadd --system ops " in unit and "useradd --system --gid ops " in unit


WORDS = [
    row("a plain one", "--ops=/srv/shop/remora.yaml", "--ops=/srv/shop/remora.yaml"),
    row("a blank", "/srv/my shop/x", '"/srv/my shop/x"'),
    row("a quote", 'a"b', '"a\\"b"'),
    row("a backslash", "a\\b", '"a\\\\b"'),
    row("a dollar", "$HOME", "$$HOME"),
    row("a percent sign", "50%n", "50%%n"),
    row("a semicolon", ";", '";"'),
    row("nothing", "", '""'),
]


@pytest.mark.parametrize("word, written", WORDS)
def test_a_word_is_what_systemd_will_read(word, written):
    assert quoted(word) == written


def test_what_is_printed_names_this_command_and_this_ops_file(install, tmp_path):
    unit = install("--systemd", "--", "--resync", "1m")
    assert lines(unit, "ExecStart") == [f"{REMORA} watch -e prod --ops {tmp_path}/remora.yaml -H unix:///nowhere/docker.sock --resync 1m"]
    assert lines(unit, "SupplementaryGroups") == ["docker"]
    unit = install("--systemd", "--guard", "--", "--allow-path", "/srv/logs:rw")
    assert lines(unit, "ExecStart") == [
        f"{REMORA} guard --listen /run/remora-guard/engine.sock -H unix:///nowhere/docker.sock --allow-path /srv/logs:rw"
    ]
    unit = install("--systemd", host="unix:///run/remora-guard/engine.sock")
    assert (lines(unit, "SupplementaryGroups"), lines(unit, "After")) == (["remora"], ["remora-guard.service"])


def test_a_file_is_named_for_its_service(install, tmp_path):
    install("--systemd", "-o", str(tmp_path / "remora-shop.service"))
    assert lines((tmp_path / "remora-shop.service").read_text(), "StateDirectory") == ["remora-shop"]


def test_what_the_services_user_may_not_read_is_said(install, tmp_path):
    (tmp_path / "remora.yaml").chmod(0o600)
    said = install("--container", "--group", "0", "-o", "watch.yaml")
    assert said == f"! {tmp_path}/remora.yaml: the service's user may not read it; `chmod o+rX {tmp_path}/remora.yaml` lets it\n"


# ---- a container ----


def test_the_container_may_do_next_to_nothing(install, tmp_path):
    found = YAML(typ="safe").load(install("--container", "--group", "1234"))
    watch = found["services"]["watch"]
    walls = {
        "user": "65532:65532",
        "group_add": ["1234"],
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "network_mode": "none",
        "pull_policy": "never",
    }
    assert {key: watch[key] for key in walls} == walls and watch["mem_limit"] and watch["pids_limit"]
    assert watch["command"][:5] == ["watch", "-e", "prod", "--ops", f"{tmp_path}/remora.yaml"]
    assert watch["environment"] == ["TOKEN", "OTHER"]
    assert [(each["source"], each.get("read_only")) for each in watch["volumes"]] == [
        (str(tmp_path), True),
        ("/nowhere", True),
        ("state", None),
    ]


def test_the_image_has_what_remora_needs():
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    packages = {f"python3-{re.split('[<>=]', each)[0].strip()}" for each in needed}
    assert packages <= set((ROOT / "src/remora/images/watch/Dockerfile").read_text().split())


def test_a_dollar_is_no_variable_of_composes():
    service = Service("remora-watch", ["watch", "-e", "$x"], "1", "/srv/$shop")
    watch = YAML(typ="safe").load(contained(service, "remora/watch:1", "/run/docker.sock"))["services"]["watch"]
    assert (watch["command"], watch["volumes"][0]["source"]) == (["watch", "-e", "$$x"], "/srv/$$shop")


def test_a_socket_that_is_made_anew_is_seen_where_its_folder_can_be_mounted(tmp_path):
    assert mounted(Path("/run/docker.sock")) == "/run/docker.sock"
    assert mounted(Path("/run/remora-nowhere/engine.sock")) == "/run/remora-nowhere"
    for mode, found in ((0o755, tmp_path), (0o700, tmp_path / "engine.sock")):
        tmp_path.chmod(mode)
        assert mounted(tmp_path / "engine.sock") == str(found)


# ---- what cannot be ----

NO_STACK = "remora.yaml: says no stack, and a watcher in a container has no compose file to read; add `stack: NAME`"
NO_GROUP = "install: this machine has no group `nobodys`, which may use the socket; name one with --group"
WRONG = [
    row("neither", [], 2, "install: say --systemd or --container"),
    row(
        "a guard in a container",
        ["--container", "--guard"],
        2,
        "install --guard: the guard runs beside the engine: `remora install --systemd --guard`",
    ),
    row("a group that there is not", ["--container", "--group", "nobodys"], 1, NO_GROUP),
    row("no such environment", ["--systemd", "-e", "prd"], 1, "remora.yaml:2: environments: no environment `prd`; did you mean `prod`?"),
    row(
        "no ops file", ["--systemd", "--ops", "x.yaml"], 1, "x.yaml: no ops file here; write one with `remora init`, or name it with --ops"
    ),
    row("nowhere to write", ["--systemd", "--guard", "-o", "no/x"], 1, "-o no/x: cannot be written: No such file or directory"),
]


@pytest.mark.parametrize("words, code, message", WRONG)
def test_what_cannot_be_installed(install, words, code, message):
    assert install(*words, code=code) == f"remora: {message}\n"


def test_a_container_has_no_compose_file(install, tmp_path):
    (tmp_path / "remora.yaml").write_text(OPS.removeprefix("stack: shop\n"))
    assert install("--container", code=1) == f"remora: {NO_STACK}\n"


def test_an_engine_far_away_has_no_socket_here(install):
    said = install("--systemd", code=1, host="tcp://127.0.0.1:2375")
    assert said == "remora: the engine at tcp://127.0.0.1:2375 has no socket on this machine; install remora beside the engine\n"
