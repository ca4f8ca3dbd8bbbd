"""A batch of runs in the hands of a Hydra launcher, in a process of its own.

Launchers return only when the whole batch is over, raise when one worker dies, and the basic one runs
the jobs where it is called. In a process of its own all that cannot hurt the sweep.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

import psutil

from head2head.errors import Unwritable
from head2head.files import NO_ROOM, cannot_be_written
from head2head.run import processes

# Not spawned: a launcher and its Hydra context are not made to be sent. Torch is not loaded here yet.
PROCESSES = multiprocessing.get_context("fork")

Launch = Callable[[Sequence[Sequence[str]], int], Any]


class Batch:
    """Some runs being launched.

    Args:
        launch: a Hydra launcher's.
        first: number of the first job.
        log: file that takes what the runs print.
    """

    def __init__(self, launch: Launch, runs: Sequence[Sequence[str]], first: int, log: Path):
        self._heard, telling = PROCESSES.Pipe(duplex=False)
        self._process = PROCESSES.Process(target=_work, args=(launch, runs, first, log, os.getpid(), telling))
        sys.stdout.flush()
        sys.stderr.flush()
        self._process.start()
        telling.close()  # the launcher's process has its own, and its end is to be noticed

    def over(self) -> bool:
        """Whether the launcher has returned, raised or died."""
        return not self._process.is_alive()

    def unwritable(self) -> Unwritable | None:
        """What a run could not write for want of room. It comes through a pipe: the log may lie on that same disk."""
        with contextlib.suppress(EOFError):
            if self._heard.poll():
                return Unwritable(self._heard.recv())
        return None

    def stop(self, patience: float = 10.0) -> None:
        """End it: gently, then not."""
        for end in (self._process.terminate, self._process.kill):
            if self._process.is_alive():
                end()
                self._process.join(patience)


def _work(
    launch: Launch, runs: Sequence[Sequence[str]], first: int, log: Path, parent: int, telling: Connection
) -> None:
    processes.end_on_sigterm()  # claims and half-written folders are tidied on the way out
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    with log.open("a", buffering=1, encoding="utf-8") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
        sys.stdout = sys.stderr = file
        try:
            for ended in launch(runs, first) or ():
                # What was raised outside the run itself, such as data that one machine lacks: nobody else says it.
                if isinstance(error := getattr(ended, "_return_value", None), Exception):
                    tell(error, log, telling)
        except (KeyboardInterrupt, SystemExit) as stop:
            cancel_queued()
            _leave_nothing(130 if isinstance(stop, KeyboardInterrupt) else 1)
        except BaseException as error:
            tell(error, log, telling)
            _leave_nothing(1)
        if (wandb := sys.modules.get("wandb")) is not None:
            wandb.teardown()  # writes what it still has; Python would do so, but not at the end of a forked process
        _leave_nothing(0)


def tell(error: BaseException, log: Path, telling: Connection) -> None:
    """Put an error into the log; of a disk without room, tell the sweep as well."""
    with contextlib.suppress(OSError):  # which may be the log's
        traceback.print_exception(error)
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        error = cannot_be_written(f"output_dir: {error.filename or log.parent}", error)
    if isinstance(error, Unwritable):
        telling.send(str(error))


def cancel_queued() -> None:
    """Take back what SLURM has of this process's jobs, queued or running: nobody waits for them any more."""
    submitit = sys.modules.get("submitit")
    if submitit is None:
        return
    # The launcher keeps its jobs to itself.
    jobs = [found for found in gc.get_objects() if isinstance(found, submitit.SlurmJob)]
    numbers = sorted({job.job_id.partition("_")[0] for job in jobs if not job.paths.result_pickle.exists()})
    if numbers:
        print(f"scancel {' '.join(numbers)}", flush=True)
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            subprocess.run(["scancel", *numbers], timeout=30, check=False)


def _leave_nothing(status: int) -> NoReturn:
    """End this process and its children: pools and threads that the launcher left have nothing more to say.
    W&B's own process may have, and ends by itself."""
    with contextlib.suppress(OSError):  # the disk of the log is full
        sys.stdout.flush()
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "wandb" not in child.name():
                child.terminate()
    os._exit(status)


def _end_with(parent: int) -> None:
    """End this process when the sweep has been killed: nobody would be told of what it does."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(10)
    _leave_nothing(1)
