"""Docker Compose: the reference reader of compose files, and what runs the app containers."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from remora.engines.host import Host
from remora.errors import RemoraError

OLDEST = (2, 24)  # the first that knows !override
DEFAULTS = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
PLUGINS = (
    "~/.docker/cli-plugins",
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
)


@dataclass(frozen=True)
class Compose:
    """Which compose files, as Compose's own options have them."""

    files: tuple[str, ...] = ()
    project_name: str | None = None
    profiles: tuple[str, ...] = ()
    env_files: tuple[str, ...] = ()
    project_directory: str | None = None
    host: Host | None = field(default=None, compare=False)
    quiet: bool = field(default=False, compare=False)

    def options(self) -> list[str]:
        one = {"-p": self.project_name, "--project-directory": self.project_directory}
        several = {"-f": self.files, "--profile": self.profiles, "--env-file": self.env_files}
        pairs = [(flag, value) for flag, values in several.items() for value in values] + [(k, v) for k, v in one.items() if v]
        return [word for pair in pairs for word in pair]

    def begin(self) -> subprocess.Popen[str] | None:
        """`start_config`, for one who may turn out not to need it: None where there is no Compose."""
        try:
            return self.start_config()
        except RemoraError:
            return None

    def start_config(self) -> subprocess.Popen[str]:
        """Begin to read the files; `config` takes the answer. There is time for other things meanwhile."""
        return self.popen(["config", "--format", "json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def config(self, started: subprocess.Popen[str] | None = None) -> dict[str, Any]:
        """The canonical form of the files, every `$` as it is; raises RemoraError with Compose's own words."""
        process = started or self.start_config()
        out, err = process.communicate()
        if process.returncode:
            raise RemoraError(own_words(err))
        found: dict[str, Any] = json.loads(out.replace("$$", "$"))  # Compose doubles them, so that it can read its own output
        return found

    def hashes(self) -> dict[str, str]:
        """Compose's config hash of every service."""
        out = self.output(["config", "--hash", "*"])
        return dict(line.split() for line in out.splitlines() if line.strip())

    def up(self, services: Sequence[str] = (), build: bool = False) -> None:
        """Run the app containers; Compose's progress goes where ours does. Raises RemoraError when it fails."""
        self.run(["up", "-d", *(["--build"] if build else []), *services], "up")

    def stop(self) -> None:
        self.run(["stop"], "stop")

    def down(self, volumes: bool = False) -> None:
        self.run(["down", *(["--volumes"] if volumes else [])], "down")

    def with_override(self, path: Path) -> Compose:
        """The same stack with one file more; Compose must then be told of the others, too."""
        files = self.files or tuple(self.implied())
        directory = self.project_directory or str(Path(files[0]).parent)
        return replace(self, files=(*files, str(path)), project_directory=directory)

    def implied(self) -> list[str]:
        """The files that Compose takes when none is named: COMPOSE_FILE, else the usual names, in a folder above us.

        Source: docs.docker.com, "How Compose works" and "COMPOSE_FILE".
        """
        given = os.environ.get("COMPOSE_FILE") or dotenv(self.env_files).get("COMPOSE_FILE")
        if given:
            return given.split(os.environ.get("COMPOSE_PATH_SEPARATOR", os.pathsep))
        start = Path(self.project_directory or ".").resolve()
        for folder in (start, *start.parents):
            for name in DEFAULTS:
                if (folder / name).exists():
                    return [str(folder / name), *overrides(folder)]
        raise RemoraError("no compose file here or above: looked for " + ", ".join(DEFAULTS))

    def output(self, words: Sequence[str]) -> str:
        process = self.popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, err = process.communicate()
        if process.returncode:
            raise RemoraError(own_words(err))
        return out

    def run(self, words: Sequence[str], verb: str) -> None:
        shown = ["--progress", "quiet"] if self.quiet else []
        process = self.popen([*shown, *words], stdin=subprocess.DEVNULL, stdout=2)
        try:
            process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)  # a terminal has told it, too, and twice does no harm
            process.wait()
            raise
        if process.returncode:
            raise RemoraError(f"docker compose {verb} failed with exit code {process.returncode}; its own words are above")

    def popen(self, words: Sequence[str], **streams: Any) -> subprocess.Popen[str]:
        env = {**os.environ, **(self.host.env if self.host else {})}
        return subprocess.Popen([*binary(), *self.options(), *words], text=True, env=env, **streams)


@cache
def binary() -> tuple[str, ...]:
    """The Compose to call: the plugin itself where it lies in a usual place (which saves a process), else by `docker`."""
    for folder in PLUGINS:
        path = Path(folder).expanduser() / "docker-compose"
        if path.exists():
            return (str(path),)
    if shutil.which("docker-compose"):
        return ("docker-compose",)
    if shutil.which("docker"):
        return ("docker", "compose")
    raise RemoraError("Docker Compose is not installed: `docker compose version` must work (2.24 or newer)")


def check_version() -> None:
    """Raises RemoraError for a Compose that is missing or too old."""
    process = subprocess.run([*binary(), "version", "--short"], capture_output=True, text=True)
    found = re.match(r"v?(\d+)\.(\d+)", process.stdout)
    if process.returncode or not found:
        raise RemoraError("Docker Compose does not answer: `docker compose version` must work (2.24 or newer)")
    if (int(found[1]), int(found[2])) < OLDEST:
        raise RemoraError(f"Docker Compose {process.stdout.strip()} is too old: 2.24 or newer is needed")


def own_words(stderr: str) -> str:
    """What Compose says, without its warnings where there is an error."""
    lines = [line for line in stderr.strip().splitlines() if "level=warning" not in line]
    return "\n".join(lines) or "docker compose failed and said nothing"


def overrides(folder: Path) -> list[str]:
    names = [name.replace("compose.y", "compose.override.y") for name in DEFAULTS]
    return [str(folder / name) for name in names if (folder / name).exists()][:1]


def dotenv(env_files: Sequence[str]) -> Mapping[str, str]:
    """COMPOSE_FILE out of the env files, as Compose looks for it there."""
    for path in env_files or (".env",):
        text = Path(path).read_text() if Path(path).exists() else ""
        if found := re.search(r"^\s*(?:export\s+)?COMPOSE_FILE\s*=\s*(.+?)\s*$", text, re.MULTILINE):
            return {"COMPOSE_FILE": found[1].strip("'\"")}
    return {}
