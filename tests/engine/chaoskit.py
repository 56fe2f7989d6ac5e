"""Who is beside the chaos: two watchers with somebody who starts them again, and ears for what happens to app containers."""

from __future__ import annotations

import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import docker
from countkit import Counted
from stackkit import REMORA, Stack

RESYNC = 10.0


class Watchers:
    """Two of them, and a service manager: one is at work, one stands by, and who is killed is started again."""

    def __init__(self, stack: Stack, url: str) -> None:
        self.stack, self.url = stack, url
        self.files: list[Path] = []  # what each said that there ever was
        self.pair = [self.another(), self.another()]

    def another(self) -> tuple[subprocess.Popen[bytes], Path]:
        file = self.stack.folder / f"said-{len(self.files)}.txt"
        self.files.append(file)
        words = [REMORA, "watch", "-H", self.url, "--resync", f"{RESYNC:g}s", "--listen", "none"]
        with file.open("wb") as said:
            begun = subprocess.Popen(words, cwd=self.stack.folder, env=self.stack.env, stdout=said, stderr=said)
        self.stack.background.append(begun)
        return begun, file

    def kill(self, which: int) -> None:
        killed, _ = self.pair[which]
        killed.kill()
        killed.wait()
        self.stack.background.remove(killed)
        self.pair[which] = self.another()

    def tend(self) -> bool:
        """Start those again that ended by themselves; whether none had to be.

        One that cannot begin may end: it found no engine, or an ops file that makes no sense. One that has begun may not.
        """
        ended = [which for which in (0, 1) if self.pair[which][0].poll() is not None]
        for which in ended:
            process, file = self.pair[which]
            assert process.returncode == 1 and not begun(file), f"{process.returncode}: {file.read_text()}"
            self.kill(which)
        return not ended

    def said(self) -> str:
        return "\n".join(f"{file.name}:\n{file.read_text()}" for file in self.files)

    def descriptors(self) -> int:
        """How many files the busier one has open."""
        return max(len(list(Path(f"/proc/{each.pid}/fd").iterdir())) for each, _ in self.pair)

    def end(self) -> list[int]:
        for each, _ in self.pair:
            each.terminate()
        return [each.wait(30) for each, _ in self.pair]


def begun(file: Path) -> bool:
    """Whether a watcher said that it is at work, or ready to be."""
    return any(words in file.read_text() for words in ("watching ", "standing by"))


class Ears(threading.Thread):
    """Hears of everything that happens to app containers, for as long as there is an engine."""

    def __init__(self, engine: Counted, mine: str) -> None:
        super().__init__(daemon=True)
        self.url, self.mine, self.engine = engine.url, mine, engine
        self.heard: dict[str, tuple[float, str, str, str]] = {}  # an event may be told twice

    def run(self) -> None:
        since = time.time()
        while self.engine.folder.exists():
            client = docker.APIClient(self.url, version="1.44", timeout=3600)
            with suppress(Exception):
                for each in client.events(since=int(since) - 1, filters={"type": "container"}, decode=True):
                    self.hear(each)
                    since = each["timeNano"] / 1e9
            client.close()
            time.sleep(0.05)

    def hear(self, event: dict[str, Any]) -> None:
        facts = event["Actor"]["Attributes"]
        if self.mine in facts.get("name", "") and not any(key.startswith("remora.") for key in facts):
            found = (event["timeNano"] / 1e9, event["Action"], event["Actor"]["ID"], facts["name"])
            self.heard[f"{found}"] = found
