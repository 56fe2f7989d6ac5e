"""Wakes up when something appears in a folder: inotify, which the standard library lacks, by ctypes."""

from __future__ import annotations

import ctypes
import os
import select

APPEARED = 0x100 | 0x80  # IN_CREATE, IN_MOVED_TO
FLAGS = 0o2000000 | 0o4000  # IN_CLOEXEC, IN_NONBLOCK


class Watch:
    """Folders to be woken by; where the kernel has no watch left, the caller's timeout has to do."""

    def __init__(self) -> None:
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.fd = self.libc.inotify_init1(FLAGS)
        self.wake, self.alarm = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.poll = select.poll()
        self.poll.register(self.wake, select.POLLIN)
        if self.fd >= 0:
            self.poll.register(self.fd, select.POLLIN)

    def add(self, folder: str) -> None:
        """Wake up when an entry is created in it or moved there."""
        if self.fd >= 0:
            self.libc.inotify_add_watch(self.fd, os.fsencode(folder), APPEARED)

    def wait(self, seconds: float) -> bool:
        """Sleep, until woken at the latest; whether a folder changed."""
        ready = [fd for fd, _ in self.poll.poll(seconds * 1000)]
        for fd in ready:
            os.read(fd, 65536)
        return self.fd in ready
