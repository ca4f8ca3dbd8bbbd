"""The metrics of `head2head.metrics`, for many resampled splits at once and without torch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import stats


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
