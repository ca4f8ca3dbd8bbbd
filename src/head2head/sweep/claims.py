"""Who is working on which run: a file a run, in a folder that all machines of a sweep share.

A claim is alive while its worker is: the worker touches the file every few seconds. On the worker's own
machine a dead process is noticed at once, elsewhere when the file has not been touched for a minute, by the
clock of the folder's disk. A file that was touched in that clock's future, by a machine whose clock is ahead,
is watched instead: it is dead when a minute has gone by here without a touch.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock

from head2head.files import write_atomically
from head2head.run import processes

BEAT = 5.0  # seconds between touches
STALE = 60.0  # seconds without one


@dataclass(frozen=True)
class Claim:
    """A worker's claim on a run.

    sweep: identifier of the sweep that started the worker.
    host, pid, born: the worker's process.
    lost: why the worker gave the run up without a result; None while it works.
    since: when it was made, by that machine's clock; for people.
    """

    key: str
    sweep: str
    host: str
    pid: int
    born: float
    lost: str | None = None
    since: float = 0.0

    @property
    def told(self) -> str:
        """Who has it, since when."""
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since)) if self.since else "an unknown time"
        return f"process {self.pid} on {self.host.partition(' ')[0]} since {when} (that machine's clock)"


def folder(output_dir: Path) -> Path:
    """Where the claims on runs below an `output_dir` lie."""
    return output_dir / ".claims"


def lock(place: Path) -> FileLock:
    """Held while claims are looked at and changed."""
    place.mkdir(parents=True, exist_ok=True)
    return FileLock(place / ".lock")


def take(place: Path, key: str, sweep: str) -> bool:
    """Claim a run for this process, unless a living worker has it."""
    path = place / key
    with lock(place):
        held = read(path)
        if held is not None and alive(held, path):
            return False
        _write(path, Claim(key, sweep, **asdict(processes.this()), since=time.time()))
    return True


@contextlib.contextmanager
def kept_alive(place: Path, keys: Sequence[str]) -> Iterator[None]:
    """Touch this process's claims while the block runs."""
    done = threading.Event()

    def beat() -> None:
        while not done.wait(BEAT):
            for key in keys:
                with contextlib.suppress(OSError):  # of a run that is done by now
                    os.utime(place / key)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def release(place: Path, key: str) -> None:
    """Take back a claim, whosever it is."""
    (place / key).unlink(missing_ok=True)


def give_up(place: Path, key: str, sweep: str, why: str) -> None:
    """Say that the run was lost, so that it is started again."""
    _write(place / key, Claim(key, sweep, **asdict(processes.this()), lost=why))


def read(path: Path) -> Claim | None:
    """The claim in a file; None where there is none."""
    try:
        return Claim(**json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, json.JSONDecodeError, TypeError):
        return None


def held(place: Path) -> dict[str, tuple[Claim, bool]]:
    """Every claim by its run's key, and whether it is alive."""
    lives = functools.cache(processes.Process.lives)  # the runs of a group have one worker
    found = {}
    if place.is_dir():
        for path in place.iterdir():
            if not path.name.startswith(".") and (claim := read(path)) is not None:
                found[path.name] = claim, alive(claim, path, lives)
    return found


def alive(
    claim: Claim, path: Path, process_lives: Callable[[processes.Process], bool | None] = processes.Process.lives
) -> bool:
    """Whether the claim's worker still works on the run."""
    if claim.lost is not None:
        return False
    lives = process_lives(processes.Process(claim.host, claim.pid, claim.born))
    if lives is not None:
        return lives
    with contextlib.suppress(FileNotFoundError):
        touched = path.stat().st_mtime
        age = _now(path.parent) - touched
        return age < STALE if age > -BEAT else _watched(path, touched)
    return False


_touches: dict[Path, tuple[float, float]] = {}  # of claims from the future: last touch, and when it was seen here


def _watched(path: Path, touched: float) -> bool:
    """Whether the file was touched in the last minute, by this process's own clock, since it was first looked at."""
    now = time.monotonic()
    before, seen = _touches.get(path, (None, now))
    if before != touched:
        seen = now
    _touches[path] = (touched, seen)
    return now - seen < STALE


def _now(place: Path) -> float:
    """The time as the folder's disk sees it: machines' clocks may differ."""
    probe = place / f".now.{socket.gethostname()}.{os.getpid()}"
    try:
        probe.touch()
        return probe.stat().st_mtime
    except OSError:
        return time.time()
    finally:
        probe.unlink(missing_ok=True)


def _write(path: Path, claim: Claim) -> None:
    write_atomically(path, json.dumps(asdict(claim)) + "\n")
