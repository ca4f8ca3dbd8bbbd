"""An experiment's results, and the table with a row a run that everything else is computed from."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from head2head.errors import UserError, did_you_mean
from head2head.experiments import RESULTS, folder_of, rank, results_file, with_file
from head2head.report.labels import Labels, head_order, label, natural, settings_of
from head2head.run.result import Result


@dataclass(frozen=True)
class Experiment:
    """The runs of an experiment.

    folder: experiments/NAME.
    results: one a task, head and seed; of several a finished one, then one of the latest version of results, then
        the last line. Sorted, so that the order in which runs ended changes nothing.
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
        """One row a run.

        task, head: labels; with the settings that the experiment varies besides task, head and seed
            (`mean · optimizer.lr=3e-05`).
        kind: "sentence" or "token".
        base: the head's label without such settings.
        score, best_score: primary metric on `split`, of the last and the best epoch; NaN of failed runs.
        failed: why, or None. stopped: why a run with a score ended early, or None.
        collapsed, above_baseline: False of failed runs.
        stream: arithmetic and random masks of the run; "" where they were not recorded.
        baseline: the majority baseline's primary metric on `split`.
        """
        rows = [
            _row(result, task, head)
            for result, task, head in zip(self.results, self.labels.tasks, self.labels.heads, strict=True)
        ]
        return pd.DataFrame(rows).astype({"failed": object, "stopped": object, "git_commit": object, "folder": object})

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
    by_cell: dict[tuple[str, str, int], Result] = {}
    names: dict[str, tuple[str, str]] = {}
    for result, task, head in zip(found, labels.tasks, labels.heads, strict=True):
        names[result.key] = (task, head)
        other = by_cell.get((task, head, result.seed))
        if other is None or (rank(result), result.version) >= (rank(other), other.version):
            by_cell[task, head, result.seed] = result
    remarks = list(labels.remarks)
    if lost := len(found) - len(by_cell):
        remarks.append(
            "Results left out, as another line has the same task, head and seed under another key (other data, "
            f"another version of head2head, or a setting that labels do not show) and stands further down: {lost}."
        )
    results = sorted(by_cell.values(), key=lambda r: (natural(names[r.key][0]), head_order(names[r.key][1]), r.seed))
    tasks, heads = ([names[result.key][i] for result in results] for i in (0, 1))
    flat = [settings[result.key] for result in results]
    return Experiment(name, folder, results, Labels(tasks, heads), flat, remarks)


def _finite(result: Result) -> Result:
    """The same; as failed where its score is infinite or no number."""
    if result.failed is None and result.score is not None and not math.isfinite(result.score):
        return replace(result, score=None, failed=f"its score is {result.score}")
    return result


def _row(result: Result, task: str, head: str) -> dict[str, Any]:
    failed = result.failed is not None
    best = result.metrics.get("best", {}).get(result.split, {}).get(result.metric)
    return {
        "task": task,
        "head": head,
        "base": result.head,
        "kind": "sentence" if "pool" in result.config.get("head", {}) else "token",
        "seed": result.seed,
        "metric": result.metric,
        "split": result.split,
        "score": math.nan if failed else result.score,
        "best_score": math.nan if failed or best is None else best,
        "failed": result.failed,
        "stopped": None if failed else result.stopped,
        "collapsed": not failed and bool(result.collapsed),
        "above_baseline": not failed and bool(result.above_baseline),
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
