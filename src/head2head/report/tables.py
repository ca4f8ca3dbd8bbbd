"""The tables of a report: scores, differences within a task, ranks over tasks, examples, published scores."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from head2head.report.analysis import Analysis
from head2head.report.formats import MINUS, NONE, Cell, Table, p_value, percent, seeds, signed
from head2head.report.ranks import Ranks
from head2head.report.statistics import FEWEST

MARKS = {"above": "†", "below": "‡", "": ""}


def scores(analysis: Analysis) -> Table:
    """Heads x tasks: mean ± standard deviation over seeds, with all that a reader must know of each cell."""
    usual = usual_seeds(analysis)
    cells = {(cell.task, cell.head): cell for cell in analysis.cells.itertuples()}
    ranks = {head: rank for over in analysis.ranks for head, rank in over.mean_ranks.items()}
    first = {task: cells[task, analysis.heads[0]] for task in analysis.tasks}
    rows = []
    for head in analysis.heads:
        row = [Cell(head), *(score(cells[task, head], usual) for task in analysis.tasks)]
        rows.append(row + [Cell(f"{ranks[head]:.2f}" if head in ranks else NONE)] * bool(ranks))
    baseline = [Cell(percent(first[task].baseline)) for task in analysis.tasks]
    rows.append([Cell("majority baseline"), *baseline, *[Cell(NONE)] * bool(ranks)])
    epoch = "last epoch" if analysis.options.epoch == "last" else "best epoch, chosen on the same data: this flatters"
    return Table(
        caption=f"{analysis.experiment.name}: mean ± standard deviation over {usual} seed{'s' * (usual != 1)}, in % "
        f"({epoch}).",
        columns=["head", *(heading(first[task]) for task in analysis.tasks), *["mean rank"] * bool(ranks)],
        rows=rows,
        legend=legend(analysis, usual),
    )


def score(cell: Any, usual: int) -> Cell:
    """One cell: `88.1 ± 0.4† (n=3) (1 collapsed) (1 stopped early) (1 failed)`, `3 failed`, or a dash."""
    if not cell.n:
        return Cell(f"{cell.failed} failed" if cell.failed else NONE)
    spread = "" if math.isnan(cell.std) else f" ± {percent(cell.std)}"
    counts = [(cell.collapsed, "collapsed"), (cell.stopped, "stopped early"), (cell.failed, "failed")]
    rest = spread + MARKS[cell.mark] + f" (n={cell.n})" * (cell.n != usual)
    return Cell(percent(cell.mean), rest + "".join(f" ({n} {what})" for n, what in counts if n), bool(cell.best))


def usual_seeds(analysis: Analysis) -> int:
    """The number of finished runs that most cells have; of equals the largest."""
    n = analysis.cells.loc[analysis.cells["n"] > 0, "n"]
    return int(n.mode().max()) if len(n) else 0


def legend(analysis: Analysis, usual: int) -> list[str]:
    """What the signs in the table of scores mean, as far as they occur."""
    options, cells = analysis.options, analysis.cells
    name = "sign-flip permutation" if options.test == "permutation" else "Wilcoxon signed-rank"
    family = "all pairs" if options.all_pairs else "the others against the reference"
    text = (
        f"Reference: {references(analysis)}. † significantly above it, ‡ below: two-sided {name} test paired by "
        f"seed, Holm-corrected within each task ({family}), p < {options.alpha:g}."
    )
    notes = ["Bold: the best mean.", text]
    if (cells["n"] != usual).any():
        notes.append(f"{NONE}: no run. n: finished runs, where they are not {usual}.")
    if cells["collapsed"].any():
        notes.append("Collapsed: the predictions are constant, as the majority baseline's are; counted in the mean.")
    if cells["stopped"].any():
        notes.append("Stopped early: with the score it had by then; counted in the mean.")
    if cells["failed"].any():
        notes.append("Failed: no score; not in the mean.")
    low = cells[cells["not_above_baseline"] > cells["collapsed"]]
    if len(low):
        names = [f"{cell.head} on {cell.task} ({cell.not_above_baseline} of {cell.n})" for cell in low.itertuples()]
        too = ", collapsed ones among them" if low["collapsed"].any() else ""
        notes.append(f"Runs not above the majority baseline{too}: {', '.join(names)}.")
    return notes


def references(analysis: Analysis) -> str:
    """`pooler`, or `pooler (conll2003: ner)`: the usual one, and where it is another."""
    compared = set(analysis.comparisons["task"])
    of_task = {task: head for task, head in analysis.references.items() if task in compared} or analysis.references
    usual = Counter(of_task.values()).most_common(1)[0][0]
    others = ", ".join(f"{task}: {head}" for task, head in of_task.items() if head != usual)
    return f"{usual} ({others})" if others else usual


def heading(cell: Any) -> str:
    """`rte (accuracy)`; the split as well where it is not called validation."""
    return (
        f"{cell.task} ({cell.metric})" if cell.split == "validation" else f"{cell.task} ({cell.metric}, {cell.split})"
    )


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


def ranks(over: Ranks, alpha: float) -> Table | None:
    """Which heads' mean ranks differ; None where none do."""
    if over.p_friedman >= alpha:
        return None
    rows = []
    for head, rank in over.mean_ranks.sort_values(kind="stable").items():
        p = over.nemenyi.loc[head]
        worse = [
            f"{other} ({p_value(p[other])})"
            for other in over.mean_ranks.index
            if p[other] < alpha and over.mean_ranks[other] > rank
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
