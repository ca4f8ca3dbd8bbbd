"""An experiment's results, and the table with a row a run that everything else is computed from."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from head2head.errors import UserError, did_you_mean
from head2head.report.labels import Labels, head_order, label
from head2head.results import Result

EXPERIMENTS = Path("experiments")
RESULTS = "results.jsonl"


@dataclass(frozen=True)
class Experiment:
    """The runs of an experiment.

    folder: experiments/NAME.
    results: one a run: where a key occurs several times a finished run comes before a failed one, then the
        last line. Sorted, so that the order in which runs ended changes nothing.
    labels: what each run is called in tables, in the order of `results`.
    remarks: sentences about what was left out or differs between runs.
    """

    name: str
    folder: Path
    results: list[Result]
    labels: Labels
    remarks: list[str] = field(default_factory=list)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """One row a run.

        task, head: labels; with the settings that the experiment varies besides task, head and seed
            (`mean · optimizer.lr=3e-05`).
        kind: "sentence" or "token".
        base: the head's label without such settings.
        score, best_score: primary metric on `split`, of the last and the best epoch; NaN of failed runs.
        failed: why, or None.
        collapsed, above_baseline: False of failed runs.
        baseline: the majority baseline's primary metric on `split`.
        """
        rows = [
            _row(result, task, head)
            for result, task, head in zip(self.results, self.labels.tasks, self.labels.heads, strict=True)
        ]
        return pd.DataFrame(rows).astype({"failed": object, "git_commit": object, "folder": object})

    @property
    def tasks(self) -> list[str]:
        """Labels of the tasks, in the order of tables."""
        return sorted(set(self.labels.tasks))

    @property
    def heads(self) -> list[str]:
        """Labels of the heads, in the order of tables."""
        return sorted(set(self.labels.heads), key=head_order)


def load(name: str) -> Experiment:
    """Read `experiments/NAME/results.jsonl` of the working directory.

    Raises:
        UserError: no such experiment, no results yet, or a line that is no result.
    """
    folder = EXPERIMENTS / name
    path = folder / RESULTS
    if not name or Path(name).name != name or not folder.is_dir():
        known = sorted(found.parent.name for found in EXPERIMENTS.glob(f"*/{RESULTS}"))
        hint = did_you_mean(name, known) if known else f"there is no {EXPERIMENTS}/NAME/{RESULTS} here"
        raise UserError(f"unknown experiment {name!r}; {hint}")
    found = [result for _, result in read_lines(path)] if path.is_file() else []
    if not found:
        raise UserError(f"{folder}: no results yet; `python sweep.py experiment={name}` makes them")
    by_key: dict[Any, Result] = {}
    for result in found:
        _keep(by_key, result.key, result)
    labels = label(list(by_key.values()))
    by_cell: dict[Any, Result] = {}
    names: dict[str, tuple[str, str]] = {}
    for result, task, head in zip(by_key.values(), labels.tasks, labels.heads, strict=True):
        _keep(by_cell, (task, head, result.seed), result)
        names[result.key] = (task, head)
    remarks = list(labels.remarks)
    if lost := len(by_key) - len(by_cell):
        remarks.append(
            "Results left out, as a later line has the same task, head and seed under another key (other data, "
            f"another version of head2head, or a setting that labels do not show): {lost}."
        )
    results = sorted(by_cell.values(), key=lambda r: (names[r.key][0], head_order(names[r.key][1]), r.seed, r.key))
    tasks, heads = ([names[result.key][i] for result in results] for i in (0, 1))
    return Experiment(name, folder, results, Labels(tasks, heads), remarks)


def read_lines(path: Path) -> Iterator[tuple[int, Result]]:
    """The results in a file, with the numbers of their lines.

    Raises:
        UserError: a line is no result.
    """
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                yield number, _checked(Result(**json.loads(line)))
            except (ValueError, TypeError, KeyError) as error:
                why = "not JSON" if isinstance(error, json.JSONDecodeError) else str(error)
                raise UserError(
                    f"{path}:{number}: not a result of this version of head2head ({why}); "
                    "delete the line, and the sweep runs it again"
                ) from None


def _checked(result: Result) -> Result:
    """A result whose fields can be relied on; one whose score is not finite counts as failed.

    Raises:
        ValueError, KeyError: they cannot be.
    """
    for name in ("key", "task", "head", "metric", "split"):
        if not isinstance(getattr(result, name), str):
            raise ValueError(f"{name} is no text")
    if not isinstance(result.seed, int) or not isinstance(result.config, dict):
        raise ValueError("seed or config is of the wrong type")
    if result.failed is not None:
        result.score = None
        return result
    if not isinstance(result.score, (int, float)):
        raise ValueError("it has neither a score nor `failed`")
    if not math.isfinite(result.score):
        result.score, result.failed = None, f"its score is {result.score}"
        return result
    if not isinstance(result.baseline.get(result.split, {}).get(result.metric), (int, float)):
        raise ValueError(f"it has no baseline of {result.metric} on {result.split}")
    return result


def _keep(kept: dict[Any, Result], key: Any, result: Result) -> None:
    """Keep a result unless it has failed where an earlier one has not."""
    if result.failed is None or key not in kept or kept[key].failed is not None:
        kept.pop(key, None)  # to the end, where the line stands
        kept[key] = result


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
        "threads": result.threads,
        "git_commit": result.git_commit,
    }
