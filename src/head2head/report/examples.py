"""Comparison of two heads example by example, from the predictions stored in run folders.

Seeds say how a head varies when it is trained again; this says how the comparison would vary with another
validation set of the same kind (paired bootstrap: Efron and Tibshirani 1993; Berg-Kirkpatrick et al. 2012,
EMNLP; McNemar 1947). Words of a sentence are not drawn independently, and the stored predictions do not say
where sentences end: token tasks are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from head2head.report.runs import Experiment
from head2head.run.result import Result

RESAMPLES = 1000
COLUMNS = "task reference head seed n difference ci_low ci_high only_head only_reference p_mcnemar".split()


def compare_examples(
    experiment: Experiment, references: Mapping[str, str], level: float
) -> tuple[pd.DataFrame, list[str]]:
    """The `examples` of an Analysis, and what had to be left out, in sentences."""
    runs: dict[tuple[str, str, int], Result] = {}
    for result, task, head in zip(experiment.results, experiment.labels.tasks, experiment.labels.heads, strict=True):
        if result.failed is None:
            runs[task, head, result.seed] = result
    rows, missing, tokens, stale = [], 0, set(), 0
    predictions: dict[str, pd.DataFrame | None] = {}
    for (task, head, seed), result in runs.items():
        other = runs.get((task, references[task], seed))
        if head == references[task] or other is None:
            continue
        if "pool" not in result.config.get("head", {}):
            tokens.add(task)
            continue
        for run in (result, other):
            if run.key not in predictions:
                predictions[run.key] = read_predictions(run)
        ours, theirs = predictions[result.key], predictions[other.key]
        if ours is None or theirs is None:
            missing += 1
        elif not _same_examples(ours, theirs) or not _belongs(ours, result) or not _belongs(theirs, other):
            stale += 1
        else:
            labels = result.config["task"].get("labels") or []
            row = compare_predictions(ours, theirs, labels, result.metric, level)
            rows.append({"task": task, "reference": references[task], "head": head, "seed": seed} | row)
    notes = []
    if missing:
        notes.append(f"Pairs of runs without stored predictions here, not compared by example: {missing}.")
    if stale:
        notes.append(f"Pairs of runs whose stored predictions do not give their scores, left out: {stale}.")
    if tokens:
        notes.append(f"Not compared by example: {', '.join(sorted(tokens))} (words of a sentence are not independent).")
    return pd.DataFrame(rows, columns=COLUMNS), notes


def read_predictions(result: Result) -> pd.DataFrame | None:
    """The predictions that a run stored, with `label`; None where they are gone."""
    path = Path(result.folder or "") / f"predictions-{result.split}.parquet"
    if not result.folder or not path.is_file():
        return None
    table = pd.read_parquet(path)
    return table if "label" in table else None


def compare_predictions(
    ours: pd.DataFrame, theirs: pd.DataFrame, labels: list[str], metric: str, level: float
) -> dict[str, float]:
    """Difference of a metric between two sets of predictions, with a bootstrap interval, and McNemar's exact test.

    Args:
        ours, theirs: `prediction` and `label` of the same examples in the same order.
        labels: label names; empty for regression.
    """
    observed, drawn = _classified(ours, theirs, labels, metric) if labels else _regressed(ours, theirs, metric)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    right, reference_right = (table["prediction"] == table["label"] for table in (ours, theirs))
    only, only_reference = int((right & ~reference_right).sum()), int((~right & reference_right).sum())
    apart = only + only_reference
    p = np.nan
    if labels:
        p = stats.binomtest(only, apart, 0.5).pvalue if apart else 1.0
    return {
        "n": len(ours),
        "difference": observed,
        "ci_low": low,
        "ci_high": high,
        "only_head": only if labels else np.nan,
        "only_reference": only_reference if labels else np.nan,
        "p_mcnemar": p,
    }


def _classified(ours: pd.DataFrame, theirs: pd.DataFrame, labels: list[str], metric: str) -> tuple[float, np.ndarray]:
    """The observed difference and its bootstrap draws.

    Examples with the same gold label and predictions are alike, so drawing examples with replacement is drawing
    the counts of (gold, ours, theirs) from a multinomial: the same distribution, thousands of times faster.
    """
    k = len(labels)
    number = {name: i for i, name in enumerate(labels)}
    gold, a, b = (column.map(number).to_numpy() for column in (ours["label"], ours["prediction"], theirs["prediction"]))
    kinds, counts = np.unique((gold * k + a) * k + b, return_counts=True)
    draws = np.random.default_rng(0).multinomial(counts.sum(), counts / counts.sum(), size=RESAMPLES)
    both = np.concatenate([counts[None], draws])
    gold, a, b = kinds // (k * k), kinds // k % k, kinds % k

    def scores(predicted: np.ndarray) -> np.ndarray:
        cells = np.eye(k * k)[gold * k + predicted]
        return CONFUSION[metric]((both @ cells).reshape(-1, k, k))

    difference = scores(a) - scores(b)
    return float(difference[0]), difference[1:]


def _regressed(ours: pd.DataFrame, theirs: pd.DataFrame, metric: str) -> tuple[float, np.ndarray]:
    n = len(ours)
    drawn = np.random.default_rng(0).integers(0, n, (RESAMPLES, n))
    columns = [column.to_numpy(dtype=float) for column in (ours["label"], ours["prediction"], theirs["prediction"])]
    whole, resampled = (
        correlation(metric, gold, a) - correlation(metric, gold, b)
        for gold, a, b in ([c[None] for c in columns], [c[drawn] for c in columns])
    )
    return float(whole[0]), resampled


def _same_examples(ours: pd.DataFrame, theirs: pd.DataFrame) -> bool:
    return ours["index"].equals(theirs["index"]) and ours["label"].equals(theirs["label"])


def _belongs(table: pd.DataFrame, result: Result) -> bool:
    """Whether predictions give the score that the run recorded: another run may have taken the folder."""
    labels = result.config["task"].get("labels") or []
    value = metric_of(table, labels, result.metric)
    return abs(value - float(result.score or 0.0)) < 1e-4


def metric_of(table: pd.DataFrame, labels: list[str], metric: str) -> float:
    """A metric of stored predictions."""
    if not labels:
        gold, values = (table[name].to_numpy(dtype=float)[None] for name in ("label", "prediction"))
        return float(correlation(metric, gold, values)[0])
    codes = pd.crosstab(table["label"], table["prediction"]).reindex(index=labels, columns=labels, fill_value=0)
    return float(CONFUSION[metric](codes.to_numpy(dtype=float)[None])[0])


def correlation(metric: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Row by row; 0 where either side is constant."""
    if metric == "spearman":
        x, y = stats.rankdata(x, axis=1), stats.rankdata(y, axis=1)
    x, y = (values - values.mean(axis=1, keepdims=True) for values in (x, y))
    spread = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    return np.divide((x * y).sum(axis=1), spread, out=np.zeros(len(x)), where=spread > 0)


def _f1_by_class(confusion: np.ndarray) -> np.ndarray:
    right = np.diagonal(confusion, axis1=1, axis2=2)
    with np.errstate(invalid="ignore"):
        return 2 * right / (confusion.sum(axis=1) + confusion.sum(axis=2))


def _matthews(confusion: np.ndarray) -> np.ndarray:
    gold, predicted = confusion.sum(axis=2), confusion.sum(axis=1)
    total = gold.sum(axis=1)
    covariance = np.trace(confusion, axis1=1, axis2=2) * total - (gold * predicted).sum(axis=1)
    spread = (total**2 - (gold**2).sum(axis=1)) * (total**2 - (predicted**2).sum(axis=1))
    return np.divide(covariance, np.sqrt(spread), out=np.zeros(len(total)), where=spread > 0)


# The metrics of head2head.metrics for many (B, K, K) confusion matrices at once, gold in rows.
CONFUSION: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "accuracy": lambda c: np.trace(c, axis1=1, axis2=2) / c.sum(axis=(1, 2)),
    "f1": lambda c: np.nan_to_num(_f1_by_class(c)[:, 1]),
    "macro_f1": lambda c: np.nanmean(_f1_by_class(c), axis=1),
    "mcc": _matthews,
}
