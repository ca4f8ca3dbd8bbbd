"""From an experiment to everything that a report says, computed; tables, plots and the page only format it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import pandas as pd

from head2head.errors import UserError, did_you_mean
from head2head.report import summary
from head2head.report.examples import compare_examples
from head2head.report.notes import cautions, footnotes
from head2head.report.published import beside_ours, read_published
from head2head.report.ranks import Ranks, rank_heads
from head2head.report.runs import Experiment
from head2head.report.statistics import TESTS

PUBLISHED = "published.csv"


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
class Kind:
    """Sentence heads or token heads, with the tasks that they were run on; in the order of tables."""

    name: str
    tasks: list[str]
    heads: list[str]


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
    ranks: one entry for sentence heads and one for token heads, where there are at least two tasks
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
    ranks: tuple[Ranks, ...]
    examples: pd.DataFrame | None
    published: pd.DataFrame | None
    cautions: list[str]
    footnotes: list[str]

    @cached_property
    def runs(self) -> pd.DataFrame:
        """The experiment's frame with `score` of the epoch that is reported."""
        return reported(self.experiment, self.options)

    @cached_property
    def kinds(self) -> list[Kind]:
        """The two kinds of heads, as far as there are any: they have no task in common."""
        frame, found = self.experiment.frame, []
        for name in ("sentence", "token"):
            of_kind = frame[frame["kind"] == name]
            tasks, heads = set(of_kind["task"]), set(of_kind["head"])
            if tasks:
                found.append(Kind(name, [t for t in self.tasks if t in tasks], [h for h in self.heads if h in heads]))
        return found

    def metric_of(self, task: str) -> str:
        """Name of a task's primary metric."""
        return str(self.cells.loc[self.cells["task"] == task, "metric"].iloc[0])


def analyse(experiment: Experiment, options: Options) -> Analysis:
    """Compute everything that a report says.

    Raises:
        UserError: an option does not fit, or published.csv is wrong.
    """
    check(options, experiment)
    frame = reported(experiment, options)
    tasks, heads, alpha = experiment.tasks, experiment.heads, options.alpha
    references = {task: reference(frame[frame["task"] == task], heads, options.reference) for task in tasks}
    cells = summary.summarise(frame, tasks, heads, alpha)
    comparisons = summary.compare(frame, references, heads, options.all_pairs, options.test, alpha)
    cells["mark"] = summary.marks(cells, comparisons, references)
    published = experiment.folder / PUBLISHED
    analysis = Analysis(
        experiment=experiment,
        options=options,
        tasks=tasks,
        heads=heads,
        references=references,
        cells=cells,
        comparisons=comparisons,
        ranks=ranked(cells, frame, alpha),
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


def reported(experiment: Experiment, options: Options) -> pd.DataFrame:
    """An experiment's frame with `score` of the epoch that the options ask for."""
    frame = experiment.frame
    return frame.assign(score=frame["best_score"]) if options.epoch == "best" else frame


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


def ranked(cells: pd.DataFrame, frame: pd.DataFrame, alpha: float) -> tuple[Ranks, ...]:
    """Sentence heads and token heads over their tasks."""
    means = cells.pivot(index="task", columns="head", values="mean")
    found = []
    for kind, runs in frame.groupby("kind"):
        heads = [head for head in cells["head"].unique() if head in set(runs["head"])]
        tasks = [task for task in cells["task"].unique() if task in set(runs["task"])]
        found.append(rank_heads(means.loc[tasks, heads].dropna(axis=1, how="all"), str(kind), alpha))
    return tuple(over for over in found if over is not None)
