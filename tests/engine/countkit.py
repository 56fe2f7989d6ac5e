"""An engine of one's own, of which all can be counted that was left behind, and a socket before it that writes down who did what."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Self

import docker
import pytest
from enginekit import Private, missing


class Counted(Private):
    """One engine, seen from outside."""

    def __enter__(self) -> Self:
        if lacks := missing():
            pytest.skip(f"an engine of one's own needs {lacks}")
        return super().__enter__()

    def end(self, hard: bool) -> None:
        """End the daemon, politely or not."""
        if hard:
            self.kill()
            return
        self.signal(int((self.folder / "pidfile").read_text()), signal.SIGTERM)
        assert self.daemon
        self.daemon.wait(60)

    def again(self, hard: bool, live_restore: bool) -> None:
        """End it, and start it again, with or without containers that live through that next time."""
        self.end(hard)
        self.live_restore = live_restore
        self.start()

    def signal(self, pid: int, number: int) -> None:
        """Send a signal to a process, by the number that it has inside. Raises OSError for 0, which would be all that belong to us."""
        if pid < 2:
            raise ProcessLookupError(f"no process {pid}")
        subprocess.run([*self.entering(), "kill", f"-{number}", str(pid)], stderr=subprocess.DEVNULL, check=False)

    # ---- what there is of it ----

    def space(self, pid: int, kind: str) -> str:
        """The namespace that a process is in, by the number that it has inside; "" where there is none."""
        try:
            return str((self.proc / str(pid) / "ns" / kind).readlink()) if pid else ""
        except OSError:
            return ""

    def left(self) -> dict[str, object]:
        """What could have been left behind, to be compared with what was there before."""
        processes = [each for each in self.proc.iterdir() if each.name.isdigit()]
        lost = forlorn(processes)
        processes = [each for each in processes if each.name not in lost]
        mounts = [line.split()[1] for line in (self.proc / "1" / "mounts").read_text().splitlines()]
        client = docker.DockerClient(self.url, timeout=60)
        try:
            return {
                "containers": sorted(each["Names"][0] for each in client.api.containers(all=True)),
                "networks": sorted(each.name for each in client.networks.list()),
                "volumes": sorted(each.name for each in client.volumes.list()),
                "processes": dict(Counter(filter(None, map(command, processes)))),
                "namespaces": len({self.space(int(each.name), kind) for each in processes for kind in ("net", "pid", "mnt", "ipc")} - {""}),
                "mounts": sorted(at for at in mounts if at.startswith(str(self.folder))),
            }
        finally:
            client.close()

    def descriptors(self) -> Counter[str]:
        """What the engine itself has open, by kind."""
        found: Counter[str] = Counter()
        for each in (self.proc / (self.folder / "pidfile").read_text().strip() / "fd").iterdir():
            with suppress(OSError):
                found[re.sub(r"[0-9a-f]*[0-9]+[0-9a-f]*", "N", str(each.readlink()))] += 1
        return found


def command(process: Path) -> str:
    with suppress(OSError):
        return (process / "cmdline").read_bytes().partition(b"\0")[0].decode()
    return ""


CALL = re.compile(rb"(POST|PUT|DELETE|PATCH) (?:/v[0-9.]+)?(/[^ ]*) HTTP/1")


def forlorn(processes: Iterable[Path]) -> set[str]:
    """Shims, and what they wait for, of containers that never began: an engine killed in the middle of a start forgets about them."""
    found: set[str] = set()
    for shim in processes:
        if "containerd-shim" in command(shim):
            with suppress(OSError):
                children = (shim / "task" / shim.name / "children").read_text().split()
                if all(command(shim.parent / child) == "runc" for child in children):
                    found |= {shim.name, *children}
    return found


class Tap:
    """A socket before an engine's, which writes down each call that would change something: so it is known who did what."""

    def __init__(self, engine: Counted) -> None:
        self.engine = engine
        self.url = f"unix://{engine.folder}/tapped.sock"
        self.calls: list[str] = []
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(self.url.removeprefix("unix://"))
        self.server.listen(64)
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def __enter__(self) -> Tap:
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.server.close()

    def serve(self) -> None:
        while True:
            try:
                here, _ = self.server.accept()
            except OSError:
                return
            there = socket.socket(socket.AF_UNIX)
            try:
                there.connect(self.engine.url.removeprefix("unix://"))
            except OSError:
                here.close()
                there.close()
                continue
            threading.Thread(target=self.connect, args=(here, there), daemon=True).start()

    def connect(self, here: socket.socket, there: socket.socket) -> None:
        back = threading.Thread(target=self.pump, args=(there, here, lambda _: None), daemon=True)
        with here, there:
            back.start()
            self.pump(here, there, self.note)
            back.join()

    def note(self, piece: bytes) -> None:
        if found := CALL.match(piece):
            self.calls.append(b" ".join(found.groups()).decode())

    def pump(self, source: socket.socket, sink: socket.socket, hear: Callable[[bytes], None]) -> None:
        with suppress(OSError):
            while piece := source.recv(1 << 16):
                hear(piece)
                sink.sendall(piece)
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
