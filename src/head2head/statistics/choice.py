"""A head's setting in a fold is chosen by the other folds of the repeat.

A run is one head x one setting x one fold x one repeat. When results are read, the setting of a head in fold i is the
one with the best mean score over the other folds, and its score on fold i counts. So nothing is tuned on what it is
scored on, no row is set aside, and no run is spent on tuning alone (cf. Tsamardinos, Greasidou and Borboudakis 2018,
Machine Learning 107: bootstrap bias-corrected cross-validation, which pools the predictions of all settings likewise).

What is decided here besides:

* Ties: of equal means (to `DIGITS` decimals) the smaller setting, by the names of its values in order.
* A run that failed is worse than any score. A setting that failed in another fold is chosen only where all did; where
  the chosen one failed in fold i, the head has no score there.
* Incomplete grids: the choice is among the settings, and by the other folds, that form the largest complete part of
  the grid. So neither a fold just begun, nor a setting just begun, nor one that was dropped long ago decides what the
  others are held by. `complete` says whether it was the whole grid.
* With one setting there is nothing to choose.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

DIGITS = 12

Setting = tuple[tuple[str, float], ...]  # names and values, in the order of names


def is_tuned(name: str) -> bool:
    """Whether a setting, by its dotted name, is one that a protocol tunes for each head, not a part of the question."""
    return name.startswith("optimizer.") or name in ("trainer.max_epochs", "trainer.max_steps", "batch_size")


def setting(values: Mapping[str, float]) -> Setting:
    """Numeric settings by dotted name -> what the column `setting` of runs holds."""
    return tuple(sorted(values.items()))


def choose(runs: pd.DataFrame) -> pd.DataFrame:
    """The setting of each head in each fold, and its score there.

    Args:
        runs: of one task, a row each: head, setting, repeat, fold, and score (NaN of a run that failed). Settings are
            hashable and can be sorted.

    Returns:
        one row a head, repeat and fold that the head has runs in: head, repeat, fold; setting (None where none could be
        chosen); run (the index in `runs` of the chosen setting's run; None where it was not run); score
        (NaN where there is none); failed (the chosen run failed); complete.

    Raises:
        ValueError: a head has two runs of one setting and fold.
    """
    if runs.duplicated(["head", "setting", "repeat", "fold"]).any():
        raise ValueError("a head has two runs of one setting in one fold")
    folds_of = {repeat: sorted(set(part["fold"])) for repeat, part in runs.groupby("repeat")}
    rows = []
    for (head, repeat), part in runs.groupby(["head", "repeat"], sort=False):
        settings, folds = sorted(set(part["setting"])), folds_of[repeat]
        scores, numbers = _grid(part, settings, folds)
        chosen, complete = by_others(scores)
        for f in np.flatnonzero(~np.isnan(scores).all(axis=0)):
            s = chosen[f]
            score = scores[s, f] if s >= 0 else math.nan
            run = part.index[numbers[s, f]] if s >= 0 and not math.isnan(score) else None
            failed = bool(np.isneginf(score))
            picked = settings[s] if s >= 0 else None
            score = math.nan if failed else score
            rows.append((head, repeat, folds[f], picked, run, score, failed, bool(complete[f])))
    table = pd.DataFrame(rows, columns=["head", "repeat", "fold", "setting", "run", "score", "failed", "complete"])
    return table.astype({"setting": object, "run": object})


def _grid(part: pd.DataFrame, settings: Sequence[Hashable], folds: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """(S, F) scores of one head and repeat, as of `by_others`, and the row in `part` of each run (-1: none)."""
    scores = np.full((len(settings), len(folds)), np.nan)
    numbers = np.full(scores.shape, -1)
    of_setting = {value: i for i, value in enumerate(settings)}
    of_fold = {value: i for i, value in enumerate(folds)}
    for number, (its_setting, fold, score) in enumerate(zip(part["setting"], part["fold"], part["score"], strict=True)):
        place = of_setting[its_setting], of_fold[fold]
        scores[place] = -np.inf if math.isnan(score) else score
        numbers[place] = number
    return scores, numbers


def by_others(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The choice itself.

    Args:
        scores: (S, F) by setting, in the order in which ties are broken, and by fold; -inf of a run that failed, NaN of
            one that was not made.

    Returns:
        (F,) the number of the setting that the other folds choose, -1 where they cannot; (F,) complete.
    """
    settings, folds = scores.shape
    if settings == 1:
        return np.zeros(folds, dtype=int), np.ones(folds, dtype=bool)
    chosen, complete = np.full(folds, -1), np.zeros(folds, dtype=bool)
    run = ~np.isnan(scores)
    for fold in range(folds):
        others = np.delete(np.arange(folds), fold)
        candidates, used = rectangle(run[:, others])
        if len(candidates):
            means = np.round(scores[np.ix_(candidates, others[used])].mean(axis=1), DIGITS)
            chosen[fold] = candidates[means.argmax()]
            complete[fold] = len(candidates) == settings and len(used) == folds - 1
    return chosen, complete


def rectangle(run: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The settings and folds of the largest complete part of a grid; of equal ones the one with more folds.

    Args:
        run: (S, F) whether a setting was run in a fold.

    Returns:
        numbers of settings and of folds; none of both in an empty grid. Parts are looked for among the folds with the
        most settings, which finds the largest wherever folds were begun in order and settings dropped for good.
    """
    order = np.argsort(-run.sum(axis=0), kind="stable")
    within = np.logical_and.accumulate(run[:, order], axis=1)  # run in the first 1, 2, ... of these folds
    areas = within.sum(axis=0) * np.arange(1, len(order) + 1)
    if not areas.any():
        return np.zeros(0, dtype=int), np.zeros(0, dtype=int)
    last = len(areas) - 1 - int(areas[::-1].argmax())
    return np.flatnonzero(within[:, last]), np.sort(order[: last + 1])


class Growth(NamedTuple):
    """The grid should grow: its best value in one dimension stands at its edge, and clearly so.

    name: of the setting. value: the next one in that direction. edge: the best at the edge, `direction` "lower" or
    "higher". gain: of the edge over the best interior setting, and error its standard error, as fractions.
    """

    name: str
    direction: str
    edge: float
    value: float
    gain: float
    error: float


def growth(runs: pd.DataFrame) -> list[Growth]:
    """Where the grid of one head on one task should grow, one dimension at a time.

    In a dimension, the best setting (of whatever else) at an end of its values counts as an edge when it beats the
    best setting between the ends by more than one standard error of their difference over folds. Of two values each is
    held against the other; of one nothing is said. Settings that have not been run in every fold of the head yet take
    no part, so that asking again while the grid grows gives the same answer; those with failed runs cannot win.

    Args:
        runs: columns setting (a `Setting`), repeat, fold, score (NaN of a failed run).

    Returns:
        in the order of names; `value` goes on as the last two values do (1e-4, 3e-4: 9e-4), whole numbers stay whole.
        There is none below a smallest value of 0.
    """
    scores = _whole(runs)
    settings = [dict(chosen) for chosen in scores]
    found = []
    for name in sorted({name for values in settings for name in values}):
        values = sorted({chosen[name] for chosen in settings if name in chosen})
        of_value = {value: [chosen for chosen in scores if dict(chosen).get(name) == value] for value in values}
        for direction, ends in (("lower", values), ("higher", values[::-1])):
            if len(ends) < 2 or (direction == "lower" and ends[0] <= 0):
                continue
            inner = ends[1:-1] or ends[1:]
            edge = _best(scores, of_value[ends[0]])
            inside = _best(scores, [chosen for value in inner for chosen in of_value[value]])
            gain, error = _gain(scores[edge], scores[inside])
            value = _next(ends[0], ends[1])
            if gain > error and value != ends[0]:
                found.append(Growth(name, direction, ends[0], value, gain, error))
    return found


def _whole(runs: pd.DataFrame) -> dict[Setting, np.ndarray]:
    """Scores by repeat and fold, -inf one fold alone runs, of the settings that were run in all of them; in order."""
    by_setting: dict[Setting, dict[tuple[int, int], float]] = {}
    for its_setting, *cell, score in zip(*(runs[name] for name in ("setting", "repeat", "fold", "score")), strict=True):
        by_setting.setdefault(its_setting, {})[cell[0], cell[1]] = -math.inf if math.isnan(score) else score
    cells = sorted(set().union(*by_setting.values()))
    return {
        its_setting: np.array([scores[cell] for cell in cells])
        for its_setting, scores in sorted(by_setting.items())
        if len(scores) == len(cells)
    }


def _best(scores: Mapping[Any, np.ndarray], settings: Sequence[Any]) -> Any:
    return max(settings, key=lambda chosen: np.round(scores[chosen].mean(), DIGITS))


def _gain(edge: np.ndarray, inside: np.ndarray) -> tuple[float, float]:
    """Mean difference and its standard error; (0, inf) where a run has failed, or there is but one fold."""
    if len(edge) < 2 or np.isinf(edge).any() or np.isinf(inside).any():
        return 0.0, math.inf
    difference = edge - inside
    return float(difference.mean()), float(difference.std(ddof=1) / math.sqrt(len(difference)))


def _next(edge: float, before: float) -> float:
    """The value after `edge`, at the ratio of the last step; twice the edge after a 0."""
    value = edge * edge / before if before > 0 else 2 * edge
    if isinstance(edge, Integral):
        return max(1, round(value))
    return float(f"{value:.3g}")
