"""Comparison of heads over several tasks by their ranks (Demšar 2006, JMLR 7:1-30)."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class OverTasks:
    """Ranks of heads over the tasks on which all of them have scores.

    kind: "sentence" or "token".
    tasks: tasks that count; left_out: those of the kind where a head has no score.
    ranks: head -> mean rank, 1 is best; ties share the mean of their ranks.
    friedman, p_friedman: Friedman's chi-squared (corrected for ties) and its p; NaN for two heads.
    critical_difference: two heads whose mean ranks differ by at least this much differ at alpha (Nemenyi).
    nemenyi: heads x heads, p of each pair.
    """

    kind: str
    tasks: list[str]
    left_out: list[str]
    ranks: pd.Series
    friedman: float
    p_friedman: float
    critical_difference: float
    nemenyi: pd.DataFrame
