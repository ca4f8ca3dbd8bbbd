"""What each cluster of examples contributes to a score: jackknife influences, many runs at once.

A score of N examples is a function of sums over them (counts, or moments), so that the score without one cluster
costs one subtraction. Spearman's correlation is not, because ranks change: its influence function stands in,
which agrees with the jackknife to the order of 1 / N.

The influences u_c of a score are scaled so that the sum of their squares is the jackknife's variance of the score
(Efron and Stein 1981, Annals of Statistics): u_c = sqrt((G - 1) / G) (mean_c' T_(c') - T_(c)), T_(c) the score
without cluster c of G. For a mean of N examples, each its own cluster, that is s^2 / N.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

Score = Callable[[np.ndarray], np.ndarray]


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a / b, and 0 where b is 0, as head2head.metrics has it."""
    return np.divide(a, b, out=np.zeros(np.broadcast(a, b).shape), where=b > 0)


def class_sums(gold: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """Per example: right predictions, predictions and gold labels of each class.

    Args:
        gold, predictions: (..., N) class ids from 0 to K - 1.
        classes: K.

    Returns:
        (..., N, 3 K).
    """
    wanted, found = (labels[..., None] == np.arange(classes) for labels in (gold, predictions))
    return np.concatenate([wanted & found, found, wanted], axis=-1).astype(float)


def entity_sums(counts: np.ndarray) -> np.ndarray:
    """(..., N, 3) true positives, false positives, false negatives of N sentences -> right, predicted, gold."""
    right, wrong, missed = np.moveaxis(np.asarray(counts, dtype=float), -1, 0)
    return np.stack([right, right + wrong, right + missed], axis=-1)


def moments(gold: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """(..., N) values -> (..., N, 6): 1, x, y, xx, yy, xy, both taken from their means first for precision."""
    x, y = (values - values.mean(axis=-1, keepdims=True) for values in (predictions, gold))
    return np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=-1)


def accuracy(sums: np.ndarray) -> np.ndarray:
    right, _, gold = _thirds(sums)
    return _ratio(right.sum(axis=-1), gold.sum(axis=-1))


def f1(sums: np.ndarray) -> np.ndarray:
    """F1 of the second class, the positive one."""
    right, found, gold = (part[..., 1] for part in _thirds(sums))
    return _ratio(2 * right, found + gold)


def macro_f1(sums: np.ndarray) -> np.ndarray:
    """Mean F1 of the classes that occur, in gold or in predictions."""
    right, found, gold = _thirds(sums)
    return _ratio(_ratio(2 * right, found + gold).sum(axis=-1), (found + gold > 0).sum(axis=-1))


def matthews(sums: np.ndarray) -> np.ndarray:
    """Matthews correlation for K classes (Gorodkin 2004); 0 where either side is constant."""
    right, found, gold = _thirds(sums)
    n = gold.sum(axis=-1)
    covariance = right.sum(axis=-1) * n - (gold * found).sum(axis=-1)
    return _ratio(covariance, np.sqrt((n**2 - (gold**2).sum(axis=-1)) * (n**2 - (found**2).sum(axis=-1))))


def entity_f1(sums: np.ndarray) -> np.ndarray:
    """F1 over all entities (micro)."""
    right, found, gold = np.moveaxis(sums, -1, 0)
    return _ratio(2 * right, found + gold)


def pearson(sums: np.ndarray) -> np.ndarray:
    """Pearson's correlation; 0 where either side is constant."""
    n, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    spread_x, spread_y = np.maximum(n * xx - x * x, 0), np.maximum(n * yy - y * y, 0)
    spread = np.where((spread_x <= 1e-12 * n * xx) | (spread_y <= 1e-12 * n * yy), 0, spread_x * spread_y)
    return _ratio(n * xy - x * y, np.sqrt(spread))


def _thirds(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    classes = sums.shape[-1] // 3
    return sums[..., :classes], sums[..., classes : 2 * classes], sums[..., 2 * classes :]


OF_CLASSES: dict[str, Score] = {"accuracy": accuracy, "f1": f1, "macro_f1": macro_f1, "mcc": matthews}


def by_cluster(values: np.ndarray, clusters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums over the rows of each cluster.

    Args:
        values: (N, S).
        clusters: (N,) ids.

    Returns:
        (G,) the ids that occur, sorted; (G, S).
    """
    order = np.argsort(clusters, kind="stable")
    ids, first = np.unique(clusters[order], return_index=True)
    return ids, np.add.reduceat(values[order], first, axis=0)


def delete_one(score: Score, sums: np.ndarray) -> np.ndarray:
    """Influences of clusters by leaving each out.

    Args:
        score: (..., S) -> (...).
        sums: (..., G, S) sums over each cluster.

    Returns:
        (..., G); 0 for a single cluster, of which nothing can be said.
    """
    clusters = sums.shape[-2]
    without = score(sums.sum(axis=-2, keepdims=True) - sums)
    return np.sqrt((clusters - 1) / clusters) * (without.mean(axis=-1, keepdims=True) - without)


def spearman(gold: np.ndarray, predictions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Spearman's correlation and the influence function of each example, ties included.

    With A and B the mid-distribution functions (ranks over N, less a half) of both sides and C = mean(A B), an
    example moves C by its own product and by shifting the ranks of all others; so too the variances of A and B
    (cf. Croux and Dehon 2010, Statistical Methods and Applications).

    Args:
        gold, predictions: (..., N).

    Returns:
        (...) rho; (..., N) the influences over N, which sum to 0. Both are 0 where either side is constant.
    """
    n = gold.shape[-1]
    a, b = ((stats.rankdata(values, axis=-1) - 0.5) / n - 0.5 for values in (predictions, gold))
    change = a * b + _shifted(predictions, b) + _shifted(gold, a)
    change_a, change_b = a * a + 2 * _shifted(predictions, a), b * b + 2 * _shifted(gold, b)
    covariance, var_a, var_b = ((x * y).mean(axis=-1, keepdims=True) for x, y in ((a, b), (a, a), (b, b)))
    varies = (var_a > 0) & (var_b > 0)
    scale = np.where(varies, np.sqrt(var_a * var_b), 1)
    rho = np.where(varies, covariance / scale, 0)
    relative_a, relative_b = change_a / np.where(varies, var_a, 1), change_b / np.where(varies, var_b, 1)
    influence = np.where(varies, change / scale - rho / 2 * (relative_a + relative_b), 0)
    return rho[..., 0], (influence - influence.mean(axis=-1, keepdims=True)) / n


def _shifted(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """For each i, the mean over j of weights[j] x (1 where values[j] > values[i], a half where they are equal)."""
    sums = np.cumsum(np.take_along_axis(weights, np.argsort(values, axis=-1), axis=-1), axis=-1)
    sums = np.concatenate([np.zeros_like(sums[..., :1]), sums], axis=-1)
    below = stats.rankdata(values, method="min", axis=-1).astype(int) - 1
    upto = stats.rankdata(values, method="max", axis=-1).astype(int)
    halves = (np.take_along_axis(sums, below, axis=-1) + np.take_along_axis(sums, upto, axis=-1)) / 2
    return (sums[..., -1:] - halves) / values.shape[-1]


class Run(NamedTuple):
    """What the heads answered in one run (a fold of a repeat, or a seed).

    examples, clusters: (N,) ids. Examples occur once in a run; a cluster holds what is not independent.
    gold: (N,) class ids or values; None where predictions are counts of entities.
    predictions: by head (N,) class ids or values, or (N, 3) true positives, false positives and false negatives.
    """

    examples: np.ndarray
    clusters: np.ndarray
    gold: np.ndarray | None
    predictions: dict[str, np.ndarray]


class Influences(NamedTuple):
    """Scores (H, R) of heads by run, and influences (H, R, G) of clusters on them, 0 where a run lacks the cluster."""

    heads: tuple[str, ...]
    scores: np.ndarray
    influence: np.ndarray


def influences(runs: Sequence[Run], metric: str, classes: int = 0) -> Influences:
    """Scores and influences of every head in every run.

    Args:
        metric: a key of `OF_CLASSES`, or pearson, spearman, entity_f1.
        classes: number of classes, for metrics of classes.

    Raises:
        KeyError: no such metric.
        ValueError: runs of different heads, an example twice in a run, or one cluster in all.
    """
    heads = tuple(runs[0].predictions)
    clusters = np.unique(np.concatenate([run.clusters for run in runs]))
    if len(clusters) < 2:
        raise ValueError("the variance over examples takes two clusters at least")
    scores, influence = np.empty((len(heads), len(runs))), np.zeros((len(heads), len(runs), len(clusters)))
    for r, run in enumerate(runs):
        if set(run.predictions) != set(heads):
            raise ValueError(f"run {r} has heads {sorted(run.predictions)}, the first has {sorted(heads)}")
        if len(np.unique(run.examples)) < len(run.examples):
            raise ValueError(f"run {r} predicts an example twice")
        for h, head in enumerate(heads):
            scores[h, r], ids, u = _of_run(metric, run, run.predictions[head], classes)
            influence[h, r, np.searchsorted(clusters, ids)] = u
    return Influences(heads, scores, influence)


def _of_run(metric: str, run: Run, predictions: np.ndarray, classes: int) -> tuple[float, np.ndarray, np.ndarray]:
    """The score, the ids of clusters, and their influences."""
    score: Score
    if metric == "entity_f1":
        sums, score = entity_sums(predictions), entity_f1
    elif metric == "spearman":
        rho, u = spearman(np.asarray(run.gold), predictions)
        ids, summed = by_cluster(u[:, None], run.clusters)
        return float(rho), ids, summed[:, 0] * np.sqrt(len(ids) / max(len(ids) - 1, 1))
    elif metric == "pearson":
        sums, score = moments(np.asarray(run.gold, dtype=float), predictions.astype(float)), pearson
    else:
        score = OF_CLASSES[metric]
        sums = class_sums(np.asarray(run.gold), predictions, classes)
    ids, sums = by_cluster(sums, run.clusters)
    return float(score(sums.sum(axis=0))), ids, delete_one(score, sums)


def runs_of(frame: pd.DataFrame) -> list[Run]:
    """Predictions in long form, one row an answer -> runs, in the order of their numbers.

    Args:
        frame: columns run, head, example, cluster, and gold, prediction or tp, fp, fn.

    Raises:
        ValueError: heads of a run that answered different examples.
    """
    runs = []
    for number, rows in frame.groupby("run", sort=True):
        by_head = {str(head): part.sort_values("example") for head, part in rows.groupby("head", sort=False)}
        first = next(iter(by_head.values()))
        examples, entities = first["example"].to_numpy(), "tp" in frame
        if any(not np.array_equal(part["example"], examples) for part in by_head.values()):
            raise ValueError(f"the heads of run {number} answered different examples")
        answers = ["tp", "fp", "fn"] if entities else "prediction"
        gold = None if entities else first["gold"].to_numpy()
        predictions = {head: part[answers].to_numpy() for head, part in by_head.items()}
        runs.append(Run(examples, first["cluster"].to_numpy(), gold, predictions))
    return runs
