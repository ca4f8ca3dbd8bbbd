"""Whether the process that left a file behind still lives."""

from __future__ import annotations

import contextlib
import functools
import os
import socket
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Process:
    """A process on some machine.

    host: the machine, or the container: where a process number means one process.
    born: when it was started, in seconds: tells it from a later one with its number.
    """

    host: str
    pid: int
    born: float

    def lives(self) -> bool | None:
        """Whether it does; None where that cannot be told: on another machine."""
        if self.host != host():
            return None
        return abs(born(self.pid) - self.born) < 2  # a corrected clock shifts it a little


def this() -> Process:
    """This process."""
    return Process(host(), os.getpid(), born(os.getpid()))


_own = False


def own() -> None:
    """Say that this process runs head2head's command line and nothing else, so that what is set for the whole process
    may be set. Only the command line and a sweep's workers call this; who calls `run()` from a notebook does not."""
    global _own
    _own = True


def is_own() -> bool:
    """Whether that was said."""
    return _own


@functools.cache
def host() -> str:
    """This machine, or this container."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())  # clones share the rest
    return " ".join(parts)


def born(pid: int) -> float:
    """When a process was started; -infinity when there is none."""
    try:
        process = psutil.Process(pid)
        return float("-inf") if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return float("-inf")
