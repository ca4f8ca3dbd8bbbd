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
from pathlib import Path
from typing import Any, NoReturn

import psutil

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
        self._process = PROCESSES.Process(target=_work, args=(launch, runs, first, log, os.getpid()))
        sys.stdout.flush()
        sys.stderr.flush()
        self._process.start()

    def over(self) -> bool:
        """Whether the launcher has returned, raised or died."""
        return not self._process.is_alive()

    def stop(self, patience: float = 10.0) -> None:
        """End it: gently, then not."""
        for end in (self._process.terminate, self._process.kill):
            if self._process.is_alive():
                end()
                self._process.join(patience)


def _work(launch: Launch, runs: Sequence[Sequence[str]], first: int, log: Path, parent: int) -> None:
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
                    traceback.print_exception(error)
        except (KeyboardInterrupt, SystemExit) as stop:
            cancel_queued()
            _leave_nothing(130 if isinstance(stop, KeyboardInterrupt) else 1)
        except BaseException:
            traceback.print_exc()
            _leave_nothing(1)
        if (wandb := sys.modules.get("wandb")) is not None:
            wandb.teardown()  # writes what it still has; Python would do so, but not at the end of a forked process
        _leave_nothing(0)


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
