"""race.json, beside the report: how a race went, and why its heads have unequal numbers of runs."""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any

from head2head.compare.experiment import Experiment
from head2head.compare.standing import rows
from head2head.files import write_atomically
from head2head.report.notes import RACE
from head2head.statistics.course import Course
from head2head.statistics.race import Against

FILE = RACE
WHY = (
    "Heads and settings have unequal numbers of runs because a race gave them out: in each round, one more fold, to "
    "the heads that could still be better than the leader by more than the margin, by the settings not beaten yet."
)


def write(experiment: Experiment, course: Course, seconds: float, answer: str = "") -> None:
    """Write how the race stands.

    Args:
        seconds: used so far, over all starts.
        answer: once there is one.
    """
    asked, design = experiment.question, experiment.design
    content = {
        "question": asked.command,
        "answer": answer,
        "why_unequal": WHY,
        "decided": course.decided,
        "rules": {"margin": asked.margin, "run_spread": asked.run_spread, "alpha": design.alpha}
        | {"folds": asked.folds, "repeats": asked.repeats},
        "rounds": course.rounds,
        "runs": course.runs,
        "runs_of_the_full_grid": design.runs,
        "seconds": round(seconds, 1),
        "heads": [_head(experiment, course, row) for row in rows(course, design)],
        "looks": [
            {"rounds": look.rounds, "level": look.level, "leader": look.leader}
            | {"against": {head: difference(found) for head, found in look.against.items()}}
            for look in course.looks
        ],
    }
    write_atomically(experiment.folder / FILE, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _head(experiment: Experiment, course: Course, row: Any) -> dict[str, Any]:
    words = experiment.settings[row.head]
    dropped = course.dropped.get(row.head)
    return {
        "head": row.head,
        "state": row.state,
        "score": row.score,
        "interval": None if row.low is None else [row.low, row.high],
        "probability_best": row.best,
        "rounds": row.rounds,
        "runs": row.runs,
        "dropped_after_round": None if dropped is None else dropped.after,
        "against_leader": None if row.against is None else difference(row.against),
        "settings_chosen": [words[number] for number in course.chosen.get(row.head, [])],
        "settings_run": [[words[number] for number in numbers] for numbers in course.settings[row.head]],
    }


def difference(found: Against) -> dict[str, Any]:
    """A difference with its bounds; numbers that are not finite are left out, as JSON has none."""
    values = {"other": found.other, "difference": found.difference, "low": found.low, "high": found.high}
    values |= {"variance_examples": found.examples, "variance_of_a_run": found.run, "rounds": found.rounds}
    return {name: value for name, value in values.items() if not isinstance(value, float) or math.isfinite(value)}


def seconds_before(experiment: Experiment) -> float:
    """What earlier starts of the race have used; 0 where there were none."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return float(json.loads((experiment.folder / FILE).read_text(encoding="utf-8"))["seconds"])
    return 0.0
