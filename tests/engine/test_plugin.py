"""The example plug-in, installed beside remora in an environment of its own, on a real engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
from stackkit import IDLE, Stack, until

pytestmark = pytest.mark.engine

ROOT = Path(__file__).parents[2]
OPS = """
    environments: {prod: {attach: [knock]}}
    sidekicks:
      knock: {kind: reach, for: web, port: 8080, every: 1}
"""


@pytest.fixture(scope="module")
def binaries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with remora and the plug-in, as `pip install` makes them; what both need is borrowed from ours."""
    folder = tmp_path_factory.mktemp("fresh")
    run(sys.executable, "-m", "venv", str(folder))
    run(str(folder / "bin/pip"), "install", "-q", "--disable-pip-version-check", "--no-deps", str(ROOT), str(ROOT / "examples/plugin"))
    packages = sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})
    Path(packages, "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    return folder / "bin"


def run(*words: str) -> str:
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with Stack(tmp_path) as made:
        yield made


def test_the_plugin_keeps_the_contract_where_it_was_installed(binaries: Path, tmp_path: Path) -> None:
    test = tmp_path / "test_remora_reach.py"
    test.write_text((ROOT / "examples/plugin/test_remora_reach.py").read_text())
    assert " passed" in run(str(binaries / "python"), "-m", "pytest", "-q", "-p", "no:cacheprovider", str(test))


def test_a_plugin_that_was_installed_is_a_kind_like_any(stack: Stack, binaries: Path) -> None:
    def remora(*words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        return stack.command([str(binaries / "remora"), *words], code, {})

    stack.developers(f"services: {{web: {{{IDLE}}}}}")
    stack.ops(OPS)
    assert "reach\tSays when a port of the app takes no connections.\tremora-reach 1.0\n" in remora("kinds").stdout
    assert {"port", "every"} < {row["setting"] for row in json.loads(remora("kinds", "reach", "--json").stdout)}
    schema = json.loads(remora("schema").stdout)
    assert "reach" in schema["properties"]["sidekicks"]["additionalProperties"]["properties"]["kind"]["enum"]
    assert f"+ attach {stack.name}-web-1.knock (reach; walls: network) because of remora.yaml:4" in remora("plan").stdout
    remora("up")
    assert stack.paired(1, knock="network"), stack.why()
    until(lambda: "port 8080 takes no connections" in remora("logs", "knock").stdout, stack.why)
    before = stack.sidekicks()[0]["Id"]
    break_it(binaries)
    broken = "remora.yaml:4: sidekicks.knock.kind: the plug-in `reach` of remora-reach 1.0 raised OSError (no disk) when it was loaded"
    for verb in ("plan", "up", "attach"):
        assert remora(verb, code=1).stderr == f"remora: {broken}\n"
    assert remora("watch", "--once").stderr == f"! {broken}\n"
    assert stack.sidekicks()[0]["Id"] == before  # nobody knows what it wants, so it stays


def break_it(binaries: Path) -> None:
    """The plug-in raises as it is imported from now on."""
    (module,) = binaries.parent.glob("lib/*/site-packages/remora_reach.py")
    module.write_text("raise OSError('no disk')\n")
