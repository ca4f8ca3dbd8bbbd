"""head2head's verbs in processes forked off one that has imported all they need: Python and torch start once, and
not each time. What is tested besides, a start from nothing and what other programs start, is tested by commands."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["head2head.run.run", "head2head.sweep.job", "head2head.sweep.run"])


class Forked:
    """A verb at work, with those parts of subprocess.Popen that the tests need.

    Args:
        verb: train or sweep, as train.py and sweep.py do it; or another, as `head2head VERB`.
        folder: the working directory.
    """

    def __init__(self, verb: str, arguments: Sequence[str], folder: Path):
        self._told = Path(tempfile.mkdtemp(prefix="told"))
        environment = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}  # of this process
        settings = (verb, [*arguments], str(folder), environment, str(self._told))
        self._process = SERVER.Process(target=_work, args=settings)
        self._process.start()

    def poll(self) -> int | None:
        return self._process.exitcode

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):  # it has ended, as Popen would know
            os.kill(self._process.pid, number)

    def kill(self) -> None:
        self._process.kill()

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout)
        return (self._told / "out").read_text(), (self._told / "err").read_text()


def _work(verb: str, arguments: list[str], folder: str, environment: dict[str, str], told: str) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for stream, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(Path(told, name), os.O_WRONLY | os.O_CREAT), stream)
    own_script = verb in ("train", "sweep")
    sys.argv = [str(ROOT / f"{verb}.py"), *arguments] if own_script else ["head2head", verb, *arguments]
    sys.modules["__main__"].__spec__ = None  # as of a script: Lightning starts further processes with its command

    from head2head.cli import hydra_command_line, main

    if own_script:
        getattr(hydra_command_line, verb)(arguments)
    else:
        main.main()
