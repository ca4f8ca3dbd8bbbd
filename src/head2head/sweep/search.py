"""Which runs a sweep consists of: all of them at once, as bayes chooses them, or as results over folds ask for more."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from head2head.run.result import Result
from head2head.sweep import bayes
from head2head.sweep.cross_validation import ROUNDS, HeadRuns, checked, grown, heads, most_grown, trained_longer
from head2head.sweep.plan import Planned, Planner
from head2head.sweep.request import Request


class Search:
    """The runs of a requested sweep, those of all its files.

    Raises:
        UserError: a file or an override is not as it should be.
    """

    def __init__(self, request: Request):
        self.request, self.planners = request, request.planners
        self.stopped_too = request.file.hyperband is not None
        for planner in self.planners:
            if planner.file.hyperband is not None:
                planner.fixed = [*planner.fixed, early_terminate(planner)]
        self._runs: dict[str, Planned] = {}
        self._chosen: list[Planned] = []  # those of bayes
        self._of_file: list[list[Planned]] = [[] for _ in self.planners]
        self._rounds: Counter[tuple[int, Hashable]] = Counter()  # that a head's grid has grown
        self._checked = False

    @property
    def cap(self) -> int:
        """How many runs there will be."""
        to_choose = sum(planner.file.run_cap or 0 for planner in self._bayes)
        return len(self._runs) - len(self._chosen) + to_choose if to_choose else len(self._runs)

    @property
    def _bayes(self) -> list[Planner]:
        """The planner whose runs bayes chooses, if there is one."""
        return [planner for planner in self.planners if planner.file.method == "bayes"]

    def settings_of(self, run: Planned) -> dict[str, Any]:
        """A run's resolved configuration."""
        return self.planners[0].compose(run.overrides)

    def known(self) -> list[Planned]:
        """The runs that can be told beforehand; of bayes those that results show.

        Raises:
            UserError: one that cannot be run.
        """
        for number, planner in enumerate(self.planners):
            if planner.file.method == "bayes":
                self._chosen = bayes.replay(planner, self.request.results_file.read())
                self._of_file[number] = list(self._chosen)
            else:
                self._of_file[number] = planner.all()
        return self._new(in_turn(self._of_file))

    def more(self, results: Mapping[str, Result], width: int) -> list[Planned]:
        """What to run next, given what came of all runs so far; nothing when the sweep is over."""
        for planner in self._bayes:
            left = (planner.file.run_cap or 0) - len(self._chosen)
            while chosen := bayes.choose(planner, self._chosen, results, min(width, left)):
                self._chosen = [*self._chosen, *chosen]
                left -= len(chosen)
                if new := self._new(chosen):
                    return new
        return self.followed(results)

    def followed(self, results: Mapping[str, Result]) -> list[Planned]:
        """What follows from the results of whole cross-validations: first grids grow, then epochs are checked."""
        if self.request.grow and (new := self._new(in_turn(self._grown(results)))):
            return new
        if not self.request.check_epochs or self._checked:
            return []
        self._checked = True
        return self._new([run for _, head in self.heads() for run in trained_longer(head, results)])

    def most_followed(self) -> tuple[int, int]:
        """How many runs `followed` can add at most, beyond those known: grown grids, and checks of epochs."""
        found = self.heads()
        growing = sum(most_grown(head, ROUNDS - self._rounds[number, head.name]) for number, head in found)
        checks = 0 if self._checked else sum(checked(head) for _, head in found)
        return growing * self.request.grow, checks * self.request.check_epochs

    def _grown(self, results: Mapping[str, Result]) -> Iterator[list[Planned]]:
        """New runs, those of each head."""
        for number, head in self.heads():
            if self._rounds[number, head.name] < ROUNDS and most_grown(head) and (new := grown(head, results)):
                self._rounds[number, head.name] += 1
                self._of_file[number] += new
                yield new

    def heads(self) -> list[tuple[int, HeadRuns]]:
        """The heads of whole cross-validations, each with the number of its file."""
        return [
            (number, head)
            for number, planner in enumerate(self.planners)
            for head in heads(planner, self._of_file[number])
        ]

    def _new(self, runs: Sequence[Planned]) -> list[Planned]:
        """Take up those of the runs that are not known yet."""
        new = {run.key: run for run in runs if run.key not in self._runs}
        self._runs |= new
        return list(new.values())


def in_turn(several: Iterable[list[Planned]]) -> list[Planned]:
    """Runs of several files, each key once: repeat by repeat, fold by fold, seed by seed over all files, so that
    whatever there is of a sweep that is broken off has all heads. The runs of one file stay in its order."""
    lists = [runs for runs in several if runs]
    merged = {run.key: run for runs in lists for run in runs}
    return list(merged.values()) if len(lists) < 2 else sorted(merged.values(), key=turn)


def turn(run: Planned) -> tuple[int, int, int]:
    """A run's repeat, fold and seed."""
    fold = run.identity.task.fold
    return (0, 0, run.identity.seed) if fold is None else (fold.repeat, fold.number, run.identity.seed)


def early_terminate(planner: Planner) -> str:
    """The override that tells runs when to compare themselves to the others of the very same sweep, and stop."""
    file, band = planner.file, planner.file.hyperband
    assert band is not None
    same = hashlib.sha256(repr([planner.parameters, planner.fixed]).encode()).hexdigest()[:8]
    settings = (
        f"bands:{list(band.bands)},eta:{band.eta},strict:{str(band.strict).lower()},"
        f'metric:"{file.metric}",maximize:{str(file.maximize).lower()},'
        f'curves:"{planner.output_dir}/.sweeps/{file.name}/curves-{same}"'
    )
    return f"early_terminate={{{settings}}}"
