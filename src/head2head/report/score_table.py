"""The main table: heads x tasks."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from head2head.report.analysis import Analysis
from head2head.report.table import NONE, Cell, Table, percent

MARKS = {"above": "†", "below": "‡", "": ""}


def scores(analysis: Analysis) -> Table:
    """Heads x tasks: mean ± standard deviation over seeds, with all that a reader must know of each cell."""
    usual = usual_seeds(analysis)
    cells = {(cell.task, cell.head): cell for cell in analysis.cells.itertuples()}
    ranks = {head: rank for over in analysis.over_tasks for head, rank in over.ranks.items()}
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
