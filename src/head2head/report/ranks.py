"""Comparison of heads over several tasks by their ranks (Demšar 2006, JMLR 7:1-30)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats


@dataclass(frozen=True)
class Ranks:
    """Ranks of heads over the tasks on which all of them have scores.

    kind: "sentence" or "token".
    tasks: tasks that count; left_out: those of the kind where a head has no score.
    mean_ranks: head -> mean rank, 1 is best; ties share the mean of their ranks.
    friedman, p_friedman: Friedman's chi-squared (corrected for ties) and its p; NaN for two heads, and
        where all scores are tied.
    critical_difference: two heads whose mean ranks differ by at least this much differ at alpha (Nemenyi).
    nemenyi: heads x heads, p of each pair.
    """

    kind: str
    tasks: list[str]
    left_out: list[str]
    mean_ranks: pd.Series
    friedman: float
    p_friedman: float
    critical_difference: float
    nemenyi: pd.DataFrame


def rank_heads(means: pd.DataFrame, kind: str, alpha: float) -> Ranks | None:
    """Rank the heads on each task and compare the mean ranks.

    Args:
        means: tasks x heads, mean scores, NaN where there is none.

    Returns:
        None with fewer than two heads, or fewer than two tasks with scores of all.
    """
    complete = means.dropna().round(12)
    tasks, heads = complete.shape
    if tasks < 2 or heads < 2:
        return None
    from scikit_posthocs import posthoc_nemenyi_friedman  # imports matplotlib and seaborn

    friedman = p_friedman = math.nan
    if heads > 2 and (complete.nunique(axis=1) > 1).any():
        friedman, p_friedman = stats.friedmanchisquare(*complete.to_numpy().T)
    return Ranks(
        kind=kind,
        tasks=list(complete.index),
        left_out=[task for task in means.index if task not in complete.index],
        mean_ranks=complete.rank(axis=1, ascending=False).mean(),
        friedman=float(friedman),
        p_friedman=float(p_friedman),
        critical_difference=critical_difference(heads, tasks, alpha),
        nemenyi=pd.DataFrame(
            posthoc_nemenyi_friedman(complete.to_numpy()).to_numpy(), index=complete.columns, columns=complete.columns
        ),
    )


def critical_difference(heads: int, tasks: int, alpha: float) -> float:
    """Nemenyi's critical difference of mean ranks: q sqrt(k (k + 1) / 6 N) (Demšar 2006, section 3.2.2).

    q is the Studentized range quantile for k groups and infinite degrees of freedom, over sqrt 2.
    """
    q = stats.studentized_range.ppf(1 - alpha, heads, np.inf) / math.sqrt(2)
    return float(q * math.sqrt(heads * (heads + 1) / (6 * tasks)))
