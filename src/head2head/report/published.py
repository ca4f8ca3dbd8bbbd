"""Published scores beside ours.

`experiments/NAME/published.csv` holds one published score a row:

    task     a task of the experiment, as tables name it
    metric   name of the metric, as in results: accuracy, f1, mcc, spearman, entity_f1 ...
    score    in per cent, as papers print it: 84.6
    source   where it is printed: Devlin et al. 2019 Table 1
    head     the head of ours that it is comparable to, as tables name it; empty: the task's reference head
    split    the split it was measured on; ours is of the same name where we have it, else of the primary one
    model, setting    shown as they are

The first four are required.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from head2head.errors import UserError, did_you_mean
from head2head.report.runs import Experiment

REQUIRED = ("task", "metric", "score", "source")
OPTIONAL = ("head", "split", "model", "setting")


def read_published(path: Path) -> list[dict[str, str]]:
    """The rows of published.csv, as text; optional columns that it lacks are empty.

    Raises:
        UserError: a column or a value is missing, unknown, or not what it should be.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text") from None
    reader = csv.reader(lines)
    header = [name.strip() for name in next(reader, [])]
    for name in REQUIRED:
        if name not in header:
            raise UserError(f"{path}:1: no column {name}; required are {', '.join(REQUIRED)}")
    for name in header:
        if name not in REQUIRED + OPTIONAL:
            raise UserError(f"{path}:1: unknown column {name!r}; {did_you_mean(name, REQUIRED + OPTIONAL)}")
    rows = []
    for values in reader:
        if not any(value.strip() for value in values):
            continue
        place = f"{path}:{reader.line_num}"
        if len(values) != len(header):
            raise UserError(f"{place}: expected {len(header)} columns, found {len(values)}")
        row = dict.fromkeys(OPTIONAL, "") | {name: v.strip() for name, v in zip(header, values, strict=True)}
        _check(row, place)
        rows.append(row)
    return rows


def _check(row: Mapping[str, str], place: str) -> None:
    for name in REQUIRED:
        if not row[name]:
            raise UserError(f"{place}: {name} is empty")
    try:
        score = float(row["score"])
    except ValueError:
        score = math.nan
    if not math.isfinite(score) or abs(score) > 100:
        raise UserError(f"{place}: score {row['score']!r} is no number of per cent")
    if 0 < abs(score) <= 1:
        raise UserError(f"{place}: score {row['score']} is a fraction; write per cent, as in {100 * score:g}")


def beside_ours(rows: list[dict[str, str]], experiment: Experiment, references: Mapping[str, str]) -> pd.DataFrame:
    """The `published` of an Analysis: columns task, head, metric, split, model, setting, source, score, ours,
    our_split, n, difference; scores as fractions."""
    found = []
    for row in rows:
        task = row["task"]
        head = _head(row["head"], task, experiment) if row["head"] else references.get(task, "")
        values, split = _ours(experiment, task, head, row["metric"], row["split"])
        score = float(row["score"]) / 100
        ours = sum(values) / len(values) if values else math.nan
        found.append(
            row
            | {"head": head, "score": score, "ours": ours, "our_split": split, "n": len(values)}
            | {"difference": ours - score}
        )
    columns = ["task", "head", "metric", "split", "model", "setting", "source"]
    return pd.DataFrame(found, columns=[*columns, "score", "ours", "our_split", "n", "difference"])


def _head(name: str, task: str, experiment: Experiment) -> str:
    """The label that a name stands for: itself, or the one label of the task that begins with it."""
    frame = experiment.frame
    of_task = frame[frame["task"] == task]
    if name in set(of_task["head"]):
        return name
    same = sorted(set(of_task.loc[of_task["base"] == name, "head"]))
    return same[0] if len(same) == 1 else name


def _ours(experiment: Experiment, task: str, head: str, metric: str, split: str) -> tuple[list[float], str]:
    """Our scores of each run and the split they are of; none and "" where we have no such metric."""
    values, used = [], ""
    for result, its_task, its_head in experiment.scored():
        if (its_task, its_head) != (task, head):
            continue
        metrics = result.metrics.get("last", {})
        used_here = split if split in metrics else result.split
        value = metrics.get(used_here, {}).get(metric)
        if value is not None:
            values.append(value)
            used = used_here
    return values, used
