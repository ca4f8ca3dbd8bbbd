"""The race from its first round to its end."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

from head2head.compare import record
from head2head.compare.evidence import Evidence
from head2head.compare.experiment import Experiment
from head2head.compare.runners import Runner
from head2head.errors import UserError
from head2head.statistics.course import Course, replay


class OutOfTime(Exception):
    """The time of the budget is used up while a round is being run."""


class Shows(Protocol):
    """What is told how a race stands."""

    def look(self, course: Course) -> None: ...


@dataclass
class Clock:
    """Time that a race has used, over all its starts, and what that says of a round to come.

    before: seconds used by earlier starts.
    """

    before: float = 0.0

    def __post_init__(self) -> None:
        self._started = time.monotonic()
        self._runs, self._seconds = 0, 0.0

    @property
    def used(self) -> float:
        """Seconds."""
        return self.before + time.monotonic() - self._started

    def took(self, runs: int, seconds: float) -> None:
        """Take notice of a round."""
        self._runs, self._seconds = self._runs + runs, self._seconds + seconds

    def expected(self, runs: int) -> float:
        """Seconds that so many runs will take; 0 as long as nothing is known."""
        return runs * self._seconds / self._runs if self._runs else 0.0


@dataclass
class Ended:
    """How a race has ended.

    training_rows: texts or sentences that the folds of a repeat hold.
    why: "" when it ran to its end, else what in the budget ended it, in words.
    """

    course: Course
    seconds: float
    training_rows: int
    why: str = ""


def run(experiment: Experiment, runner: Runner, board: Shows, clock: Clock) -> Ended:
    """Run a race until it is over or its budget is used up.

    Raises:
        UserError: runs cannot be started, or their predictions are gone.
    """
    known, budget = Evidence(experiment.planned, experiment.results), experiment.question.budget
    while True:
        course = replay(experiment.design, known)
        board.look(course)
        record.write(experiment, course, clock.used)
        if course.over:
            return Ended(course, clock.used, known.training_rows)
        wanted = [experiment.planned[entry] for entry in course.wanted]
        if budget.ended(clock.used + clock.expected(len(wanted)), course.runs + course.round_size):
            if course.rounds == 0 and budget.runs < course.round_size:
                raise UserError(f"budget={budget.text}: the first round alone takes {course.round_size} runs")
            why = f"budget={budget.text} leaves no room for round {course.rounds + 1}"
            return Ended(course, clock.used, known.training_rows, why)
        started = time.monotonic()
        try:
            runner.finish(wanted)
        except OutOfTime:
            course = replay(experiment.design, known)
            return Ended(course, clock.used, known.training_rows, f"budget={budget.text} is used up")
        clock.took(len(wanted), time.monotonic() - started)
