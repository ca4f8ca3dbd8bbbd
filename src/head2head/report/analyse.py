"""From an experiment to its Analysis."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from head2head.errors import UserError, did_you_mean
from head2head.report import cells as within
from head2head.report.analysis import Analysis, Options
from head2head.report.cautions import cautions
from head2head.report.examples import compare_examples
from head2head.report.footnotes import footnotes
from head2head.report.over_tasks import OverTasks, compare_over_tasks
from head2head.report.published import beside_ours, read_published
from head2head.report.runs import Experiment
from head2head.report.statistics import TESTS

PUBLISHED = "published.csv"


def analyse(experiment: Experiment, options: Options) -> Analysis:
    """Compute everything that a report says.

    Raises:
        UserError: an option does not fit, or published.csv is wrong.
    """
    check(options, experiment)
    frame = experiment.frame
    if options.epoch == "best":
        frame = frame.assign(score=frame["best_score"])
    tasks, heads, alpha = experiment.tasks, experiment.heads, options.alpha
    references = {task: reference(frame[frame["task"] == task], heads, options.reference) for task in tasks}
    cells = within.summarise(frame, tasks, heads, alpha)
    comparisons = within.compare(frame, references, heads, options.all_pairs, options.test, alpha)
    cells["mark"] = within.marks(cells, comparisons, references)
    published = experiment.folder / PUBLISHED
    analysis = Analysis(
        experiment=experiment,
        options=options,
        tasks=tasks,
        heads=heads,
        references=references,
        cells=cells,
        comparisons=comparisons,
        over_tasks=ranked(cells, frame, alpha),
        examples=None,
        published=beside_ours(read_published(published), experiment, references, options.epoch)
        if published.is_file()
        else None,
        cautions=[],
        footnotes=footnotes(experiment),
    )
    analysis.cautions.extend(cautions(analysis))
    if not options.examples:
        return analysis
    examples, left_out = compare_examples(experiment, references, 1 - alpha)
    return replace(analysis, examples=examples, cautions=analysis.cautions + left_out)


def check(options: Options, experiment: Experiment) -> None:
    """Check what was asked for.

    Raises:
        UserError: it does not exist, or makes no sense.
    """
    for name, value, known in (("test", options.test, TESTS), ("epoch", options.epoch, ("last", "best"))):
        if value not in known:
            raise UserError(f"--{name} {value}: {did_you_mean(value, known)}")
    if not 0 < options.alpha < 1:
        raise UserError(f"--alpha {options.alpha:g}: a level between 0 and 1, such as 0.05")
    if options.reference is not None and options.reference not in experiment.heads:
        raise UserError(
            f"--reference {options.reference}: no such head in {experiment.name}; "
            f"{did_you_mean(options.reference, experiment.heads)}"
        )


def reference(of_task: pd.DataFrame, heads: list[str], asked: str | None) -> str:
    """The head that a task's others are compared with: the one asked for, else pooler, mean, one that pools so
    (`embeddings-mean`) or the first, among those with a score."""
    present = of_task[of_task["score"].notna()] if of_task["score"].notna().any() else of_task
    names = [head for head in heads if head in set(present["head"])]
    if asked in set(of_task["head"]):
        return str(asked)
    base = dict(zip(present["head"], present["base"], strict=True))
    usual = [head for name in ("pooler", "mean") for head in names if base[head] == name]
    usual += [head for name in ("-pooler", "-mean") for head in names if base[head].endswith(name)]
    return [*usual, *names][0]


def ranked(cells: pd.DataFrame, frame: pd.DataFrame, alpha: float) -> tuple[OverTasks, ...]:
    """Sentence heads and token heads over their tasks."""
    means = cells.pivot(index="task", columns="head", values="mean")
    found = []
    for kind, runs in frame.groupby("kind"):
        heads = [head for head in cells["head"].unique() if head in set(runs["head"])]
        tasks = [task for task in cells["task"].unique() if task in set(runs["task"])]
        found.append(compare_over_tasks(means.loc[tasks, heads].dropna(axis=1, how="all"), str(kind), alpha))
    return tuple(over for over in found if over is not None)
