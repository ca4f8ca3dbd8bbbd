"""A race one can watch: a live table on a terminal, a line a round elsewhere."""

from __future__ import annotations

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from head2head.compare.race import Clock, OutOfTime
from head2head.compare.standing import Row, rows
from head2head.statistics.course import Course, Design
from head2head.sweep.display import Display, State, duration, line

STATES = {"leads": "leads", "open": "in the race", "no better": "not better by the margin"}


class Board(Display):
    """Shows how heads stand, and what is being run.

    Args:
        name: of the experiment.
        seconds: that the race may use.
    """

    def __init__(
        self, name: str, design: Design, clock: Clock, seconds: float, console: Console | None = None, width: int = 1
    ):
        super().__init__(name, console, width=width)
        self.design, self.clock, self.seconds = design, clock, seconds
        self._course: Course | None = None
        self._rows: list[Row] = []
        self._looks = 0

    def __enter__(self) -> Board:
        super().__enter__()
        return self

    def look(self, course: Course) -> None:
        """Take notice of a race."""
        self._course, self._rows = course, rows(course, self.design)
        if self._live is not None:
            self._live.update(self.standing(), refresh=True)
        elif len(course.looks) > self._looks:
            print(self.in_a_line(), flush=True)
        self._looks = len(course.looks)

    def show(self, state: State) -> None:
        """Take notice of a round under way.

        Raises:
            OutOfTime: the race may use no more time.
        """
        if self.clock.used > self.seconds:
            raise OutOfTime
        super().show(state)

    def table(self, state: State) -> Group:
        """The heads, the runs that ended last, and those under way."""
        running = [Text(f"running: {run.label}", style="dim") for run in state.running[:3]]
        return Group(self.standing(), *[Text(line(result)) for result in self._new[-3:]], *running)

    def standing(self) -> Table:
        """A row a head."""
        course = self._course
        rounds = f"round {min(course.rounds + 1, self.design.rounds) if course else 1} of {self.design.rounds}"
        table = Table(title=f"{self.name} · {rounds} · {duration(self.clock.used)}", title_justify="left")
        for name in ("head", "runs", "score", "P(best)", "state"):
            table.add_column(name, justify="left" if name in ("head", "state") else "right")
        for row in self._rows:
            table.add_row(row.head, str(row.runs), interval(row), share(row.best), STATES.get(row.state, row.state))
        return table

    def in_a_line(self) -> str:
        """What a look has come to."""
        course = self._course
        assert course is not None
        heads = [f"{row.head} {interval(row)}" + _state(row, course) for row in self._rows if row.score is not None]
        return f"after {course.rounds} of {self.design.rounds} rounds, {course.runs} runs: " + "; ".join(heads)


def _state(row: Row, course: Course) -> str:
    """What is said of a head besides its score: nothing of those that were dropped before."""
    if row.state == "leads":
        return " leads"
    dropped = course.dropped.get(row.head)
    return f" ({STATES.get(row.state, row.state)})" if dropped else ""


def interval(row: Row) -> str:
    """A score with half its interval, in points."""
    if row.score is None or row.low is None or row.high is None:
        return "-"
    return f"{100 * row.score:.1f} ± {50 * (row.high - row.low):.1f}"


def share(value: float | None) -> str:
    """A probability in per cent."""
    return "-" if value is None else "<1 %" if value < 0.01 else f"{100 * value:.0f} %"
