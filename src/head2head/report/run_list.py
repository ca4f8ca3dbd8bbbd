"""Every reported run with what it was run with, for those who want to look one up or repeat it."""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass

from head2head.report.analysis import Analysis
from head2head.report.formats import NONE, percent
from head2head.report.labels import shared
from head2head.run.canonical import NOT_IN_KEY


@dataclass(frozen=True)
class ListedRun:
    """One run, as text.

    number: its seed, or fold and repeat; what: flags such as `collapsed`, or why it has failed.
    command: repeats it; settings: names and values of those that not all runs share.
    """

    head: str
    number: str
    score: str
    what: str
    seconds: str
    key: str
    command: str
    settings: list[tuple[str, str]]


def run_list(analysis: Analysis) -> list[tuple[str, list[ListedRun]]]:
    """Of each task its runs whose scores are reported, and those that have failed; heads in the order of tables."""
    experiment = analysis.experiment
    common = dict(shared(experiment.settings))
    order = {head: number for number, head in enumerate(analysis.heads)}
    found: dict[str, list[ListedRun]] = {task: [] for task in analysis.tasks}
    for row in sorted(experiment.reported.itertuples(), key=lambda row: (order[row.head], row.run)):
        settings = experiment.settings[row.Index]
        flags = [
            text
            for text, there in (
                (f"failed: {row.failed}", isinstance(row.failed, str)),
                ("collapsed", row.collapsed),
                (f"stopped: {row.stopped}", isinstance(row.stopped, str)),
                ("not converged", row.not_converged),
            )
            if there
        ]
        found[row.task].append(
            ListedRun(
                head=row.head,
                number=f"{row.run}" if row.fold < 0 else f"fold {row.fold}, repeat {row.repeat}",
                score=NONE if math.isnan(row.score) else percent(row.score),
                what=", ".join(flags),
                seconds=NONE if math.isnan(row.train_seconds) else f"{row.train_seconds:.3g}",
                key=row.key,
                command=shlex.join(["python", "train.py", *experiment.results[row.Index].overrides]),
                settings=[
                    (name, value)
                    for name, value in sorted(settings.items())
                    if common.get(name) != value and name.partition(".")[0] not in NOT_IN_KEY
                ],
            )
        )
    return [(task, runs) for task, runs in found.items() if runs]
