"""What the results can and cannot show, and how the runs came about, in sentences."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

import pandas as pd

from head2head.report import statistics
from head2head.report.formats import MINUS, p_value
from head2head.report.ranks import Ranks
from head2head.report.runs import Experiment

if TYPE_CHECKING:
    from head2head.report.analysis import Analysis

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
        *_streams(analysis.experiment.frame),
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
            f"{statistics.seeds_for_any(family, alpha)} seeds."
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
    for ranked in analysis.ranks:
        notes.append(_ranked(ranked, analysis.options.alpha))
        if ranked.left_out:
            notes.append(
                f"Ranks leave out {', '.join(ranked.left_out)}: not every {ranked.kind} head has a score there."
            )
    frame = analysis.experiment.frame
    for kind in sorted(set(frame["kind"]) - {ranked.kind for ranked in analysis.ranks}):
        of_kind = frame[frame["kind"] == kind]
        if of_kind["task"].nunique() > 1 and of_kind["head"].nunique() > 1:
            notes.append(f"No mean ranks of {kind} heads: fewer than two tasks have scores of all of them.")
    return notes


def _ranked(ranked: Ranks, alpha: float) -> str:
    k, tasks, critical = len(ranked.mean_ranks), len(ranked.tasks), ranked.critical_difference
    text = f"Mean ranks of {k} {ranked.kind} heads over {tasks} tasks: "
    if not math.isnan(ranked.p_friedman):
        text += f"Friedman's chi-squared is {ranked.friedman:.2f}, p {p_value(ranked.p_friedman)}; "
    text += f"two heads differ (Nemenyi, {alpha:g}) when they are {critical:.2f} apart"
    if critical > k - 1:
        return f"{text}, which cannot happen: they are at most {k - 1} apart. More tasks are needed, not more seeds."
    spread = ranked.mean_ranks.max() - ranked.mean_ranks.min()
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


def _streams(frame: pd.DataFrame) -> list[str]:
    """Tasks whose heads ran a seed under different streams: a difference of the pair may be that of the streams."""
    finished = frame[frame["failed"].isna()]
    kinds = finished.groupby(["task", "seed"])["stream"].nunique()
    confounded = sorted({str(task) for task, _ in kinds[kinds > 1].index})
    if not confounded:
        return []
    return [
        f"{', '.join(confounded)}: heads were run with different arithmetic or dropout masks at the same seed (see "
        "Runs), which is confounded with the comparison: part of a difference may come from there."
    ]


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def footnotes(experiment: Experiment) -> list[str]:
    """Seeds, encoders, devices, threads, commits, versions, and what was remarked when the runs were read."""
    frame, results = experiment.frame, experiment.results
    encoders = sorted({str(result.config.get("encoder", {}).get("name")) for result in results})
    commits = [commit[:10] + "+" * commit.endswith("+") for commit in _known(frame["git_commit"])]
    notes = [
        f"{len(frame)} runs; seeds {_listed(sorted(set(frame['seed'])))}.",
        _kinds("Encoder", encoders),
        _kinds("Device", _known(frame["device"])),
        _kinds("Threads", _known(frame["threads"])),
        _kinds("Commit (+: with uncommitted changes)" if "+" in "".join(commits) else "Commit", commits),
    ]
    streams = sorted({stream or "not recorded" for stream in frame["stream"]})
    if len(streams) > 1:
        notes.append(
            f"Streams: runs differ, {len(streams)} kinds of arithmetic: {'; '.join(streams)}; scores of the same key "
            "then agree only up to rounding and dropout masks."
        )
    for package in ("head2head", "torch", "transformers"):
        versions = _known(pd.Series([result.versions.get(package) for result in results]))
        if versions:
            notes.append(_kinds(package, versions))
    if any("minilm" in name.lower() for name in encoders) and any("pooler" in base for base in frame["base"]):
        notes.append(
            "The pooler of MiniLM was not trained on next-sentence prediction, as BERT's was (MiniLM is distilled, and "
            "all-MiniLM-L6-v2 was then tuned with mean pooling): what it scores here says little of BERT's pooler."
        )
    return notes + experiment.remarks


def _known(values: pd.Series) -> list[str]:
    return sorted({str(value) for value in values if value is not None and value == value and value != ""})


def _kinds(what: str, values: list[str]) -> str:
    several = f"runs differ, {len(values)} kinds: " if len(values) > 1 else ""
    return f"{what}: {several}{', '.join(values) or 'not recorded'}."


def _listed(numbers: Iterable[int]) -> str:
    """0-4, 7"""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
