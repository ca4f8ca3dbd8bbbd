"""What the results can and cannot show, in sentences."""

from __future__ import annotations

import math
from collections import Counter

import pandas as pd

from head2head.report import power, statistics
from head2head.report.analysis import Analysis
from head2head.report.over_tasks import OverTasks
from head2head.report.runs import Experiment
from head2head.report.table import MINUS, p_value

FEW_SEEDS = 10  # bootstrap intervals of so few values are known to be too narrow


def cautions(analysis: Analysis) -> list[str]:
    """Everything that a reader of the tables must know before believing them."""
    return [
        *_epoch(analysis),
        *_references(analysis),
        *_reachable(analysis),
        *_exactness(analysis),
        *_intervals(analysis),
        *_ranks(analysis),
        *_missing(analysis),
        *_ends(analysis),
        *_stopped(analysis.experiment.frame),
        *_failures(analysis.experiment.frame),
        *_data(analysis.experiment),
    ]


def _epoch(analysis: Analysis) -> list[str]:
    if analysis.options.epoch == "last":
        return []
    return ["Scores are of each run's best epoch, chosen on the very data that it is scored on: they flatter."]


def _references(analysis: Analysis) -> list[str]:
    asked = analysis.options.reference
    other = {task: head for task, head in analysis.references.items() if asked and head != asked}
    return [f"{task} has no runs of {asked}; the reference there is {head}." for task, head in other.items()]


def _reachable(analysis: Analysis) -> list[str]:
    """Where no test could have been significant, whatever the scores."""
    alpha, comparisons = analysis.options.alpha, analysis.comparisons
    tested = comparisons[comparisons["n"] > 0]
    never = tested[tested.groupby("task")["floor"].transform("min") >= alpha]
    notes = []
    for (n, family), rows in never.groupby([never.groupby("task")["n"].transform("max"), "family"]):
        notes.append(
            f"{', '.join(sorted(set(rows['task'])))}: no dagger is possible with {_count(n, 'seed')}. The smallest "
            f"two-sided p of an exact paired test is 2/2^{n} = {2 / 2**n:.4g}, and {rows['floor'].min():.4g} after "
            f"Holm's correction over {_count(family, 'comparison')}; significance at {alpha:g} takes at least "
            f"{power.seeds_for_any(family, alpha)} seeds."
        )
    some = tested[(tested["floor"] >= alpha) & ~tested["task"].isin(never["task"])]
    for (task, n), rows in some.groupby(["task", "n"]):
        pairs = [f"{row.head} {MINUS} {row.reference}" for row in rows.itertuples()]
        notes.append(
            f"{task}: {', '.join(pairs)} cannot be significant with {_count(n, 'common seed')}: p is at least "
            f"{rows['floor'].min():.4g} after Holm's correction."
        )
    return notes


def _exactness(analysis: Analysis) -> list[str]:
    tested = analysis.comparisons[analysis.comparisons["n"] > 0]
    if tested["exact"].all():
        return []
    return [
        f"With more than {statistics.EXACT_SEEDS} seeds p is estimated from {statistics.RESAMPLES} random sign flips "
        "of a fixed generator."
    ]


def _intervals(analysis: Analysis) -> list[str]:
    n = analysis.cells["n"]
    if not ((n > 1) & (n < FEW_SEEDS)).any():
        return []
    return [
        f"Bootstrap intervals of fewer than {FEW_SEEDS} seeds are too narrow; where they and p disagree, believe p. "
        "The seeds needed are estimated from the same few runs: an order of magnitude."
    ]


def _ranks(analysis: Analysis) -> list[str]:
    notes = []
    for ranked in analysis.over_tasks:
        notes.append(_ranked(ranked, analysis.options.alpha))
        if ranked.left_out:
            notes.append(
                f"Ranks leave out {', '.join(ranked.left_out)}: not every {ranked.kind} head has a score there."
            )
    frame = analysis.experiment.frame
    for kind in sorted(set(frame["kind"]) - {ranked.kind for ranked in analysis.over_tasks}):
        of_kind = frame[frame["kind"] == kind]
        if of_kind["task"].nunique() > 1 and of_kind["head"].nunique() > 1:
            notes.append(f"No mean ranks of {kind} heads: fewer than two tasks have scores of all of them.")
    return notes


def _ranked(ranked: OverTasks, alpha: float) -> str:
    k, tasks, critical = len(ranked.ranks), len(ranked.tasks), ranked.critical_difference
    text = f"Mean ranks of {k} {ranked.kind} heads over {tasks} tasks: "
    if not math.isnan(ranked.p_friedman):
        text += f"Friedman's chi-squared is {ranked.friedman:.2f}, p {p_value(ranked.p_friedman)}; "
    text += f"two heads differ (Nemenyi, {alpha:g}) when they are {critical:.2f} apart"
    if critical > k - 1:
        return f"{text}, which cannot happen: they are at most {k - 1} apart. More tasks are needed, not more seeds."
    spread = ranked.ranks.max() - ranked.ranks.min()
    text += f"; the best and the worst are {spread:.2f} apart, and at most {k - 1} is possible"
    if critical > 0.6 * (k - 1):
        text += ". With so few tasks only heads that are best and worst on nearly every task can be told apart"
    return text + "."


def _missing(analysis: Analysis) -> list[str]:
    unpaired = analysis.comparisons[analysis.comparisons["n"] == 0]
    notes = [
        f"{row.task}: {row.head} and {row.reference} have no seed in common, and are not compared."
        for row in unpaired.itertuples()
    ]
    cells, kinds = analysis.cells, analysis.experiment.frame.groupby("head")["kind"].first()
    of_task = analysis.experiment.frame.groupby("task")["kind"].first()
    same = cells["head"].map(kinds) == cells["task"].map(of_task)
    empty = cells[(cells["n"] == 0) & (cells["failed"] == 0) & same]
    if len(empty):
        names = [f"{cell.head} on {cell.task}" for cell in empty.itertuples()]
        more = f" and {len(names) - 6} more" if len(names) > 6 else ""
        notes.append(f"No runs of {', '.join(names[:6])}{more}.")
    return notes


def _ends(analysis: Analysis) -> list[str]:
    """Heads that cannot be told apart, or that did not learn."""
    cells, notes = analysis.cells, []
    for task, perfect in cells[(cells["mean"] > 1 - 1e-9) & (cells["n"] > 0)].groupby("task", sort=False):
        if len(perfect) > 1:
            notes.append(f"{task}: every run of {', '.join(perfect['head'])} is perfect; the task cannot rank them.")
    for head, flat in cells[(cells["collapsed"] == cells["n"]) & (cells["n"] > 0)].groupby("head", sort=False):
        notes.append(
            f"{head} collapsed in every run on {', '.join(flat['task'])}: it did not learn as it was trained here, "
            "which need not mean that it cannot."
        )
    return notes


def _stopped(frame: pd.DataFrame) -> list[str]:
    count = int(frame["stopped"].notna().sum())
    if not count:
        return []
    return [
        f"{_count(count, 'run')} of {len(frame)} {'was' if count == 1 else 'were'} stopped early, as among the worst "
        "so far, and count with the scores they had by then: trained to the end they might stand higher."
    ]


def _failures(frame: pd.DataFrame) -> list[str]:
    notes = []
    failed = frame[frame["failed"].notna()]
    for why, count in sorted(Counter(failed["failed"]).items()):
        runs = failed[failed["failed"] == why]
        names = [f"{run.head} on {run.task}, seed {run.seed}" for run in runs.head(3).itertuples()]
        more = f" and {count - 3} more" if count > 3 else ""
        notes.append(f"{_count(count, 'run')} failed ({'; '.join(names)}{more}): {why}")
    return notes


def _data(experiment: Experiment) -> list[str]:
    """Tasks whose runs did not read the same data."""
    seen: dict[str, set[tuple[tuple[str, str], ...]]] = {}
    for result, task in zip(experiment.results, experiment.labels.tasks, strict=True):
        if result.data:
            seen.setdefault(task, set()).add(tuple(sorted(result.data.items())))
    return [
        f"{task}: runs read {len(contents)} different versions of the data; their scores cannot be compared."
        for task, contents in sorted(seen.items())
        if len(contents) > 1
    ]


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
