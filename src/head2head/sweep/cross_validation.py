"""What a sweep over folds adds to its grid when that is done, as results alone say: values beyond an edge that is the
best, and runs of twice the epochs."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from head2head.run.canonical import NOT_IN_KEY
from head2head.run.configuration import value_of
from head2head.run.result import Result
from head2head.statistics.choice import Growth, Setting, choose, growth, is_tuned, setting
from head2head.statistics.epoch_checks import EPOCHS
from head2head.sweep import space
from head2head.sweep.distributions import Choice
from head2head.sweep.plan import Planned, Planner

GROWING = ("optimizer.lr", "optimizer.head_lr", EPOCHS)  # what a grid may grow in
ROUNDS = 2  # how often it grows at most, for each head on each task

Cell = tuple[int, int]  # repeat and fold


@dataclass(frozen=True)
class HeadRuns:
    """The runs of one head on one task in one sweep file: every setting in every fold of every repeat.

    name: what sets it apart from the others of the file.
    runs: by setting, repeat and fold.
    """

    planner: Planner
    name: Hashable
    runs: Mapping[tuple[Setting, Cell], Planned]

    @property
    def cells(self) -> list[Cell]:
        """Repeats and folds, in order."""
        return sorted({cell for _, cell in self.runs})

    def values(self) -> dict[str, list[float]]:
        """Setting -> its values, ascending."""
        found: dict[str, set[float]] = {}
        for chosen, _ in self.runs:
            for name, value in chosen:
                found.setdefault(name, set()).add(value)
        return {name: sorted(values) for name, values in found.items()}

    def table(self, results: Mapping[str, Result]) -> pd.DataFrame:
        """What `statistics.choice` reads of one head."""
        rows = [(*at, self.score(results[run.key])) for (at, run) in self._rows()]
        return pd.DataFrame(rows, columns=["setting", "repeat", "fold", "score"]).assign(head="")

    def _rows(self) -> Iterable[tuple[tuple[Setting, int, int], Planned]]:
        for (chosen, (repeat, fold)), run in self.runs.items():
            yield (chosen, repeat, fold), run

    @staticmethod
    def score(result: Result) -> float:
        """NaN of a run that failed."""
        return math.nan if result.score is None else result.score


def heads(planner: Planner, runs: Sequence[Planned]) -> list[HeadRuns]:
    """The heads of a sweep file whose grid is a whole cross-validation: each setting in every fold of every repeat."""
    if planner.file.method != "grid" or planner.file.run_cap is not None:
        return []
    found: dict[Hashable, dict[tuple[Setting, Cell], Planned]] = {}
    folds = {run.identity.task.fold.folds for run in runs if run.identity.task.fold is not None}
    for run in runs:
        fold = run.identity.task.fold
        if fold is None or len(folds) > 1:
            return []
        name, chosen = parted(run.assignment)
        found.setdefault(name, {})[chosen, (fold.repeat, fold.number)] = run
    whole = [HeadRuns(planner, name, mine) for name, mine in found.items()]
    return [head for head in whole if _all_cells(head, max(folds))]


def _all_cells(head: HeadRuns, folds: int) -> bool:
    repeats = {repeat for repeat, _ in head.cells}
    settings = {chosen for chosen, _ in head.runs}
    return len(head.runs) == len(settings) * len(repeats) * folds


def parted(assignment: Mapping[str, Any]) -> tuple[Hashable, Setting]:
    """What makes a head (and its task), and its setting: the numbers that a protocol tunes."""
    name, values = [], {}
    for parameter, given in assignment.items():
        value = value_of(str(given))
        if is_tuned(parameter) and isinstance(value, (int, float)) and not isinstance(value, bool):
            values[parameter] = value
        elif parameter not in space.SLOWEST and parameter not in NOT_IN_KEY:
            name.append((parameter, str(value)))
    return tuple(name), setting(values)


def grown(head: HeadRuns, results: Mapping[str, Result]) -> list[Planned]:
    """The runs that the grid of a head grows by, on all folds and repeats; none where its best setting lies within.

    All runs of the head have results.
    """
    steps: dict[str, Growth] = {}
    for step in growth(head.table(results)):
        if step.name in GROWING and (step.name not in steps or step.gain > steps[step.name].gain):
            steps[step.name] = step  # of two ends the better one
    values = {n: [*v, steps[n].value] if n in steps else v for n, v in head.values().items()}
    there = {chosen for chosen, _ in head.runs}
    new = [row for row in space.grid({n: Choice(tuple(v)) for n, v in values.items()}) if setting(row) not in there]
    template = {cell: run.assignment for (_, cell), run in head.runs.items()}
    return head.planner.runs({**template[cell], **row} for cell in head.cells for row in new)


def most_grown(head: HeadRuns, rounds: int = ROUNDS) -> int:
    """How many runs `grown` can add in so many rounds."""
    sizes = {name: len(values) for name, values in head.values().items()}
    largest = [n + rounds if name in GROWING and n > 1 else n for name, n in sizes.items()]
    return (math.prod(largest) - math.prod(sizes.values())) * len(head.cells)


def trained_longer(head: HeadRuns, results: Mapping[str, Result]) -> list[Planned]:
    """The run that checks whether a fine-tuned head has converged: its setting in fold 0 of repeat 0, there, with twice
    the epochs (see `statistics.epoch_checks`). None for one on a frozen encoder, and where no setting can be chosen.

    All runs of the head have results.
    """
    if not checked(head):
        return []
    table = choose(head.table(results))
    row = table[(table["repeat"] == 0) & (table["fold"] == 0)].iloc[0]
    if row["setting"] is None:
        return []
    run = head.runs[row["setting"], (0, 0)]
    twice = 2 * head.planner.compose(run.overrides)["trainer"]["max_epochs"]
    fixed = [text for text in head.planner.fixed if text.partition("=")[0] != EPOCHS]
    return replace(head.planner, fixed=fixed).runs([{**run.assignment, EPOCHS: twice}])


def checked(head: HeadRuns) -> bool:
    """Whether a head's convergence is checked: its encoder is trained, for so many epochs as are set."""
    if (0, 0) not in head.cells:
        return False
    config = head.planner.compose(next(iter(head.runs.values())).overrides)
    trainer = config["trainer"]
    return config["encoder"]["frozen"] is not True and (trainer["max_epochs"] or 0) > 0 and trainer["max_steps"] == -1
