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

from remora.engines.host import Host, settings_folder
from remora.errors import RemoraError

OLDEST = (2, 24)  # the first that knows !override
DEFAULTS = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
NEEDED = "`docker compose version` must work, and be 2.24 or newer"
PLUGINS = (
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
            raise self.refused(err)
        try:
            found: dict[str, Any] = json.loads(out.replace("$$", "$"))  # Compose doubles them, so that it can read its own output
        except ValueError:
            raise self.refused("it does not print the files as JSON") from None
        return found

    def refused(self, stderr: str) -> RemoraError:
        """Why Compose does not read the files: there are none, it is too old itself, or what it says."""
        files = self.files or [beside(path) for path in self.implied()]
        check_version()
        return RemoraError(f"{', '.join(files)}: docker compose says: {own_words(stderr)}")

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
        raise RemoraError(f"no compose file in {beside(start)} or above: there is none of {', '.join(DEFAULTS)}; name one with -f")

    def folder(self) -> Path:
        """The folder of the compose file; where there is none, the one that it would be in."""
        if self.project_directory or self.files:
            return Path(self.project_directory or Path(self.files[0]).parent)
        try:
            return Path(beside(self.implied()[0])).parent
        except RemoraError:
            return Path()

    def output(self, words: Sequence[str]) -> str:
        process = self.popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, err = process.communicate()
        if process.returncode:
            raise self.refused(err)
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
        return spawn([*binary(), *self.options(), *words], env=env, **streams)


def spawn(command: Sequence[str], **more: Any) -> subprocess.Popen[str]:
    try:
        return subprocess.Popen(command, text=True, encoding="utf-8", errors="replace", **more)
    except OSError as error:
        raise RemoraError(f"{command[0]}: cannot be run: {error.strerror}; {NEEDED}") from None


@cache
def binary() -> tuple[str, ...]:
    """The Compose to call: the plugin itself where it lies in a usual place (which saves a process), else by `docker`."""
    for folder in (settings_folder() / "cli-plugins", *map(Path, PLUGINS)):
        path = folder / "docker-compose"
        if path.exists():
            return (str(path),)
    if shutil.which("docker-compose"):
        return ("docker-compose",)
    if shutil.which("docker"):
        return ("docker", "compose")
    raise RemoraError(f"Docker Compose is not installed: {NEEDED}")


def check_version() -> None:
    """Raises RemoraError for a Compose that is missing or too old.

    It costs a process, so it is asked only where the version matters: when Compose refuses something, and before a new override.
    """
    version()


def version() -> str:
    """Compose's version. Raises RemoraError where it is missing or too old."""
    process = spawn([*binary(), "version", "--short"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    out, _ = process.communicate()
    found = re.match(r"v?(\d+)\.(\d+)", out)
    if process.returncode or not found:
        raise RemoraError(f"{' '.join(binary())}: does not answer: {NEEDED}")
    if (int(found[1]), int(found[2])) < OLDEST:
        raise RemoraError(f"{' '.join(binary())}: Docker Compose {out.strip()} is too old: {NEEDED}")
    return out.strip()


def own_words(stderr: str) -> str:
    """What Compose says, on one line, without its warnings."""
    lines = [line for line in stderr.splitlines() if "level=warning" not in line]
    return " ".join(" ".join(lines).split()) or "nothing, but that it failed"


def beside(path: str | Path) -> str:
    """A path as seen from here."""
    return os.path.relpath(path)


def overrides(folder: Path) -> list[str]:
    names = [name.replace("compose.y", "compose.override.y") for name in DEFAULTS]
    return [str(folder / name) for name in names if (folder / name).exists()][:1]


def dotenv(env_files: Sequence[str]) -> Mapping[str, str]:
    """COMPOSE_FILE out of the env files, as Compose looks for it there."""
    for path in map(Path, env_files or (".env",)):
        text = path.read_text(errors="replace") if path.is_file() else ""
        if found := re.search(r"^\s*(?:export\s+)?COMPOSE_FILE\s*=\s*(.+?)\s*$", text, re.MULTILINE):
            return {"COMPOSE_FILE": found[1].strip("'\"")}
    return {}
