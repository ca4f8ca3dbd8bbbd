"""Scores per task and head, and the comparisons of heads within a task."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from head2head.report import statistics

SMALL = 1e-12  # scores nearer than this are equal


def summarise(frame: pd.DataFrame, tasks: list[str], heads: list[str], alpha: float) -> pd.DataFrame:
    """One row a task and head (the `cells` of an Analysis, without `mark`).

    Args:
        frame: an experiment's frame, with `score` of the epoch that is reported.
    """
    groups = dict(iter(frame.groupby(["task", "head"], sort=False)))
    by_task = dict(iter(frame.groupby("task")))
    rows, scores = [], []
    for task, head in itertools.product(tasks, heads):
        runs = groups.get((task, head), frame.iloc[:0])
        of_task = by_task[task]
        finished = runs[runs["failed"].isna()]
        values = finished["score"].to_numpy()
        baselines = of_task["baseline"].dropna()
        rows.append(
            {
                "task": task,
                "head": head,
                "metric": of_task["metric"].iloc[0],
                "split": of_task["split"].iloc[0],
                "n": len(values),
                "failed": len(runs) - len(values),
                "stopped": int(finished["stopped"].notna().sum()),
                "collapsed": int(finished["collapsed"].sum()),
                "not_above_baseline": int((values <= finished["baseline"].to_numpy()).sum()),
                "mean": values.mean() if len(values) else np.nan,
                "std": values.std(ddof=1) if len(values) > 1 else np.nan,
                "baseline": baselines.iloc[0] if len(baselines) else np.nan,
            }
        )
        scores.append(values)
    cells = pd.DataFrame(rows)
    cells[["ci_low", "ci_high"]] = _by_length(scores, lambda values: statistics.intervals(values, 1 - alpha), 2)
    highest = cells.groupby("task")["mean"].transform("max")
    cells["rank"] = cells["mean"].round(12).groupby(cells["task"]).rank(ascending=False)
    cells["best"] = (cells["mean"] * 100).round(1) == (highest * 100).round(1)
    return cells


def compare(
    frame: pd.DataFrame, references: Mapping[str, str], heads: list[str], all_pairs: bool, test: str, alpha: float
) -> pd.DataFrame:
    """One row a comparison within a task (the `comparisons` of an Analysis)."""
    rows, differences = [], []
    scores = frame.pivot(index=["task", "seed"], columns="head", values="score")
    for task, reference in references.items():
        has_runs = set(frame.loc[frame["task"] == task, "head"])
        present = [head for head in heads if head in has_runs]
        for first, second in _pairs(present, reference, all_pairs):
            both = scores.loc[task][[first, second]].dropna()
            rows.append({"task": task, "reference": first, "head": second, "n": len(both)})
            differences.append((both[second] - both[first]).to_numpy())
    columns = "task reference head n".split()
    table = pd.DataFrame(rows, columns=columns)
    table["difference"] = [d.mean() if len(d) else np.nan for d in differences]
    table[["ci_low", "ci_high"]] = _by_length(differences, lambda d: statistics.intervals(d, 1 - alpha), 2)
    table["p"] = _by_length(differences, lambda d: statistics.TESTS[test](d)[:, None], 1)[:, 0]
    table["exact"] = table["n"] <= statistics.EXACT_SEEDS
    table["family"] = table.groupby("task")["p"].transform("count").astype(int)
    table["p_holm"] = table.groupby("task")["p"].transform(lambda p: statistics.holm(p.to_numpy()))
    table["significant"] = table["p_holm"] < alpha
    pairs = list(zip(table["n"], table["family"], strict=True))
    table["floor"] = [statistics.smallest_p(n) if n else np.nan for n in table["n"]]
    table["floor"] = table.groupby("task")["floor"].transform(lambda p: statistics.holm(p.to_numpy()))
    table["seeds_needed"] = [
        statistics.seeds_for(d, m, alpha) if n else np.nan for d, (n, m) in zip(differences, pairs, strict=True)
    ]
    return table


def marks(cells: pd.DataFrame, comparisons: pd.DataFrame, references: Mapping[str, str]) -> list[str]:
    """For each cell "above" or "below" where it differs significantly from its task's reference, else ""."""
    found: dict[Any, str] = {}
    for row in comparisons[comparisons["significant"]].itertuples():
        if row.reference == references[row.task]:
            found[row.task, row.head] = "above" if row.difference > 0 else "below"
    return [found.get(cell, "") for cell in zip(cells["task"], cells["head"], strict=True)]


def _pairs(heads: list[str], reference: str, all_pairs: bool) -> Iterable[tuple[str, str]]:
    others = [head for head in heads if head != reference]
    return itertools.combinations([reference, *others], 2) if all_pairs else [(reference, head) for head in others]


def _by_length(samples: list[np.ndarray], function: Callable[[np.ndarray], np.ndarray], width: int) -> np.ndarray:
    """Apply a function of (m, n) arrays to samples of several lengths n at once; (samples, width), NaN for n = 0."""
    found = np.full((len(samples), width), np.nan)
    lengths = np.array([len(sample) for sample in samples], dtype=int)
    for n in np.unique(lengths[lengths > 0]):
        which = np.flatnonzero(lengths == n)
        found[which] = function(np.stack([samples[i] for i in which]))
    return found
