"""The other tables: differences within a task, ranks over tasks, examples, published scores."""

from __future__ import annotations

import math
from typing import Any

from head2head.report.analysis import Analysis
from head2head.report.over_tasks import OverTasks
from head2head.report.power import FEWEST
from head2head.report.table import MINUS, NONE, Cell, Table, p_value, percent, seeds, signed


def comparisons(analysis: Analysis) -> Table:
    """Each comparison within a task: difference, interval, p, seeds needed."""
    level = f"{100 * (1 - analysis.options.alpha):g}"
    rows = []
    for row in analysis.comparisons.itertuples():
        texts = [row.task, f"{row.head} {MINUS} {row.reference}", str(row.n), signed(row.difference) + _interval(row)]
        cells = [Cell(text) for text in (*texts, p_value(row.p))]
        cells.append(Cell(p_value(row.p_holm), bold=bool(row.significant)))
        rows.append([*cells, Cell(seeds(row.seeds_needed))])
    return Table(
        caption="Differences within a task, in percentage points, paired by seed.",
        columns=[
            "task",
            "comparison",
            "pairs",
            f"difference [{level} % CI]",
            "p",
            "p (Holm)",
            "seeds for 80 % power",
        ],
        rows=rows,
        words=2,
        legend=[
            "CI: bootstrap (BCa) of the mean difference. Seeds for 80 % power: paired t test at the corrected level, "
            f"for a difference of the size observed; {NONE} where there is none, or fewer than {FEWEST} pairs."
        ],
    )


def _interval(row: Any) -> str:
    """Equal differences have no spread to draw from: an interval of one point would look like certainty."""
    if math.isnan(row.ci_low):
        return ""
    if row.ci_high - row.ci_low < 1e-9:
        return " in every pair"
    return f" [{signed(row.ci_low)}, {signed(row.ci_high)}]"


def published(analysis: Analysis) -> Table | None:
    """Published scores beside ours."""
    if analysis.published is None:
        return None
    rows = []
    for row in analysis.published.itertuples():
        where = ", ".join(text for text in (row.model, row.setting) if text)
        theirs = percent(row.score) + f" ({row.split})" * bool(row.split)
        ours = percent(row.ours) + f" ({row.our_split}, n={row.n})" * bool(row.our_split)
        texts = [row.task, row.metric, row.head, where, row.source, theirs, ours, signed(row.difference)]
        rows.append([Cell(text or NONE) for text in texts])
    return Table(
        caption="Published scores beside ours, in %; difference: ours minus published.",
        columns=["task", "metric", "our head", "their model", "source", "published", "ours", "difference"],
        rows=rows,
        words=5,
    )


def examples(analysis: Analysis) -> Table | None:
    """Comparisons by example, summed up over seeds."""
    if analysis.examples is None or analysis.examples.empty:
        return None
    alpha, rows = analysis.options.alpha, []
    for (task, reference, head), runs in analysis.examples.groupby(["task", "reference", "head"], sort=False):
        above, below = (runs["ci_low"] > 0).sum(), (runs["ci_high"] < 0).sum()
        tested = runs["p_mcnemar"].dropna()
        mcnemar = f"{(tested < alpha).sum()} of {len(tested)}" if len(tested) else NONE
        width = (runs["ci_high"] - runs["ci_low"]).mean() / 2
        texts = [
            task,
            f"{head} {MINUS} {reference}",
            str(len(runs)),
            str(runs["n"].iloc[0]),
            signed(runs["difference"].mean()),
        ]
        rows.append([Cell(text) for text in (*texts, f"± {100 * width:.2f}", f"{above} / {below}", mcnemar)])
    columns = ["task", "comparison", "seeds", "examples", "mean difference", "half a CI", "CI above / below 0"]
    return Table(
        caption="Differences by example, in percentage points: would another validation set show them?",
        columns=[*columns, f"McNemar p < {alpha:g}"],
        rows=rows,
        words=2,
        legend=["Each seed by itself: paired bootstrap over examples, McNemar's exact test; not corrected."],
    )


def ranks(over: OverTasks, alpha: float) -> Table | None:
    """Which heads' mean ranks differ; None where none do."""
    if over.p_friedman >= alpha:
        return None
    rows = []
    for head, rank in over.ranks.sort_values(kind="stable").items():
        p = over.nemenyi.loc[head]
        worse = [
            f"{other} ({p_value(p[other])})"
            for other in over.ranks.index
            if p[other] < alpha and over.ranks[other] > rank
        ]
        rows.append([Cell(str(head)), Cell(f"{rank:.2f}"), Cell(", ".join(worse) or NONE)])
    if all(row[-1].lead == NONE for row in rows):
        return None
    return Table(
        caption=f"Mean ranks of {over.kind} heads over {len(over.tasks)} tasks (1 is best).",
        columns=["head", "mean rank", "significantly better than (p of Nemenyi's test)"],
        rows=rows,
        words=3,
        legend=[f"Critical difference of mean ranks at {alpha:g}: {over.critical_difference:.2f}."],
    )
