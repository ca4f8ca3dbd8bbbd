"""Which settings of a head are still run: beaten ones are dropped, but no fold has a say in what it is scored with.

A head's score in fold i is that of the setting which the other folds of the repeat choose. Dropping must not undo this:
where fold i helps to decide which settings are left, its own score flatters. So the settings race once for each fold
i, on the other folds alone, and once on all folds, for those to come. A setting is run in the next fold as long as it
is left in one of these races; in fold i the choice is among those left in race i, by their mean over the other folds,
in all of which they have been run. Whatever decides about fold i is then a function of the other folds, and dropping
settings costs a head nothing but a choice that was made too early.

Within a race a setting is dropped when it is more than a standard error below the best (Breiman et al. 1984 prune
trees by that rule). That is a rough rule, and may be: it makes no claim, and is the same for all heads. A new repeat
begins with all settings, since its folds hold the rows that the last repeat has judged them by.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

ERRORS = 1.0  # standard errors that a setting may be below the best


class Scored(NamedTuple):
    """A run as a race sees it.

    score: as a fraction.
    clusters: (C,) ids, from 0 on, of the clusters of the examples that it is scored on, each once.
    influence: (C,) of each on the score, see `statistics/influence.py`.
    """

    score: float
    clusters: np.ndarray
    influence: np.ndarray


# The runs of a head in one fold by the number of their setting; those of one fold are scored on the same examples.
FoldRuns = Mapping[int, Scored]


def to_run(folds: Sequence[FoldRuns], settings: Sequence[int], run_spread: float) -> list[int]:
    """The settings to be run in the next fold of a repeat.

    Args:
        folds: what has been run in the repeat, fold by fold.
        settings: those that have not failed.
        run_spread: standard deviation, as a fraction, over runs of a difference beyond what examples explain.
    """
    races = [left(folds, settings, run_spread, without) for without in (None, *range(len(folds)))]
    return [setting for setting in settings if any(setting in race for race in races)]


def left(folds: Sequence[FoldRuns], settings: Sequence[int], run_spread: float, without: int | None) -> list[int]:
    """The settings that are left in the race which one fold has no part in."""
    seen: list[FoldRuns] = []
    still = list(settings)
    for number, fold in enumerate(folds):
        if number != without and len(still) > 1:
            seen.append(fold)
            still = unbeaten(seen, still, run_spread)
    return still


def unbeaten(folds: Sequence[FoldRuns], settings: Sequence[int], run_spread: float) -> list[int]:
    """The settings that are at most `ERRORS` standard errors below the best of them."""
    best = best_of(folds, settings)
    return [s for s in settings if s == best or _gap(folds, best, s) <= ERRORS * _error(folds, best, s, run_spread)]


def best_of(folds: Sequence[FoldRuns], settings: Sequence[int]) -> int:
    """The setting with the best mean over some folds; of equal ones the first."""
    return max(settings, key=lambda setting: math.fsum(fold[setting].score for fold in folds))


def choice(folds: Sequence[FoldRuns], settings: Sequence[int], run_spread: float, fold: int) -> int | None:
    """The setting that the other folds choose for a fold; None where there is a choice and no other fold."""
    if len(settings) == 1:
        return settings[0]
    others = [other for number, other in enumerate(folds) if number != fold]
    return best_of(others, left(folds, settings, run_spread, fold)) if others else None


def _gap(folds: Sequence[FoldRuns], best: int, setting: int) -> float:
    return math.fsum(fold[best].score - fold[setting].score for fold in folds) / len(folds)


def _error(folds: Sequence[FoldRuns], best: int, setting: int, run_spread: float) -> float:
    """Standard error of the mean difference; the folds of a repeat have no cluster in common."""
    squares = sum(float(np.square(fold[best].influence - fold[setting].influence).sum()) for fold in folds)
    return math.sqrt(squares / len(folds) ** 2 + run_spread**2 / len(folds))
