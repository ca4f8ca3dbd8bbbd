"""Where the runs of a round are done: in this process, or by workers that a launcher starts."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from head2head.compare.experiment import Experiment
from head2head.sweep import claims
from head2head.sweep.batch import Launch
from head2head.sweep.display import Display, State
from head2head.sweep.driver import LOSSES, POLL, Driver
from head2head.sweep.job import Run, failed, portable, work
from head2head.sweep.jobs import jobs
from head2head.sweep.plan import Planned, find


class Runner(Protocol):
    """Brings runs to their end, whatever that is."""

    def finish(self, runs: Sequence[Planned]) -> None: ...


class Workers:
    """By a Hydra launcher, as a sweep's runs.

    Args:
        width: how many jobs the launcher works on at a time.
        log: file that takes what the runs print.
        identifier: of this race; its workers have it in their environment.
    """

    def __init__(self, experiment: Experiment, launch: Launch, width: int, log: Path, identifier: str, board: Display):
        settings_of, results = experiment.settings_of, experiment.results
        self._driver = Driver(launch, results, experiment.output_dir, settings_of, log, board, width, identifier)

    def finish(self, runs: Sequence[Planned]) -> None:
        """Raises UserError: the launcher gets no run started."""
        self._driver.run(runs)


class InProcess:
    """In this process: what is quick on a frozen encoder would be slower if each round started torch anew.

    Args:
        log: file that takes what the runs print.
        show: is told how the round stands.
    """

    def __init__(self, experiment: Experiment, log: Path, show: Callable[[State], None]):
        self.experiment, self.log, self.show = experiment, log, show
        self._tries: Counter[str] = Counter()
        self._encoded = False

    def finish(self, runs: Sequence[Planned]) -> None:
        """Those that another process works on are waited for.

        Raises:
            UserError: data or encoder cannot be read, or the cache folder cannot be written.
        """
        place = claims.folder(self.experiment.output_dir)
        self._collect(runs)
        while left := self._left(runs):
            self._encode()
            groups = jobs(left, self.experiment.settings_of, 1)
            done = [self._do(group, place) for group in groups]
            if not any(done):
                time.sleep(POLL)

    def _encode(self) -> None:
        """Compute what any of the heads reads, before the first run: otherwise heads that are solved and heads that are
        trained would each have a pass of the encoder."""
        if self._encoded:
            return
        from head2head.frozen.group import encode

        heads = {run.identity.head: run for run in self.experiment.planned.values()}
        with self._quietly():
            encode([self.experiment.settings_of(run) for run in heads.values()])
        self._encoded = True

    def _do(self, group: Sequence[Planned], place: Path) -> bool:
        """Do those runs of a group that are nobody's. Returns whether there were any."""
        mine = [run for run in group if claims.take(place, run.key, "")]
        results = self.experiment.results
        self.show(State(list(results.read().values()), mine, [run for run in group if run not in mine]))
        with claims.kept_alive(place, [run.key for run in mine]), self._quietly():
            work([Run(self.experiment.settings_of(run), run) for run in mine], place)
        known = results.read()
        self.show(State(list(known.values()), [], [run for run in group if run.key not in known]))
        for run in mine:
            self._tries[run.key] += 1
            if run.key not in known and self._tries[run.key] > LOSSES:
                result = failed(self.experiment.settings_of(run), run, f"tried {LOSSES + 1} times; see {self.log}")
                results.add(portable(result, run.identity))
        return bool(mine)

    @contextlib.contextmanager
    def _quietly(self) -> Iterator[None]:
        with (
            self.log.open("a", buffering=1, encoding="utf-8") as file,
            contextlib.redirect_stdout(file),
            contextlib.redirect_stderr(file),
        ):
            yield

    def _left(self, runs: Sequence[Planned]) -> list[Planned]:
        known = self.experiment.results.read()
        return [run for run in runs if run.key not in known]

    def _collect(self, runs: Sequence[Planned]) -> None:
        """Take in runs that were finished elsewhere."""
        found = [(run, find(run)) for run in self._left(runs)]
        if new := [portable(result, run.identity) for run, result in found if result is not None]:
            self.experiment.results.add(*new)
