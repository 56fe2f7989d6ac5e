"""An engine behind ssh: its socket, brought here by one connection that is kept up.

The ssh is the user's own, with its configuration, keys and agent. One connection carries all calls, ours and Compose's: a
connection for each, as `docker system dial-stdio` has it, is what sshd refuses more than ten of at a time.
"""

from __future__ import annotations

import atexit
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

from remora.engines.host import Host
from remora.errors import RemoraError

REMOTE = "/var/run/docker.sock"
PATIENCE = 60.0  # seconds for the first connection, in which somebody may type a passphrase
OPTIONS = ("ExitOnForwardFailure=yes", "ServerAliveInterval=10", "ServerAliveCountMax=3", "ConnectTimeout=15")


def reach(host: Host) -> Host:
    """`host` by a local socket, where ssh is what leads there. Raises RemoraError with ssh's own words."""
    if not host.url.startswith("ssh://"):
        return host
    tunnel = Tunnel(host.url)
    url = f"unix://{tunnel.socket}"
    return replace(host, url=url, env={"DOCKER_HOST": url}, name=host.url, socket=tunnel.remote)


class Tunnel:
    """A socket of our own that leads to the engine's, until this process ends."""

    def __init__(self, url: str) -> None:
        """Connect; `url` is ssh://[USER@]HOST[:PORT][/PATH/TO/SOCKET]."""
        found = re.fullmatch(r"ssh://(?:([^@/]+)@)?(\[[^\]]+\]|[^:/@-][^:/@]*)(?::(\d+))?(/.+)?/?", url)
        if not found:
            raise RemoraError(f"-H {url}: not an engine's address; write ssh://USER@HOST or ssh://USER@HOST:PORT/PATH/TO/SOCKET")
        user, server, port, path = found.groups()
        self.url, self.remote = url, path or REMOTE
        self.folder = Path(tempfile.mkdtemp(prefix="remora-ssh-"))
        self.socket = self.folder / "engine.sock"
        self.said = self.folder / "said"
        to = [*(["-l", user] if user else []), *(["-p", port] if port else []), "--", server.strip("[]")]
        self.command = ["ssh", "-nNT", *(word for each in OPTIONS for word in ("-o", each)), "-L", f"{self.socket}:{self.remote}", *to]
        atexit.register(self.close)
        self.open = True
        self.process = self.connect()
        self.first()
        threading.Thread(target=self.keep, daemon=True).start()

    def connect(self) -> subprocess.Popen[bytes]:
        try:
            with self.said.open("wb") as said:
                # Ctrl-C is for us alone: what we are in the middle of still needs the connection
                return subprocess.Popen(self.command, stderr=said, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
        except FileNotFoundError:
            raise RemoraError(f"no engine answers at {self.url}: ssh is not installed") from None

    def first(self) -> None:
        """Wait for the connection."""
        until = time.monotonic() + PATIENCE
        while not self.socket.exists():
            if self.process.poll() is not None or time.monotonic() > until:
                words = self.said.read_text(errors="replace").strip().splitlines() or [f"nothing within {PATIENCE:g} s"]
                raise RemoraError(f"no engine answers at {self.url}: ssh says: {words[-1]}")
            time.sleep(0.02)

    def keep(self) -> None:
        """Connect again whenever the connection ends."""
        while self.open:
            self.process.wait()
            time.sleep(1)
            if self.open:
                self.socket.unlink(missing_ok=True)
                self.process = self.connect()

    def close(self) -> None:
        self.open = False
        if hasattr(self, "process"):
            self.process.terminate()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
