"""An experiment's results, and the table with a row a run that everything else is computed from."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from head2head.errors import UserError, did_you_mean
from head2head.experiments import RESULTS, folder_of, rank, results_file, with_file
from head2head.report.labels import Labels, head_order, in_fold, label, natural, settings_of
from head2head.run.result import Result
from head2head.statistics.choice import Setting, choose
from head2head.statistics.epoch_checks import epoch_checks


@dataclass(frozen=True)
class Experiment:
    """The runs of an experiment.

    folder: experiments/NAME.
    results: one a task, head, tuned setting and seed; of several a finished one, then one of the latest version of
        results, then the last line. Sorted, so that the order in which runs ended changes nothing.
    labels: what each run is called in tables, in the order of `results`.
    settings: of each run its configuration, flat, in the order of `results`.
    remarks: sentences about what was left out or differs between runs.
    """

    name: str
    folder: Path
    results: list[Result]
    labels: Labels
    settings: list[dict[str, str]]
    remarks: list[str] = field(default_factory=list)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """One row a run, in the order of `results`.

        task, head: labels; with the settings that the experiment varies besides task, head and seed
            (`mean · optimizer.lr=3e-05`), but for those that a cross-validation tunes, which are in `setting`.
        task_name: as the task calls itself. kind: "sentence" or "token".
        base: the head's label without such settings.
        run: number of the run, the same for what is compared with it: its seed.
        repeat, fold: -1 outside a cross-validation. folds: how many there are, or 0.
        score: primary metric on `split`, of the last epoch; NaN of failed runs.
        failed: why, or None. stopped: why a run with a score ended early, or None.
        collapsed, above_baseline, not_converged: False of failed runs.
        stream: arithmetic and random masks of the run; "" where they were not recorded.
        baseline: the majority baseline's primary metric on `split`.
        """
        labels = zip(self.results, self.labels.tasks, self.labels.heads, self.labels.tuned, strict=True)
        objects = ("setting", "failed", "stopped", "git_commit", "folder")
        return pd.DataFrame([_row(*names) for names in labels]).astype(dict.fromkeys(objects, object))

    @cached_property
    def checks(self) -> list[tuple[int, int]]:
        """Rows of `frame` that only check whether a head has converged, each with the row that it checks."""
        found, frame = [], self.frame[self.frame["fold"] >= 0]
        for _, part in frame[frame["setting"].map(len) > 0].groupby(["task", "head"]):
            first = part[(part["fold"] == 0) & (part["repeat"] == 0)]
            rows = dict(zip(first["setting"], first.index, strict=True))
            found += [(rows[check], rows[own]) for check, own in epoch_checks(part).items() if own in rows]
        return found

    @cached_property
    def grid(self) -> pd.DataFrame:
        """The rows of `frame` that are a cross-validation's, without those that only check something."""
        frame = self.frame.drop(index=[check for check, _ in self.checks])
        return frame[frame["fold"] >= 0]

    @cached_property
    def choices(self) -> pd.DataFrame:
        """Of tasks with folds: the setting of each head in each fold (see statistics.choice.choose), with `task`."""
        parts = [choose(part).assign(task=task) for task, part in self.grid.groupby("task")]
        if not parts:
            return pd.DataFrame(columns=["task", "head", "repeat", "fold", "setting", "run", "score", "complete"])
        return pd.concat(parts, ignore_index=True)

    @cached_property
    def reported(self) -> pd.DataFrame:
        """The rows of `frame` whose scores count: of a cross-validation those of the chosen settings, else all."""
        frame = self.frame
        chosen = set(self.choices["run"].dropna())
        return frame[[number in chosen or fold < 0 for number, fold in zip(frame.index, frame["fold"], strict=True)]]

    def scored(self) -> Iterator[tuple[Result, str, str]]:
        """The reported runs that have a score, with the labels of their tasks and heads."""
        for row in self.reported.itertuples():
            if pd.isna(row.failed):
                yield self.results[row.Index], row.task, row.head

    @property
    def tasks(self) -> list[str]:
        """Labels of the tasks, in the order of tables."""
        return sorted(set(self.labels.tasks), key=natural)

    @property
    def heads(self) -> list[str]:
        """Labels of the heads, in the order of tables."""
        return sorted(set(self.labels.heads), key=head_order)


def load(name: str) -> Experiment:
    """Read `experiments/NAME/results.jsonl` of the working directory.

    Raises:
        UserError: no such experiment, no results yet, or a line that is no result.
    """
    folder = folder_of(name)
    if not name or Path(name).name != name or not folder.is_dir():
        known = with_file(RESULTS)
        hint = did_you_mean(name, known) if known else f"there is no {folder_of('NAME') / RESULTS} here"
        raise UserError(f"unknown experiment {name!r}; {hint}")
    found = [_finite(result) for result in results_file(name).read().values()]
    if not found:
        raise UserError(f"{folder}: no results yet; `python sweep.py experiment={name}` makes them")
    settings = {result.key: settings_of(result) for result in found}
    labels = label(found, list(settings.values()))
    by_cell: dict[tuple[str, str, Setting, int], Result] = {}
    names: dict[str, tuple[str, str, Setting]] = {}
    for result, task, head, tuned in zip(found, labels.tasks, labels.heads, labels.tuned, strict=True):
        names[result.key] = (task, head, tuned)
        other = by_cell.get((task, head, tuned, result.seed))
        if other is None or (rank(result), result.version) >= (rank(other), other.version):
            by_cell[task, head, tuned, result.seed] = result
    remarks = list(labels.remarks)
    if lost := len(found) - len(by_cell):
        remarks.append(
            "Results left out, as another line has the same task, head and seed under another key (other data, "
            f"another version of head2head, or a setting that labels do not show) and stands further down: {lost}."
        )
    ordered = sorted(by_cell.items(), key=lambda cell: (natural(cell[0][0]), head_order(cell[0][1]), *cell[0][2:]))
    results = [result for _, result in ordered]
    tasks, heads, tuned_of = map(list, zip(*(names[result.key] for result in results), strict=True))
    flat = [settings[result.key] for result in results]
    return Experiment(name, folder, results, Labels(tasks, heads, tuned_of), flat, remarks)


def _finite(result: Result) -> Result:
    """The same; as failed where its score is infinite or no number."""
    if result.failed is None and result.score is not None and not math.isfinite(result.score):
        return replace(result, score=None, failed=f"its score is {result.score}")
    return result


def _row(result: Result, task: str, head: str, setting: Setting) -> dict[str, Any]:
    failed = result.failed is not None
    config, folds = result.config, in_fold(result)
    return {
        "task": task,
        "task_name": result.task,
        "head": head,
        "base": result.head,
        "setting": setting,
        "kind": "sentence" if "pool" in config.get("head", {}) else "token",
        "run": result.seed,
        "repeat": config.get("repeat", 0) if folds else -1,
        "fold": config["fold"] if folds else -1,
        "folds": config["folds"] if folds else 0,
        "metric": result.metric,
        "split": result.split,
        "score": math.nan if failed else result.score,
        "failed": result.failed,
        "stopped": None if failed else result.stopped,
        "collapsed": not failed and bool(result.collapsed),
        "above_baseline": not failed and bool(result.above_baseline),
        "not_converged": not failed and result.converged is False,
        "baseline": result.baseline.get(result.split, {}).get(result.metric, math.nan),
        "train_seconds": result.seconds.get("train", math.nan),
        "total_seconds": result.seconds.get("total", math.nan),
        "tokens": result.tokens,
        "tokens_per_second": result.tokens_per_second,
        "head_parameters": result.parameters.get("head", 0),
        "trainable_parameters": result.parameters.get("trainable", 0),
        "key": result.key,
        "folder": result.folder,
        "device": result.device,
        "stream": result.stream,
        "threads": result.threads,
        "git_commit": result.git_commit,
    }
