"""Heads over several tasks by their ranks (Demšar 2006, JMLR 7:1-30)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from scipy import stats

from head2head.report.labels import SEPARATOR
from head2head.statistics.uncertainty import holm

FEWEST_TASKS = 8  # a test over fewer has hardly any power, and its normal approximation is poor
NOT_RANKED = frozenset({"wnli"})  # its validation set is built against its training set


@dataclass(frozen=True)
class Ranks:
    """Ranks of heads over the tasks on which all of them have scores.

    kind: "sentence" or "token".
    tasks: tasks that count; left_out: those of the kind where a head has no score.
    mean_ranks: head -> mean rank, 1 is best; ties share the mean of their ranks.
    reference: the head that the others are tested against; None where nothing is tested: on fewer than `FEWEST_TASKS`
        tasks (two ways of reading one task's pairs are one task), or where tasks have different references.
    p_holm: head -> p of its mean rank against the reference's, Holm-adjusted; empty where nothing is tested.
    """

    kind: str
    tasks: list[str]
    left_out: list[str]
    mean_ranks: pd.Series
    reference: str | None
    p_holm: pd.Series


def rank_heads(means: pd.DataFrame, kind: str, references: Mapping[str, str]) -> Ranks | None:
    """Rank the heads on each task.

    Args:
        means: tasks x heads, mean scores, NaN where there is none.
        references: task -> head.

    Returns:
        None with fewer than two heads, or fewer than two tasks with scores of all.
    """
    complete = means.dropna().round(12)
    tasks, heads = complete.shape
    if tasks < 2 or heads < 2:
        return None
    mean_ranks = complete.rank(axis=1, ascending=False).mean()
    left_out = [task for task in means.index if task not in complete.index]
    named = {references[task] for task in complete.index}
    separate = len({str(task).partition(SEPARATOR)[0] for task in complete.index})
    reference = next(iter(named)) if len(named) == 1 and separate >= FEWEST_TASKS and separate == tasks else None
    p = pd.Series(dtype=float)
    if reference is not None:
        # Section 3.2.2: the difference of two mean ranks over its standard error is about normal.
        z = (mean_ranks.drop(reference) - mean_ranks[reference]) / math.sqrt(heads * (heads + 1) / (6 * tasks))
        p = pd.Series(holm(2 * stats.norm.sf(z.abs())), index=z.index)
    return Ranks(kind, list(complete.index), left_out, mean_ranks, reference, p)
