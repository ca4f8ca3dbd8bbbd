"""The race of `head2head compare`, run on the results of a full grid: what would it have saved, and taken?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from head2head.compare.evidence import scored
from head2head.experiments import folder_of, results_file
from head2head.report.predictions import collect
from head2head.run.result import Result
from head2head.statistics.choice import choose
from head2head.statistics.course import Design, Entry, Failed, replay
from head2head.statistics.settings_left import Scored

HOW_OFTEN = ("fold", "repeat", "seed")  # what runs of one setting differ in


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings by dotted names."""
    found: dict[str, Any] = {}
    for name, value in config.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return found


def settings_of(results: Sequence[Result]) -> list[str]:
    """For each run of a head the settings in which the head's runs differ, in words."""
    flats = [flat({k: v for k, v in result.config.items() if k not in HOW_OFTEN}) for result in results]
    names = sorted({name for one in flats for name in one})
    differing = [name for name in names if len({str(one.get(name)) for one in flats}) > 1]
    return [" ".join(f"{name}={one.get(name)}" for name in differing) for one in flats]


def entries(results: Sequence[Result], folds: int) -> dict[Entry, Result]:
    """The runs of a task as those of a race; a setting that was not run on every fold is left out."""
    found: dict[Entry, Result] = {}
    for head in dict.fromkeys(result.head for result in results):
        mine = [result for result in results if result.head == head]
        by_setting: dict[str, list[Result]] = {}
        for result, text in zip(mine, settings_of(mine), strict=True):
            by_setting.setdefault(text, []).append(result)
        most = max(map(len, by_setting.values()))
        for number, text in enumerate(text for text, runs in by_setting.items() if len(runs) == most):
            for result in by_setting[text]:
                round_ = result.config.get("repeat", 0) * folds + result.config["fold"]
                found[Entry(head, number, round_)] = result
    return found


def means(runs: Mapping[Entry, Scored | Failed], folds: int) -> dict[str, float]:
    """The full grid's scores: in each fold by the setting that all other folds of the repeat choose."""
    table = pd.DataFrame(
        [
            (e.head, e.setting, e.round // folds, e.round % folds, getattr(run, "score", np.nan))
            for e, run in runs.items()
        ],
        columns=["head", "setting", "repeat", "fold", "score"],
    )
    return choose(table).groupby("head")["score"].mean().to_dict()


def replayed(name: str, margin: float, run_spread: float) -> pd.DataFrame:
    """A row a task of experiments/NAME."""
    results = [r for r in results_file(name).read().values() if r.config.get("fold") is not None]
    predictions = collect(folder_of(name), results)
    rows = []
    for task in dict.fromkeys(result.task for result in results):
        mine = [result for result in results if result.task == task]
        folds = mine[0].config["folds"]
        runs: dict[Entry, Scored | Failed] = {}
        for entry, result in entries(mine, folds).items():
            table = predictions.tables.get((result.key, result.split))
            runs[entry] = Failed(result.failed or "") if table is None else scored(result, table)
        counts: dict[str, int] = {}
        for entry in runs:
            counts[entry.head] = max(counts.get(entry.head, 0), entry.setting + 1)
        repeats = 1 + max(entry.round for entry in runs) // folds
        design = Design(counts, folds, repeats, margin, run_spread)
        course = replay(design, runs.get)
        full = means(runs, folds)
        best = max(full, key=lambda head: full[head])
        lost = full[best] - full[course.leader] if course.leader else np.nan
        rows.append((task, design.runs, course.runs, best, course.leader, course.decided, 100 * lost))
    columns = [
        "task",
        "runs of the grid",
        "runs of the race",
        "best of the grid",
        "best of the race",
        "decided",
        "lost",
    ]
    return pd.DataFrame(rows, columns=columns)
