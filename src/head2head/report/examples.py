"""Comparison of two heads example by example, from the predictions stored in run folders.

Seeds say how a head varies when it is trained again; this says how the comparison would vary with another
validation set of the same kind (paired bootstrap: Efron and Tibshirani 1993; Berg-Kirkpatrick et al. 2012,
EMNLP; McNemar 1947). Words of a sentence are not drawn independently, and the stored predictions do not say
where sentences end: token tasks are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from head2head.report.confusion import CONFUSION, correlation, metric_of
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
