"""What the results can and cannot show, and how the runs came about, in sentences."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

import pandas as pd

from head2head.report.labels import exact, in_fold
from head2head.report.ranks import FEWEST_TASKS, NOT_RANKED
from head2head.report.runs import Experiment
from head2head.statistics.uncertainty import FEWEST_RUNS

if TYPE_CHECKING:
    from head2head.report.analysis import Analysis

RACE = "race.json"  # in the experiment's folder, where it is a race


def cautions(analysis: Analysis) -> list[str]:
    """Everything that a reader of the tables must know before believing them."""
    frame = analysis.experiment.reported
    return [
        *_references(analysis),
        *_predictions(analysis),
        *_few_runs(analysis),
        *_folds(analysis),
        *_grids(analysis),
        *_convergence(analysis),
        *_ranks(analysis),
        *_missing(analysis),
        *_race(analysis.experiment),
        *_ends(analysis),
        *_stopped(frame),
        *_failures(frame),
        *_data(analysis.experiment),
        *_streams(frame),
    ]


def _references(analysis: Analysis) -> list[str]:
    asked = analysis.options.reference
    other = {task: head for task, head in analysis.references.items() if asked and head != asked}
    return [f"{task} has no runs of {asked}; the reference there is {head}." for task, head in other.items()]


def _predictions(analysis: Analysis) -> list[str]:
    """Heads without an interval, by the reason."""
    cells = analysis.cells[(analysis.cells["without"] != "") & (analysis.cells["n"] > 0)]
    notes = []
    for why, of_reason in cells.groupby("without", sort=False):
        whole = [task for task in analysis.tasks if set(analysis.cells.query("task == @task and n > 0")["head"])
                 == set(of_reason.query("task == @task")["head"])]  # fmt: skip
        rest = of_reason[~of_reason["task"].isin(whole)]
        where = [*whole, *(f"{cell.head} on {cell.task}" for cell in rest.itertuples())]
        notes.append(
            f"No interval, test or dagger for {_few(where)}: these take the predictions of every run, and {why}. The "
            "spread that is shown is that of runs alone, and says nothing of other examples."
        )
    return notes


def _few_runs(analysis: Analysis) -> list[str]:
    few = analysis.comparisons[analysis.comparisons["n"].between(1, FEWEST_RUNS - 1)]
    if few.empty:
        return []
    tasks = [task for task in analysis.tasks if task in set(few["task"])]
    return [f"{', '.join(tasks)}: no dagger where heads have fewer than {FEWEST_RUNS} runs in common."]


def _folds(analysis: Analysis) -> list[str]:
    """What a cross-validation's intervals do not cover, and what the official scores are."""
    if not (analysis.experiment.frame["fold"] >= 0).any():
        return []
    notes = [
        "The folds' models share training rows, which no estimate of variance makes good (Bengio and Grandvalet 2004); "
        "nor do intervals cover other training data."
    ]
    if len(analysis.official):
        notes.append(
            "Official validation scores come from models trained on a part of the training rows, and nothing was "
            "chosen by them. They do not stand beside published scores."
        )
    return notes


def _grids(analysis: Analysis) -> list[str]:
    """Grids that should grow, or are not done."""
    notes = []
    for (task, head), found in analysis.growths.items():
        for edge in found:
            notes.append(
                f"{task}, {head}: the {'largest' if edge.direction == 'higher' else 'smallest'} {edge.name} "
                f"({edge.edge:g}) is {100 * edge.gain:.1f} ± {100 * edge.error:.1f} points above the best between the "
                f"ends; its grid should go on to {edge.value:g}."
            )
    undone = analysis.cells[analysis.cells["incomplete"]]
    if len(undone):
        names = [f"{cell.head} on {cell.task}" for cell in undone.itertuples()]
        notes.append(
            f"Not all settings were run in all folds: {_few(names)}. A setting is then chosen among fewer, or by fewer "
            "folds, than for the others."
        )
    return notes


def _convergence(analysis: Analysis) -> list[str]:
    cells = analysis.cells[analysis.cells["not_converged"] > 0]
    names = [f"{cell.head} on {cell.task} ({cell.not_converged} of {cell.n})" for cell in cells.itertuples()]
    notes = [f"Runs that had not converged: {_few(names)}. Trained longer they may score otherwise."] if names else []
    for (task, head), (gain, error) in analysis.checked.items():
        if gain > error:
            notes.append(
                f"{task}, {head}: twice the epochs gain {100 * gain:.1f} ± {100 * error:.1f} points on one fold: it "
                "had not converged."
            )
        elif math.isnan(gain):
            notes.append(
                f"{task}, {head}: whether twice the epochs gain anything is not known: predictions are missing."
            )
    return notes


def _ranks(analysis: Analysis) -> list[str]:
    notes, frame = [], analysis.experiment.frame
    for over in analysis.ranks:
        if over.reference is None:
            notes.append(
                f"Mean ranks of {over.kind} heads describe these {len(over.tasks)} tasks; they are tested from "
                f"{FEWEST_TASKS} different tasks on."
            )
        if over.left_out:
            notes.append(f"Ranks leave out {', '.join(over.left_out)}: not every {over.kind} head has a score there.")
    if NOT_RANKED & set(frame["task_name"]):
        notes.append(
            "WNLI is in no ranking: its validation set is built against its training set, so that classifiers that "
            "have learned fall below the majority."
        )
    return notes


def _missing(analysis: Analysis) -> list[str]:
    unpaired = analysis.comparisons[(analysis.comparisons["n"] == 0) & analysis.comparisons["to_reference"]]
    notes = [
        f"{row.task}: {row.head} and {row.reference} have no run in common, and are not compared."
        for row in unpaired.itertuples()
    ]
    cells, kinds = analysis.cells, analysis.experiment.frame.groupby("head")["kind"].first()
    of_task = analysis.experiment.frame.groupby("task")["kind"].first()
    same = cells["head"].map(kinds) == cells["task"].map(of_task)
    empty = cells[(cells["n"] == 0) & (cells["failed"] == 0) & same]
    if len(empty):
        names = [f"{cell.head} on {cell.task}" for cell in empty.itertuples()]
        notes.append(f"No runs of {_few(names)}.")
    return notes


def _race(experiment: Experiment) -> list[str]:
    """Why numbers of runs are unequal, where `head2head compare` has given them out."""
    path = experiment.folder / RACE
    if not path.is_file():
        return []
    return [
        f"{json.loads(path.read_text(encoding='utf-8'))['why_unequal']} {RACE} says what was dropped when, and why."
    ]


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
        names = [f"{run.head} on {run.task}, run {run.run}" for run in runs.head(3).itertuples()]
        more = f" and {count - 3} more" if count > 3 else ""
        notes.append(f"{_count(count, 'run')} failed ({'; '.join(names)}{more}): {why}")
    return notes


def _data(experiment: Experiment) -> list[str]:
    """Tasks whose runs did not read the same data. Under folds each fold has rows of its own."""
    seen: dict[str, dict[int, set[tuple[tuple[str, str], ...]]]] = {}
    for result, task in zip(experiment.results, experiment.labels.tasks, strict=True):
        if result.data:
            of_task = seen.setdefault(task, {})
            of_task.setdefault(result.seed if in_fold(result) else -1, set()).add(tuple(sorted(result.data.items())))
    return [
        f"{task}: runs read {versions} different versions of the data; their scores cannot be compared."
        for task, by_run in sorted(seen.items())
        if (versions := max(map(len, by_run.values()))) > 1
    ]


def _streams(frame: pd.DataFrame) -> list[str]:
    """Tasks whose heads ran a seed under different streams: a difference of the pair may be that of the streams."""
    finished = frame[frame["failed"].isna()]
    kinds = finished.groupby(["task", "run"])["stream"].nunique()
    confounded = sorted({str(task) for task, _ in kinds[kinds > 1].index})
    if not confounded:
        return []
    return [
        f"{', '.join(confounded)}: heads were run with different arithmetic or dropout masks in the same run (see "
        "Runs), which is confounded with the comparison: part of a difference may come from there."
    ]


def _few(names: list[str]) -> str:
    """The first six of them."""
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def footnotes(experiment: Experiment) -> list[str]:
    """Runs, encoders, devices, threads, commits, versions, and what was remarked when the runs were read."""
    frame, results = experiment.frame, experiment.results
    encoders = sorted({str(result.config.get("encoder", {}).get("name")) for result in results})
    commits = [commit[:10] + "+" * commit.endswith("+") for commit in _known(frame["git_commit"])]
    notes = [
        f"{len(frame)} runs, {len(experiment.reported)} of them reported; seeds {_listed(sorted(set(frame['run'])))}.",
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
    if any(exact(result) for result in results):
        notes.append(
            "exact: the classifier was solved on standardised features of the frozen encoder, its strength chosen by "
            "an inner cross-validation, without a learning rate."
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
