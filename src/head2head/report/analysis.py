"""Everything that a report says, computed; tables, plots and pages only format it."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from head2head.report.over_tasks import OverTasks
from head2head.report.runs import Experiment


@dataclass(frozen=True)
class Options:
    """What can be asked of a report.

    reference: label of the head that the others are compared with; None takes `pooler`, else `mean`, else
        one that pools so (`embeddings-mean`), else the first in the order of tables, among those that a task has.
    all_pairs: compare every pair of a task instead.
    test: "permutation" or "wilcoxon".
    epoch: "last", or "best" on the validation data, which flatters.
    alpha: level of all tests and of the critical difference; intervals cover 1 - alpha.
    examples: compare stored predictions too.
    """

    reference: str | None = None
    all_pairs: bool = False
    test: str = "permutation"
    epoch: str = "last"
    alpha: float = 0.05
    examples: bool = False


@dataclass(frozen=True)
class Analysis:
    """The numbers of a report. Scores are fractions, as in results; formatting makes them per cent.

    tasks, heads: labels in the order of tables.
    references: task -> head that the others are compared with.
    cells: one row a task and head, also where there is no run. task, head, metric, split; n (finished
        runs), failed, stopped, collapsed, not_above_baseline (counts; the runs that were
        stopped early or collapsed have scores, which count); mean, std (n - 1 in the denominator; NaN for
        n = 1), ci_low, ci_high (bootstrap; NaN for n = 1), baseline; rank (of the mean in the task, 1 is
        best), best (has the task's highest mean), mark ("above" or "below" the reference, else "").
        Numbers are NaN where n = 0.
    comparisons: one row a comparison, paired by seed. task, reference, head, n (common seeds), difference
        (head minus reference), ci_low, ci_high (of the mean difference), p (two-sided), exact (all sign
        flips were counted), family (size m), p_holm, significant (p_holm < alpha), floor (smallest p_holm
        that the pairs of the task can give: Holm's correction of 2 / 2^n), seeds_needed (for 80 % power at the
        observed effect; NaN where no number would do).
    over_tasks: one entry for sentence heads and one for token heads, where there are at least two tasks
        and two heads with all their scores.
    examples: None unless asked for; else one row a task, head and seed whose predictions are stored.
        task, reference, head, seed, n (examples), difference, ci_low, ci_high (bootstrap over examples),
        only_head, only_reference (examples that only one gets right), p_mcnemar (NaN for regression).
    published: None without published.csv; else its rows with ours (mean) and difference (ours minus
        published), both as fractions, `head` filled in; NaN where we have no such score.
    cautions: what the data cannot show, in sentences.
    footnotes: sentences on the runs: devices, threads, commits, encoders.
    """

    experiment: Experiment
    options: Options
    tasks: list[str]
    heads: list[str]
    references: dict[str, str]
    cells: pd.DataFrame
    comparisons: pd.DataFrame
    over_tasks: tuple[OverTasks, ...]
    examples: pd.DataFrame | None
    published: pd.DataFrame | None
    cautions: list[str]
    footnotes: list[str]
