"""Processes: whether the one that left a file behind still lives, and how this one ends when it is told to."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import socket
import threading
from collections.abc import Iterator
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


class Terminated(SystemExit):
    """The system has told this process to end, by SIGTERM.

    kept: what is there of its work; None where whoever catches it knows better.
    """

    STATUS = 128 + signal.SIGTERM  # as of a process that the signal has ended, by a shell's count

    def __init__(self, kept: str | None = None):
        super().__init__(self.STATUS)
        self.kept = kept


_behind_step = False
_told = False


def end_if_told() -> None:
    """Raise Terminated where SIGTERM has come and what it raised was lost: Python only prints what is raised within a
    finalizer, and goes on."""
    if _told:
        raise Terminated


def end_behind_step(wait: bool) -> None:
    """Whether SIGTERM lets the training go on to the end of its step, where a checkpoint can be written; Lightning then
    ends it."""
    global _behind_step
    _behind_step = wait


def end_on_sigterm() -> None:
    """Let SIGTERM raise Terminated in this process, so that all is tidied on the way out."""
    global _told
    _told = False
    signal.signal(signal.SIGTERM, _terminate)


@contextlib.contextmanager
def ending_on_sigterm() -> Iterator[None]:
    """The same while a block runs; nothing outside of the main thread, which alone hears signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    end_on_sigterm()
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _terminate(_signum: int, _frame: object) -> None:
    global _told
    if not _behind_step:
        _told = True
        raise Terminated
