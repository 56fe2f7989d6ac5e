"""A Docker engine of one's own, that may be killed and rebooted, and that disturbs no other.

It runs in network, mount and process namespaces of its own. The kernel ends all of them with their first process, so that nothing has to
be looked for, and nothing else can be hit.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

DEBIAN = "debian:trixie-slim"
CGROUPS = Path("/sys/fs/cgroup")
# The first process: says what it is called outside, has the kernel take away orphans that end, and stays.
FIRST = """
import os, signal, subprocess
name = os.readlink("/proc/self")
subprocess.run(["mount", "-t", "proc", "proc", "/proc"], check=True)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print(name, flush=True)
while True:
    signal.pause()
"""


def missing() -> str:
    """What there is not to start one here; "" where all is."""
    if os.geteuid():
        return "root"
    return next((tool for tool in ("dockerd", "nsenter", "unshare") if not shutil.which(tool)), "")


class Private:
    """One engine; `url` stays the same whatever happens to it."""

    def __init__(self, live_restore: bool = False) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="remora-"))  # short: a socket's path has no more than 108 bytes
        self.url = f"unix://{self.folder}/engine.sock"
        self.live_restore = live_restore
        self.holder: subprocess.Popen[str] | None = None
        self.first = 0  # of its processes, as it is called outside
        self.daemon: subprocess.Popen[bytes] | None = None

    @property
    def proc(self) -> Path:
        """Its processes by the numbers that it knows them by."""
        return Path(f"/proc/{self.first}/root/proc")

    def __enter__(self) -> Self:
        try:
            self.hold()
            self.start()
            self.load(DEBIAN)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing of it stays."""
        self.power_off()
        shutil.rmtree(self.folder, ignore_errors=True)
        for top in (CGROUPS / self.folder.name, *CGROUPS.glob(f"*/{self.folder.name}")):
            for folder in sorted(top.glob("**/"), reverse=True):
                with suppress(OSError):
                    folder.rmdir()

    # ---- what happens to it ----

    def start(self) -> None:
        """Start the daemon, and wait until it answers."""
        settings = self.folder / "daemon.json"
        settings.write_text(json.dumps({"live-restore": self.live_restore, "exec-opts": ["native.cgroupdriver=cgroupfs"]}))
        where = [f"--{what}={self.folder / what}" for what in ("data-root", "exec-root", "pidfile")]
        command = ["dockerd", f"--config-file={settings}", *where, f"--cgroup-parent=/{self.folder.name}", f"--host={self.url}"]
        with (self.folder / "log").open("ab") as log:
            self.daemon = subprocess.Popen([*self.entering(), *command], stdout=log, stderr=log, start_new_session=True)
        end = time.monotonic() + 60
        while not self.answers():
            alive = self.daemon.poll() is None and time.monotonic() < end
            assert alive, f"the engine does not come up:\n{self.said()}"
            time.sleep(0.05)

    def kill(self) -> None:
        """The daemon is gone at once, and nothing else is touched."""
        if self.daemon:
            number = (self.folder / "pidfile").read_text()
            subprocess.run([*self.entering(), "kill", "-KILL", number], check=True)
            self.daemon.wait()

    def restart(self, live_restore: bool | None = None) -> None:
        """The daemon is killed, and comes back, with another setting where one is given."""
        self.kill()
        self.live_restore = self.live_restore if live_restore is None else live_restore
        self.start()

    def reboot(self) -> None:
        """All that ran is gone at once, with mounts, networks and what lies in /run; then the daemon comes up."""
        self.power_off()
        shutil.rmtree(self.folder / "exec-root", ignore_errors=True)
        (self.folder / "pidfile").unlink(missing_ok=True)
        self.hold()
        self.start()

    def power_off(self) -> None:
        """End the first process, and wait for its parent, which waits until all others have ended, too."""
        if self.holder and self.holder.poll() is None:
            if self.first:
                os.kill(self.first, signal.SIGKILL)
            else:
                self.holder.kill()
            self.holder.wait()
        if self.daemon:
            self.daemon.wait()
        self.holder, self.daemon, self.first = None, None, 0

    # ---- how it is done ----

    def hold(self) -> None:
        """Have the first process, which ends when its parent does."""
        command = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", sys.executable, "-ISc", FIRST]
        with (self.folder / "log").open("ab") as log:
            self.holder = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self.holder.stdout
        with self.holder.stdout as said:
            self.first = int(said.readline())

    def entering(self) -> list[str]:
        return ["nsenter", f"--target={self.first}", "--net", "--mount", "--pid"]

    def answers(self) -> bool:
        with suppress(OSError), socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(3)
            asking.connect(self.url.removeprefix("unix://"))
            asking.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b" 200 " in asking.recv(64)
        return False

    def said(self) -> str:
        """The end of what the daemon said."""
        return (self.folder / "log").read_text(errors="replace")[-3000:]

    def load(self, *images: str) -> None:
        """Take images over from the engine that the tests use."""
        words = f"docker save {' '.join(images)} | docker --host {self.url} load --quiet"
        subprocess.run(words, shell=True, check=True, capture_output=True)
