"""The sweep: what is left is launched until nothing is, whatever dies on the way.

The truth is on disk. A run is finished when the experiment's results.jsonl says so, and worked on when a
living process claims it; what a launcher returns or raises is not looked at.
"""

from __future__ import annotations

import contextlib
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from head2head.errors import UserError
from head2head.experiments import ResultsFile
from head2head.run import processes
from head2head.run.result import Result
from head2head.sweep import claims
from head2head.sweep.batch import Batch, Launch
from head2head.sweep.display import Display, State
from head2head.sweep.job import failed, portable
from head2head.sweep.jobs import jobs, overrides_of
from head2head.sweep.plan import Planned, find

POLL = 0.5  # seconds
TOLD = 5  # runs in other hands whose holders are named
LOSSES = 2  # workers that a run may take down before it is run alone


@dataclass
class Driver:
    """Runs what has no result.

    Args:
        launch: a Hydra launcher's.
        settings_of: the resolved configuration of a run.
        log: file that takes what the runs print.
        width: how many jobs the launcher works on at a time.
        identifier: of this sweep; its workers have it in their environment.
        stopped_too: runs that were stopped early count as finished.
    """

    launch: Launch
    results_file: ResultsFile
    output_dir: Path
    settings_of: Callable[[Planned], dict]
    log: Path
    display: Display
    width: int = 1
    identifier: str = field(default_factory=lambda: uuid.uuid4().hex)
    stopped_too: bool = False
    losses: Counter[str] = field(default_factory=Counter)
    _jobs: int = 0
    _told: dict[str, claims.Claim] = field(default_factory=dict)

    def run(self, runs: Sequence[Planned]) -> dict[str, Result]:
        """Bring all runs to an end. Returns their results by key.

        Raises:
            UserError: the launcher does not get a single run started.
            Unwritable: a disk is full; what could be finished is.
        """
        self.collect_finished(runs)
        idle = 0
        while True:
            processes.end_if_told()
            state = self.look(runs)
            if batch := self.next_batch(state.left):
                started = self.run_batch(batch, runs)
                idle = 0 if started else idle + 1
                if idle == 2:
                    raise UserError(f"hydra/launcher started no run; it says: {last_words(self.log)} ({self.log})")
            elif state.running:
                self.tell_holders(state.running)
                time.sleep(POLL)
            else:
                return self.results_file.read()

    def collect_finished(self, runs: Iterable[Planned]) -> None:
        """Add runs that were finished elsewhere: by train.py, a W&B agent or another experiment."""
        known = self.results_file.read()
        found = [(run, find(run, self.stopped_too)) for run in runs if run.key not in known]
        if new := [portable(result, run.identity) for run, result in found if result is not None]:
            self.results_file.add(*new)

    def look(self, runs: Sequence[Planned]) -> State:
        """How the runs stand, as the disk tells."""
        known, held = self.results_file.read(), claims.held(claims.folder(self.output_dir))
        results = [known[run.key] for run in runs if run.key in known]
        left = [run for run in runs if run.key not in known]
        alive = {key: (claim.host, claim.pid, claim.born) for key, (claim, living) in held.items() if living}
        running, waiting = ([run for run in left if (run.key in alive) is claimed] for claimed in (True, False))
        state = State(results, running, waiting, alive)
        self.display.show(state)
        return state

    def tell_holders(self, running: Sequence[Planned]) -> None:
        """Say, once for each, who has a run that this sweep is waiting for."""
        for run in running[:TOLD]:
            claim = claims.read(claims.folder(self.output_dir) / run.key)
            if claim is not None and self._told.get(run.key) != claim:
                self._told[run.key] = claim
                print(f"waiting: {run.label} is held by {claim.told}", file=sys.stderr, flush=True)

    def next_batch(self, left: Sequence[Planned]) -> list[Planned]:
        """What to launch: all that may share a machine; then, one by one, what took workers down."""
        self.count_losses(left)  # of a worker on another machine it takes a minute to know that it is dead
        self.collect_finished(left)
        known = self.results_file.read()
        left = [run for run in left if run.key not in known]
        harmless = [run for run in left if self.losses[run.key] < LOSSES]
        return harmless or list(left[:1])

    def run_batch(self, runs: Sequence[Planned], everything: Sequence[Planned]) -> bool:
        """Launch a batch and wait for its end. Returns whether any of it was started.

        Raises:
            Unwritable: a disk is full.
        """
        launched = [
            overrides_of(job, self.log.parent, self._jobs + number)
            for number, job in enumerate(jobs(runs, self.settings_of, self.width))
        ]
        batch = Batch(self.launch, launched, self._jobs, self.log)
        self._jobs += len(launched)
        try:
            while not batch.over():
                with contextlib.suppress(UserError):  # a broken results.jsonl must not cost the runs under way
                    self.look(everything)
                time.sleep(POLL)
        finally:
            batch.stop()
        started = self.count_losses(runs)
        if (error := batch.unwritable()) is not None:
            self.collect_finished(runs)
            raise error
        return started

    def count_losses(self, runs: Sequence[Planned]) -> bool:
        """See which runs of a batch were started and lost. Returns whether any of it was started at all."""
        place = claims.folder(self.output_dir)
        known, started = self.results_file.read(), False
        with claims.lock(place):
            held = claims.held(place)
            for run in runs:
                claim, alive = held.get(run.key, (None, False))
                if run.key in known or alive:
                    started = True
                elif claim is not None and claim.sweep == self.identifier:
                    started = True
                    self.losses[run.key] += 1
                    claims.release(place, run.key)
                    if self.losses[run.key] > LOSSES:
                        self.mark_failed(run, claim)
        return started

    def mark_failed(self, run: Planned, claim: claims.Claim) -> None:
        """A run that took its worker down when alone, too, has failed."""
        why = claim.lost or "its worker died (killed, perhaps for memory)"
        result = failed(self.settings_of(run), run, f"{why}; tried {self.losses[run.key]} times, the last time alone")
        self.results_file.add(portable(result, run.identity))


def last_words(log: Path) -> str:
    """The last line of a log that says something."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "nothing")
