"""The tables of a report: scores, chosen settings, differences within a task, ranks over tasks, published scores."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pandas as pd

from head2head.report.analysis import Analysis, against, leader_of
from head2head.report.formats import MINUS, NONE, Cell, Table, p_value, percent, points, signed
from head2head.report.ranks import Ranks
from head2head.statistics.choice import Setting
from head2head.statistics.uncertainty import FEWEST_RUNS

MARKS = {"above": "†", "below": "‡", "": ""}
# Column of the cells -> what stands in a cell, the letter where there is no room, and what it means.
FLAGS = {
    "collapsed": ("collapsed", "c", "the predictions are constant, as the majority baseline's are"),
    "low": ("≤ baseline", "b", "not above the majority baseline"),
    "not_converged": ("not converged", "t", "training longer may change the score"),
    "stopped": ("stopped early", "s", "with the score it had by then"),
    "failed": ("failed", "f", "no score; not in the mean"),
}
EDGE, INCOMPLETE = ("edge", "e"), ("incomplete", "i")


def scores(analysis: Analysis, short: bool = False) -> Table:
    """Heads x tasks: mean and interval, with all that a reader must know of each cell.

    Args:
        short: say it in marks (`2b`), which the legend explains, so that many tasks fit side by side.
    """
    usual = usual_runs(analysis)
    cells = {(cell.task, cell.head): cell for cell in analysis.cells.itertuples()}
    ranks = {head: rank for over in analysis.ranks for head, rank in over.mean_ranks.items()}
    first = {task: cells[task, analysis.heads[0]] for task in analysis.tasks}
    rows = []
    for head in analysis.heads:
        row = [Cell(head), *(score(cells[task, head], usual, short) for task in analysis.tasks)]
        rows.append(row + [Cell(f"{ranks[head]:.2f}" if head in ranks else NONE)] * bool(ranks))
    for name, texts in (
        ("majority baseline", [percent(first[task].baseline) for task in analysis.tasks]),
        ("n", [counted(analysis, task, usual) for task in analysis.tasks]),
    ):
        rows.append([Cell(text) for text in (name, *texts, *[NONE] * bool(ranks))])
    return Table(
        caption=f"{analysis.experiment.name}: {_what(analysis)}, in %.",
        columns=["head", *(heading(first[task]) for task in analysis.tasks), *["mean rank"] * bool(ranks)],
        rows=rows,
        legend=legend(analysis, usual, short),
    )


def _what(analysis: Analysis) -> str:
    """What a cell shows."""
    cells, level = analysis.cells[analysis.cells["n"] > 0], f"{100 * (1 - analysis.options.alpha):g} %"
    with_interval = cells["ci_low"].notna()
    over = "folds and repeats" if (analysis.experiment.frame["fold"] >= 0).any() else "runs"
    mean = f"mean over {over}"
    if with_interval.all():
        return f"{mean} [{level} interval]"
    return f"{mean} ± standard deviation" + (f", or [{level} interval]" if with_interval.any() else "")


def score(cell: Any, usual: int, short: bool = False) -> Cell:
    """One cell: `68.2 [66.1, 70.3]† (n=3) (1 collapsed)`, `88.1 ± 0.4` without predictions, `3 failed`, or a dash."""
    if not cell.n:
        return Cell(f"{cell.failed} failed" if cell.failed else NONE)
    number, best = percent(cell.mean), bool(cell.best)
    mark, fewer = MARKS[cell.mark], cell.n != usual
    if short:
        found = tuple(f"{count or ''}{letter}" for count, _, letter in flagged(cell))
        return Cell(number, spread(cell), best, (mark,) * bool(mark) + (f"n={cell.n}",) * fewer + found)
    return Cell(number, spread(cell) + mark + f" (n={cell.n})" * fewer + flags(cell), best)


def spread(cell: Any) -> str:
    """The interval, or without predictions the standard deviation over runs."""
    if not math.isnan(cell.ci_low):
        return f" [{percent(cell.ci_low)}, {percent(cell.ci_high)}]"
    return "" if math.isnan(cell.std) else f" ± {percent(cell.std)}"


def flags(cell: Any) -> str:
    """What must stand beside a score: ` (2 collapsed) (edge)`."""
    return "".join(f" ({count} {word})" if count else f" ({word})" for count, word, _ in flagged(cell))


def flagged(cell: Any) -> list[tuple[int, str, str]]:
    """What must stand beside a score: how many runs it is true of (0 where it is true of the cell), word and letter."""
    low = cell.not_above_baseline if cell.not_above_baseline > cell.collapsed else 0
    counts = {name: low if name == "low" else getattr(cell, name) for name in FLAGS}
    found = [(int(n), *FLAGS[name][:2]) for name, n in counts.items() if n]
    alone = ((cell.gains, FLAGS["not_converged"]), (cell.edge, EDGE), (cell.incomplete, INCOMPLETE))
    return found + [(0, *words[:2]) for there, words in alone if there]


def usual_runs(analysis: Analysis) -> int:
    """The number of finished runs that most cells have; of equals the largest."""
    n = analysis.cells.loc[analysis.cells["n"] > 0, "n"]
    return int(n.mode().max()) if len(n) else 0


def counted(analysis: Analysis, task: str, usual: int) -> str:
    """`2,490 rows, 10 runs`: different rows that each head predicted, where predictions are there."""
    cells = analysis.cells[analysis.cells["task"] == task]
    rows = int(cells["examples"].max())
    return (f"{rows:,} rows, " if rows else "") + f"{usual} run{'s' * (usual != 1)}"


def legend(analysis: Analysis, usual: int, short: bool = False) -> list[str]:
    """What the signs in the table of scores mean, as far as they occur."""
    options, cells = analysis.options, analysis.cells
    notes = ["Bold: the best mean."]
    if analysis.comparisons["p_holm"].notna().any():
        notes.append(
            f"Reference: {references(analysis)}. † above it, ‡ below: t test of the difference with its variance over "
            f"examples and runs, Holm-adjusted within each task, p < {options.alpha:g}."
        )
    if (cells["n"] != usual).any():
        notes.append(f"{NONE}: no run. n in a cell: finished runs, where they are not {usual}.")
    for name, (word, letter, long) in FLAGS.items():
        column = cells["not_above_baseline"] - cells["collapsed"] if name == "low" else cells[name]
        if (column > 0).any() or (name == "not_converged" and cells["gains"].any()):
            notes.append(f"{_sign(word, letter, short)}: {long}.")
    if (cells["edge"] != "").any():
        notes.append(
            f"{_sign(*EDGE, short)}: the best setting stands at the edge of the grid, by more than a standard error."
        )
    if cells["incomplete"].any():
        notes.append(f"{_sign(*INCOMPLETE, short)}: not every setting was run in every fold.")
    if short and any(count for cell in cells.itertuples() if cell.n for count, *_ in flagged(cell)):
        notes.append("A number before a letter: how many of the cell's runs.")
    return notes


def _sign(word: str, letter: str, short: bool) -> str:
    """What stands in cells, as the legend explains it."""
    return f"{letter} ({word})" if short else word


def references(analysis: Analysis) -> str:
    """`pooler`, or `pooler (conll2003: ner)`: the usual one, and where it is another."""
    compared = set(analysis.comparisons["task"])
    of_task = {task: head for task, head in analysis.references.items() if task in compared} or analysis.references
    usual = Counter(of_task.values()).most_common(1)[0][0]
    others = ", ".join(f"{task}: {head}" for task, head in of_task.items() if head != usual)
    return f"{usual} ({others})" if others else usual


def heading(cell: Any) -> str:
    """`rte (accuracy)`; the split as well where it is neither called validation nor a fold."""
    split = "" if cell.split in ("validation", "fold") else f", {cell.split}"
    return f"{cell.task} ({cell.metric}{split})"


def official(analysis: Analysis) -> Table | None:
    """The same runs on the splits that come with the tasks."""
    table = analysis.official
    if table.empty:
        return None
    columns = list(dict.fromkeys(zip(table["task"], table["split"], table["metric"], strict=True)))
    cells = {(row.task, row.split, row.head): row for row in table.itertuples()}
    rows = []
    for head in (head for head in analysis.heads if head in set(table["head"])):
        found = [cells.get((task, split, head)) for task, split, _ in columns]
        texts = [NONE if cell is None else percent(cell.mean) + spread(cell) for cell in found]
        rows.append([Cell(head), *map(Cell, texts)])
    of_column = table.groupby(["task", "split"], sort=False)
    baselines, examples = of_column["baseline"].first(), of_column["examples"].max()
    runs = of_column["n"].max()
    rows.append([Cell("majority baseline"), *(Cell(percent(baselines[task, split])) for task, split, _ in columns)])
    numbers = [f"{examples[t, s]:,} rows, " * bool(examples[t, s]) + f"{runs[t, s]} runs" for t, s, _ in columns]
    rows.append([Cell("n"), *map(Cell, numbers)])
    return Table(
        caption="The same runs on the official validation data, in %: models trained on a part of the rows, their "
        "settings chosen by folds and by nothing here.",
        columns=["head", *(f"{task} ({metric}, {split})" for task, split, metric in columns)],
        rows=rows,
    )


def chosen(analysis: Analysis) -> Table | None:
    """Which setting the other folds chose for each head, fold by fold."""
    choices = analysis.experiment.choices
    varied = varying_names(analysis.experiment.grid["setting"])
    if not varied:
        return None
    choices = choices[choices["setting"].map(lambda setting: setting is None or len(setting) > 0)]
    rows = []
    for task in analysis.tasks:
        for head in analysis.heads:
            part = choices[(choices["task"] == task) & (choices["head"] == head)]
            if len(part):
                repeats = [
                    " ".join(_short(setting, varied) for setting in of_repeat.sort_values("fold")["setting"])
                    for _, of_repeat in part.groupby("repeat")
                ]
                edge = ", ".join(f"{g.name} {g.direction}: {g.value:g}" for g in analysis.growths.get((task, head), ()))
                rows.append([Cell(text) for text in (task, head, " | ".join(repeats), edge or NONE)])
    order = ", ".join(sorted(varied))
    return Table(
        caption=f"Settings chosen by the other folds: {order}; fold by fold, repeats parted by |.",
        columns=["task", "head", "chosen", "grid should grow"],
        rows=rows,
        words=4,
    )


def varying_names(settings: Iterable[Setting]) -> set[str]:
    """Names of those that have more than one value."""
    values: dict[str, set[float]] = {}
    for name, value in itertools.chain(*settings):
        values.setdefault(name, set()).add(value)
    return {name for name, found in values.items() if len(found) > 1}


def _short(setting: Setting | None, names: set[str]) -> str:
    shown = [f"{v:g}" if isinstance(v, float) else str(v) for name, v in setting or () if name in names]
    return "/".join(shown) or NONE


def comparisons(analysis: Analysis) -> Table:
    """The differences to each task's reference."""
    table = analysis.comparisons[analysis.comparisons["to_reference"].astype(bool)]
    rows = [
        [*_difference(row), Cell(p_value(row.p)), Cell(p_value(row.p_holm), bold=bool(row.significant)),
         Cell("yes" if row.equal else NONE), Cell(points(row.detectable))]
        for row in table.itertuples()
    ]  # fmt: skip
    margin = points(analysis.options.margin)
    return Table(
        caption="Differences to the reference, in points, paired by run and example.",
        columns=["task", "comparison", "runs", f"difference [{_level(analysis)} interval]", "p", "p (Holm)",
                 f"equal within {margin}", "detectable"],
        rows=rows,
        words=2,
        legend=[
            f"No p with fewer than {FEWEST_RUNS} runs, no interval without predictions. Detectable: the smallest true "
            "difference that these rows and runs would show with 80 % power at the corrected level, from the variances "
            "found."
        ],
    )  # fmt: skip


def leaders(analysis: Analysis) -> Table | None:
    """The best head of each task against the others."""
    rows = []
    for task in analysis.tasks:
        leader = leader_of(analysis, task)
        found = against(analysis, task, leader.head) if leader is not None else pd.DataFrame()
        cells = analysis.cells[analysis.cells["task"] == task].set_index("head")
        if found.empty or found["ci_low"].isna().all():
            continue
        for row in found.itertuples():
            best = cells.loc[row.reference, "p_best"]
            rows.append([*_difference(row), Cell(p_value(row.p_all)), Cell("yes" if row.equal else NONE),
                         Cell(NONE if math.isnan(best) else f"{best:.2f}")])  # fmt: skip
        rows.append([Cell(task), Cell(leader.head), *[Cell(NONE)] * 4,
                     Cell(NONE if math.isnan(leader.p_best) else f"{leader.p_best:.2f}")])  # fmt: skip
    if not rows:
        return None
    return Table(
        caption="The best head of each task against the others, in points.",
        columns=["task", "comparison", "runs", f"difference [{_level(analysis)} interval]", "p (Holm, all pairs)",
                 f"equal within {points(analysis.options.margin)}", "P(best)"],
        rows=rows,
        words=2,
        legend=["P(best): how likely the head in question (the one subtracted; of a head alone, itself) has the "
                "highest true score. p among all pairs of the task, since which head leads was found by looking."],
    )  # fmt: skip


def detail(analysis: Analysis) -> Table:
    """What each difference's uncertainty is made of, and what other procedures say of it."""
    table = analysis.comparisons[analysis.comparisons["to_reference"].astype(bool)]
    rows = []
    for row in table.itertuples():
        over_runs = NONE if math.isnan(row.runs_low) else f"[{signed(row.runs_low)}, {signed(row.runs_high)}]"
        t = NONE if math.isnan(row.corrected_t) else f"{row.corrected_t:.2f}".replace("-", MINUS)
        texts = [row.task, f"{row.head} {MINUS} {row.reference}", signed(row.difference), points(row.sd_examples, 2),
                 points(row.sd_runs, 2), NONE if math.isnan(row.freedom) else f"{row.freedom:.1f}", over_runs,
                 t, p_value(row.corrected_p)]  # fmt: skip
        rows.append([Cell(text) for text in texts])
    return Table(
        caption="What the uncertainty is made of, in points.",
        columns=["task", "comparison", "difference", "error from examples", "error from runs", "degrees of freedom",
                 "interval over runs alone", "Nadeau-Bengio t", "its p"],
        rows=rows,
        words=2,
        legend=["Over runs alone: t interval of the runs' differences, blind to examples that they share. "
                "Nadeau and Bengio (2003): t corrected for training rows that folds share; not adjusted."],
    )  # fmt: skip


def _difference(row: Any) -> list[Cell]:
    interval = "" if math.isnan(row.ci_low) else f" [{signed(row.ci_low)}, {signed(row.ci_high)}]"
    texts = (row.task, f"{row.head} {MINUS} {row.reference}", str(row.n), signed(row.difference) + interval)
    return [Cell(text) for text in texts]


def _level(analysis: Analysis) -> str:
    return f"{100 * (1 - analysis.options.alpha):g} %"


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


def ranks(over: Ranks) -> Table | None:
    """Mean ranks against the reference's; None where nothing is tested, since the table of scores has the ranks."""
    if over.reference is None:
        return None
    rows = [
        [Cell(str(head)), Cell(f"{rank:.2f}"), Cell(p_value(over.p_holm.get(head, math.nan)))]
        for head, rank in over.mean_ranks.sort_values(kind="stable").items()
    ]
    return Table(
        caption=f"Mean ranks of {over.kind} heads over {len(over.tasks)} tasks (1 is best), against {over.reference}.",
        columns=["head", "mean rank", "p (Holm)"],
        rows=rows,
        legend=["Normal approximation of the difference of mean ranks (Demšar 2006, section 3.2.2)."],
    )


def sections(analysis: Analysis) -> list[tuple[str, list[Table]]]:
    """The tables after the first, under their headings; headings without tables are left out."""
    compared = bool(len(analysis.comparisons))
    ranked = [table for over in analysis.ranks if (table := ranks(over)) is not None]
    found: list[tuple[str, list[Table | None]]] = [
        ("Official validation data", [official(analysis)]),
        ("Chosen settings", [chosen(analysis)]),
        ("Differences", [comparisons(analysis), leaders(analysis)] if compared else []),
        ("Over tasks", [*ranked]),
        ("In detail", [detail(analysis)] if compared else []),
        ("Published scores", [published(analysis)]),
    ]
    present = [(heading, [table for table in made if table is not None]) for heading, made in found]
    return [(heading, made) for heading, made in present if made]
