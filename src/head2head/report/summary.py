"""Scores per task and head, and the comparisons of heads within a task."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from head2head.report.evidence import Evidence, gather
from head2head.report.predictions import Predictions
from head2head.report.runs import Experiment
from head2head.run.result import Result
from head2head.statistics import uncertainty
from head2head.statistics.choice import Growth, growth

DIGITS = 12  # scores that agree to so many are equal
WITHOUT = dict.fromkeys(("ci_low", "ci_high", "p", "freedom", "sd_examples", "sd_runs"), math.nan)


def summarise(
    experiment: Experiment,
    evidence: Mapping[str, Evidence],
    checked: Mapping[tuple[str, str], tuple[float, float]],
    alpha: float,
) -> pd.DataFrame:
    """One row a task and head (the `cells` of an Analysis, without `mark`).

    Args:
        checked: as of `convergence`.
    """
    reported, choices = experiment.reported, experiment.choices
    groups = dict(iter(reported.groupby(["task", "head"], sort=False)))
    chosen = dict(iter(choices.groupby(["task", "head"], sort=False)))
    grown = growths(experiment)
    rows = []
    for task, head in itertools.product(experiment.tasks, experiment.heads):
        runs, of_task = groups.get((task, head), reported.iloc[:0]), experiment.frame[experiment.frame["task"] == task]
        finished, choice = runs[runs["failed"].isna()], chosen.get((task, head), choices.iloc[:0])
        scores = finished["score"].to_numpy()
        rows.append(
            {
                "task": task,
                "head": head,
                "metric": of_task["metric"].iloc[0],
                "split": of_task["split"].iloc[0],
                "n": len(scores),
                "failed": len(runs) - len(scores),
                "stopped": int(finished["stopped"].notna().sum()),
                "collapsed": int(finished["collapsed"].sum()),
                "not_above_baseline": int((scores <= finished["baseline"].to_numpy()).sum()),
                "not_converged": int(finished["not_converged"].sum()),
                "gains": operator.gt(*checked.get((task, head), (math.nan, math.nan))),
                "incomplete": bool(len(choice) and not (choice["complete"] & choice["run"].notna()).all()),
                "edge": ", ".join(f"{g.name} {g.direction}" for g in grown.get((task, head), ())),
                "mean": scores.mean() if len(scores) else math.nan,
                "std": scores.std(ddof=1) if len(scores) > 1 else math.nan,
                "baseline": baseline(of_task),
                **_interval(evidence[task], head, alpha),
            }
        )
    cells = pd.DataFrame(rows)
    best = {(task, head): p for task in experiment.tasks for head, p in _probabilities(evidence[task]).items()}
    cells["p_best"] = [best.get(cell, math.nan) for cell in zip(cells["task"], cells["head"], strict=True)]
    highest = cells.groupby("task")["mean"].transform("max")
    cells["rank"] = cells["mean"].round(DIGITS).groupby(cells["task"]).rank(ascending=False)
    cells["best"] = (cells["mean"] * 100).round(1) == (highest * 100).round(1)
    return cells


def baseline(of_task: pd.DataFrame) -> float:
    """The majority baseline of a task: of its folds and repeats on average, each counted once."""
    known = of_task.dropna(subset="baseline").drop_duplicates("run")
    return float(known["baseline"].mean()) if len(known) else math.nan


def growths(experiment: Experiment) -> dict[tuple[str, str], list[Growth]]:
    """Of each task and head where its grid of settings should grow."""
    tuned = experiment.grid[experiment.grid["setting"].map(len) > 0]
    return {cell: found for cell, part in tuned.groupby(["task", "head"]) if (found := growth(part))}


def convergence(experiment: Experiment, predictions: Predictions) -> dict[tuple[str, str], tuple[float, float]]:
    """Of each task and head that was run with twice the epochs on one fold: what that gains, and its standard error
    over examples; NaN where a run has failed or predictions are missing."""
    found = {}
    for check, checked in experiment.checks:
        own = experiment.frame.loc[checked]
        twice, once = (experiment.results[row] for row in (check, checked))
        evidence = gather({"twice": {0: twice}, "once": {0: once}}, own["split"], own["metric"], predictions)
        both = evidence.influences(["twice", "once"]) if twice.failed is None and once.failed is None else None
        gain, error = math.nan, math.nan
        if both is not None:
            estimate = uncertainty.difference(both, "twice", "once")
            gain, error = estimate.mean, math.sqrt(estimate.variance_examples)
        found[own["task"], own["head"]] = gain, error
    return found


def _interval(evidence: Evidence, head: str, alpha: float) -> dict[str, Any]:
    """Interval of a score, different examples and clusters of the head's runs, and why there is none."""
    why = evidence.without.get(head, "")
    found = evidence.influences([head])
    blank = {"ci_low": math.nan, "ci_high": math.nan, "examples": 0, "clusters": 0, "without": why}
    if found is None:
        return blank
    answers = evidence.answers[head].values()
    counted = {
        name: len(np.unique(np.concatenate([getattr(run, name) for run in answers])))
        for name in ("examples", "clusters")
    }
    score = uncertainty.score(found, head, 1 - alpha)
    return blank | counted | {"ci_low": score.low, "ci_high": score.high}


def _probabilities(evidence: Evidence) -> dict[str, float]:
    """How likely each head is best, where all of them have runs in common."""
    found = evidence.influences(evidence.heads) if len(evidence.heads) > 1 else None
    return {} if found is None else uncertainty.probability_best(found)


def compare(
    experiment: Experiment, references: Mapping[str, str], evidence: Mapping[str, Evidence], options: Any
) -> pd.DataFrame:
    """One row a pair of heads of a task (the `comparisons` of an Analysis)."""
    reported, rows = experiment.reported, []
    for task, reference in references.items():
        of_task = reported[(reported["task"] == task) & reported["score"].notna()]
        scores = of_task.pivot(index="run", columns="head", values="score")
        heads = [head for head in experiment.heads if head in scores]
        folds = int(of_task["folds"].max()) if len(of_task) else 0
        for first, second in _pairs(heads, reference):
            both = scores[[first, second]].dropna()
            row = {"task": task, "reference": first, "head": second, "n": len(both)}
            row["to_reference"] = first == reference
            differences = (both[second] - both[first]).to_numpy()
            row["difference"] = differences.mean() if len(differences) else math.nan
            rows.append(row | _over_runs(differences, folds, options.alpha) | _difference(evidence[task], row, options))
    table = pd.DataFrame(
        rows, columns=None if rows else [*"task reference head n to_reference difference".split(), *WITHOUT]
    )
    if not rows:
        return table.assign(family=0, p_holm=math.nan, p_all=math.nan, significant=False, equal=False)
    whole = table.groupby("task")["p"].transform("count")
    own = table.groupby(["task", "to_reference"])["p"].transform("count")
    table["family"] = own.where(table["to_reference"], whole).astype(int)
    table["p_holm"] = table.groupby(["task", "to_reference"])["p"].transform(lambda p: uncertainty.holm(p.to_numpy()))
    table.loc[~table["to_reference"], "p_holm"] = math.nan
    table["p_all"] = table.groupby("task")["p"].transform(lambda p: uncertainty.holm(p.to_numpy()))
    table["significant"] = table["p_holm"] < options.alpha
    table["detectable"] = [_detectable(row, options.alpha / max(row.family, 1)) for row in table.itertuples()]
    return table


def _difference(evidence: Evidence, row: Mapping[str, Any], options: Any) -> dict[str, Any]:
    found = evidence.influences([row["reference"], row["head"]])
    if found is None or found.scores.shape[1] != row["n"]:
        return WITHOUT | {"equal": False}
    estimate = uncertainty.difference(found, row["head"], row["reference"], 1 - options.alpha)
    return {
        "difference": estimate.mean,
        "ci_low": estimate.low,
        "ci_high": estimate.high,
        "p": estimate.p,
        "freedom": estimate.freedom,
        "sd_examples": math.sqrt(estimate.variance_examples),
        "sd_runs": math.sqrt(estimate.variance_runs),
        "equal": uncertainty.practically_equal(estimate, options.margin),
    }


def _over_runs(differences: np.ndarray, folds: int, alpha: float) -> dict[str, float]:
    """What runs alone say: the t interval, and Nadeau and Bengio's corrected t where training rows overlap."""
    names = ("runs_low", "runs_high", "corrected_t", "corrected_p")
    if len(differences) < 2:
        return dict.fromkeys(names, math.nan)
    alone = uncertainty.over_runs(differences, 1 - alpha)
    found = (alone.low, alone.high, math.nan, math.nan)
    if folds:
        corrected = uncertainty.nadeau_bengio(differences, folds - 1, 1, 1 - alpha)
        found = (alone.low, alone.high, corrected.t, corrected.p)
    return dict(zip(names, found, strict=True))


def _detectable(row: Any, alpha: float) -> float:
    """The smallest true difference that this comparison would have found, at the level of Holm's first step."""
    variance = row.sd_examples**2 + row.sd_runs**2
    return uncertainty.detectable(variance, row.freedom, alpha) if variance > 0 else math.nan


def marks(cells: pd.DataFrame, comparisons: pd.DataFrame) -> list[str]:
    """For each cell "above" or "below" where it differs significantly from its task's reference, else ""."""
    found: dict[Any, str] = {}
    for row in comparisons[comparisons["significant"]].itertuples():
        found[row.task, row.head] = "above" if row.difference > 0 else "below"
    return [found.get(cell, "") for cell in zip(cells["task"], cells["head"], strict=True)]


def _pairs(heads: Sequence[str], reference: str) -> Iterable[tuple[str, str]]:
    """All pairs, the reference first in its own."""
    return itertools.combinations([reference, *(head for head in heads if head != reference)], 2)


def official(experiment: Experiment, evidence: Mapping[tuple[str, str], Evidence], alpha: float) -> pd.DataFrame:
    """Scores of the reported runs on the splits that come with a task, under folds: task, split, head, metric, n, mean,
    std, ci_low, ci_high, baseline, examples."""
    results = reported_results(experiment)
    rows = []
    for (task, split), found in evidence.items():
        for head, runs in results[task].items():
            metric = found.metric
            known = [r for r in runs.values() if metric in r.metrics.get("last", {}).get(split, {})]
            if not known:
                continue
            scores = np.array([r.metrics["last"][split][metric] for r in known])
            baselines = [r.baseline.get(split, {}).get(metric, math.nan) for r in known]
            rows.append(
                {
                    "task": task,
                    "split": split,
                    "head": head,
                    "metric": metric,
                    "n": len(scores),
                    "mean": scores.mean(),
                    "std": scores.std(ddof=1) if len(scores) > 1 else math.nan,
                    "baseline": float(np.mean(baselines)),
                    **_interval(found, head, alpha),
                }
            )
    columns = "task split head metric n mean std baseline ci_low ci_high examples clusters without".split()
    return pd.DataFrame(rows, columns=columns)


def reported_results(experiment: Experiment) -> dict[str, dict[str, dict[int, Result]]]:
    """Task -> head -> number of the run -> result, of reported runs that have not failed."""
    found: dict[str, dict[str, dict[int, Result]]] = {task: {} for task in experiment.tasks}
    for result, task, head in experiment.scored():
        found[task].setdefault(head, {})[result.seed] = result
    return found
