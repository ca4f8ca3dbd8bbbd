"""From an experiment to everything that a report says, computed; tables, plots and the page only format it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from head2head.errors import UserError, did_you_mean
from head2head.files import read_yaml
from head2head.report import summary
from head2head.report.evidence import gather
from head2head.report.labels import SEPARATOR
from head2head.report.notes import cautions, footnotes
from head2head.report.predictions import Predictions, collect
from head2head.report.published import beside_ours, read_published
from head2head.report.ranks import NOT_RANKED, Ranks, rank_heads
from head2head.report.runs import Experiment
from head2head.statistics.choice import Growth
from head2head.statistics.uncertainty import MARGIN

PUBLISHED = "published.csv"
OPTIONS = "report.yaml"  # beside the results: the options that the committed report is made with


@dataclass(frozen=True)
class Options:
    """What can be asked of a report.

    reference: label of the head that the others are compared with; None takes `pooler`, else `mean`, else
        one that pools so (`embeddings-mean`), else the first in the order of tables, among those that a task has.
    alpha: level of all tests; intervals cover 1 - alpha.
    margin: two heads are practically equal where the whole interval of their difference lies within; 0.01 is a point.
    leave_out: tasks and splits whose predictions are not kept with the experiment.
    """

    reference: str | None = None
    alpha: float = 0.05
    margin: float = MARGIN
    leave_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Kind:
    """Sentence heads or token heads, with the tasks that they were run on; in the order of tables."""

    name: str
    tasks: list[str]
    heads: list[str]


@dataclass(frozen=True)
class Analysis:
    """The numbers of a report. Scores are fractions, as in results; formatting makes them per cent.

    predictions: those behind the reported scores.
    tasks, heads: labels in the order of tables.
    references: task -> head that the others are compared with.
    cells: one row a task and head, also where there is no run. task, head, metric, split; n (finished runs that are
        reported: under folds one a fold and repeat, of the setting that the other folds chose), failed, stopped,
        collapsed, not_above_baseline, not_converged (counts; runs with scores count in the mean, whatever their flag),
        gains (twice the epochs do, by more than a standard error), incomplete (the grid of settings was), edge
        (settings whose grid should grow, and where to); mean, std (n - 1 in the denominator; NaN for n = 1), ci_low,
        ci_high (examples and runs), examples and clusters (different ones predicted), without (why there is no
        interval); baseline, p_best (probability that the head is best), rank (of the mean in the task, 1 is best), best
        (has the task's highest mean), mark ("above" or "below" the reference, else ""). Numbers are NaN where n = 0.
    comparisons: one row a pair of heads of a task, paired by run and example. task, reference, head, to_reference
        (whether `reference` is the task's), n (common runs), difference (head minus reference), ci_low, ci_high, p
        (two-sided, t with `freedom`), sd_examples, sd_runs (the standard error's two parts), equal (practically);
        family (number of tests m), p_holm (among those against the reference; NaN of other pairs), p_all (among all
        pairs of the task), significant (p_holm < alpha), detectable (the smallest true difference found with 80 %
        power, at alpha / m); runs_low, runs_high (t interval over runs alone), corrected_t, corrected_p (Nadeau and
        Bengio).
    official: scores of the same runs on the splits that come with a task, under folds (see `summary.official`).
    growths: task, head -> where its grid should grow.
    checked: task, head -> what twice the epochs gain on one fold, and its standard error.
    ranks: one entry for sentence heads and one for token heads, where there are at least two tasks
        and two heads with all their scores.
    published: None without published.csv; else its rows with ours (mean) and difference (ours minus
        published), both as fractions, `head` filled in; NaN where we have no such score.
    cautions: what the data cannot show, in sentences.
    footnotes: sentences on the runs: devices, threads, commits, encoders.
    """

    experiment: Experiment
    options: Options
    predictions: Predictions
    tasks: list[str]
    heads: list[str]
    references: dict[str, str]
    cells: pd.DataFrame
    comparisons: pd.DataFrame
    official: pd.DataFrame
    growths: Mapping[tuple[str, str], list[Growth]]
    checked: Mapping[tuple[str, str], tuple[float, float]]
    ranks: tuple[Ranks, ...]
    published: pd.DataFrame | None
    cautions: list[str]
    footnotes: list[str]

    @property
    def runs(self) -> pd.DataFrame:
        """The runs whose scores are reported."""
        return self.experiment.reported

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
        UserError: an option does not fit, published.csv is wrong, or predictions.parquet cannot be read.
    """
    check(options, experiment)
    reported, tasks, heads = experiment.reported, experiment.tasks, experiment.heads
    results = summary.reported_results(experiment)
    behind = dict.fromkeys([*reported.index, *itertools.chain(*experiment.checks)])
    predictions = collect(experiment.folder, [experiment.results[row] for row in behind], options.leave_out)
    checked = summary.convergence(experiment, predictions)
    first = experiment.frame.groupby("task")[["metric", "split"]].first()
    evidence = {
        task: gather(results[task], first.loc[task, "split"], first.loc[task, "metric"], predictions) for task in tasks
    }
    beside = {
        (task, split): gather(results[task], split, first.loc[task, "metric"], predictions)
        for task in tasks
        for split in official_splits(results[task])
    }
    references = {task: reference(reported[reported["task"] == task], heads, options.reference) for task in tasks}
    cells = summary.summarise(experiment, evidence, checked, options.alpha)
    comparisons = summary.compare(experiment, references, evidence, options)
    cells["mark"] = summary.marks(cells, comparisons)
    published = experiment.folder / PUBLISHED
    analysis = Analysis(
        experiment=experiment,
        options=options,
        predictions=predictions,
        tasks=tasks,
        heads=heads,
        references=references,
        cells=cells,
        comparisons=comparisons,
        official=summary.official(experiment, beside, options.alpha),
        growths=summary.growths(experiment),
        checked=checked,
        ranks=ranked(cells, experiment.frame, references),
        published=beside_ours(read_published(published), experiment, references) if published.is_file() else None,
        cautions=[],
        footnotes=footnotes(experiment),
    )
    analysis.cautions.extend(cautions(analysis))
    return analysis


def official_splits(results: Mapping[str, Mapping[int, Any]]) -> list[str]:
    """Splits that runs under folds were scored on besides their fold."""
    found: dict[str, None] = {}
    for runs in results.values():
        for result in runs.values():
            if result.split == "fold":
                found |= dict.fromkeys(split for split in result.metrics.get("last", {}) if split != "fold")
    return list(found)


def options_of(experiment: Path, given: Mapping[str, Any]) -> Options:
    """The options given, else those of the experiment's report.yaml, else the defaults.

    Raises:
        UserError: the file says what is no option.
    """
    path = experiment / OPTIONS
    kept: Any = (read_yaml(path) or {}) if path.is_file() else {}
    known = list(Options.__dataclass_fields__)
    if not isinstance(kept, dict) or (unknown := sorted(map(str, set(kept) - set(known)))):
        what = "settings expected" if not isinstance(kept, dict) else f"unknown option {unknown[0]!r}"
        raise UserError(f"{path}: {what}; choose from: {', '.join(known)}")
    joined = kept | {name: value for name, value in given.items() if value is not None}
    left_out = joined.pop("leave_out", ())
    return Options(**joined, leave_out=(left_out,) if isinstance(left_out, str) else tuple(left_out))


def check(options: Options, experiment: Experiment) -> None:
    """Check what was asked for.

    Raises:
        UserError: it does not exist, or makes no sense.
    """
    for name, what in (("alpha", "a level between 0 and 1, such as 0.05"), ("margin", "0.01 is one point")):
        value = getattr(options, name)
        if not isinstance(value, (int, float)) or not 0 < value < 1:
            raise UserError(f"--{name} {value}: {what}")
    if options.reference is not None and options.reference not in experiment.heads:
        raise UserError(
            f"--reference {options.reference}: no such head in {experiment.name}; "
            f"{did_you_mean(options.reference, experiment.heads)}"
        )


def reference(of_task: pd.DataFrame, heads: list[str], asked: str | None) -> str:
    """The head that a task's others are compared with: the one asked for, else pooler, mean, one that pools so
    (`embeddings-mean`) or the first, among those with a score. What is solved or not trained comes last."""
    present = of_task[of_task["score"].notna()] if of_task["score"].notna().any() else of_task
    names = [head for head in heads if head in set(present["head"])]
    if asked in set(of_task["head"]):
        return str(asked)
    usual = [head for name in ("pooler", "mean") for head in names if base_of(head) == name]
    usual += [head for name in ("-pooler", "-mean") for head in names if base_of(head).endswith(name)]
    return sorted([*usual, *names], key=lambda head: SEPARATOR in head)[0] if names else heads[0]


def base_of(head: str) -> str:
    """A head's label without settings."""
    return head.partition(SEPARATOR)[0]


def ranked(cells: pd.DataFrame, frame: pd.DataFrame, references: Mapping[str, str]) -> tuple[Ranks, ...]:
    """Sentence heads and token heads over their tasks, but for those that are in no ranking."""
    means = cells.pivot(index="task", columns="head", values="mean")
    bases = frame.groupby("task")["task_name"].first()
    found = []
    for kind, runs in frame.groupby("kind"):
        heads = [head for head in cells["head"].unique() if head in set(runs["head"])]
        tasks = [t for t in cells["task"].unique() if t in set(runs["task"]) and bases[t] not in NOT_RANKED]
        found.append(rank_heads(means.loc[tasks, heads].dropna(axis=1, how="all"), str(kind), references))
    return tuple(over for over in found if over is not None)


def leader_of(analysis: Analysis, task: str) -> Any:
    """The cell with the best mean of a task; None where no head has a score."""
    cells = analysis.cells[(analysis.cells["task"] == task) & (analysis.cells["n"] > 0)]
    return next(cells.loc[[cells["mean"].idxmax()]].itertuples()) if len(cells) else None


def against(analysis: Analysis, task: str, leader: str) -> pd.DataFrame:
    """The comparisons of a task's leader with the others, turned so that differences are leader minus `reference`."""
    of_task = analysis.comparisons[analysis.comparisons["task"] == task]
    turned = of_task[of_task["reference"] == leader]
    turned = turned.assign(
        head=leader,
        reference=turned["head"],
        difference=-turned["difference"],
        ci_low=-turned["ci_high"],
        ci_high=-turned["ci_low"],
    )
    joined = pd.concat([of_task[of_task["head"] == leader], turned])
    order = {head: i for i, head in enumerate(analysis.heads)}
    return joined.sort_values("reference", key=lambda names: names.map(order), kind="stable")
