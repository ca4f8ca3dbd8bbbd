"""What figures share: the runs with the scores that are reported, and tasks by kind of head."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from head2head.report.analysis import Analysis


@dataclass(frozen=True)
class Kind:
    """Sentence heads or token heads, with the tasks that they were run on; in the order of tables."""

    name: str
    tasks: list[str]
    heads: list[str]


def runs(analysis: Analysis) -> pd.DataFrame:
    """The experiment's frame with `score` of the epoch that is reported."""
    frame = analysis.experiment.frame
    return frame.assign(score=frame["best_score"]) if analysis.options.epoch == "best" else frame


def kinds(analysis: Analysis) -> list[Kind]:
    """The two kinds of heads, as far as there are any: they have no task in common."""
    found = []
    for name in ("sentence", "token"):
        of_kind = analysis.experiment.frame[analysis.experiment.frame["kind"] == name]
        tasks, heads = set(of_kind["task"]), set(of_kind["head"])
        if tasks:
            found.append(
                Kind(name, [t for t in analysis.tasks if t in tasks], [h for h in analysis.heads if h in heads])
            )
    return found


def metric_of(analysis: Analysis, task: str) -> str:
    """Name of a task's primary metric."""
    return str(analysis.cells.loc[analysis.cells["task"] == task, "metric"].iloc[0])
