"""A sweep one can watch: a live table on a terminal, a line a run elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from head2head.run.result import Result
from head2head.sweep.plan import Planned

LAST = 5  # finished runs shown below the table


@dataclass(frozen=True)
class State:
    """How a sweep stands: results so far, runs being worked on, runs that wait."""

    results: list[Result]
    running: list[Planned]
    left: list[Planned]

    @property
    def total(self) -> int:
        return len(self.results) + len(self.running) + len(self.left)


class Display:
    """Shows states as they come.

    Args:
        name: of the experiment.
    """

    def __init__(self, name: str, console: Console | None = None):
        self.name, self.console = name, console or Console(file=sys.stdout)
        self.started = time.monotonic()
        self._known: set[str] | None = None
        self._new: list[Result] = []
        self._ended: list[float] = []
        self._live: Live | None = None

    def __enter__(self) -> Display:
        if self.console.is_terminal:
            self._live = Live(console=self.console, auto_refresh=False)  # no thread: batches are forked off
            self._live.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.__exit__(None, None, None)

    def show(self, state: State) -> None:
        """Take notice of a state."""
        before = self._known if self._known is not None else {result.key for result in state.results}
        new = [result for result in state.results if result.key not in before]
        self._known = before | {result.key for result in new}
        self._new += new
        self._ended += [self.elapsed] * len(new)
        if self._live is not None:
            self._live.update(self.table(state), refresh=True)
        else:
            for result in new:
                print(f"[{len(state.results)}/{state.total}] {line(result)} · {self.times(state)}", flush=True)

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    def times(self, state: State) -> str:
        """Elapsed and expected time."""
        elapsed = self.elapsed
        waiting = len(state.running) + len(state.left)
        if not waiting or len(self._new) < 2:
            return f"{duration(elapsed)} elapsed"
        pace = (self._ended[-1] - self._ended[0]) / (len(self._ended) - 1)  # start-up is paid once
        return f"{duration(elapsed)} elapsed, about {duration(pace * waiting)} to go"

    def table(self, state: State) -> Group:
        """A row a task, and the runs that ended last."""
        table = Table(title=f"{self.name} · {self.times(state)}", title_justify="left")
        for name in ("task", "done", "running", "failed", "left", "mean score"):
            table.add_column(name, justify="left" if name == "task" else "right")
        planned = [run.identity.task.name for run in (*state.running, *state.left)]
        for task in sorted({result.task for result in state.results} | set(planned)):
            table.add_row(task, *_row(task, state))
        if len(planned) + len(state.results):
            table.add_row("all", *_row(None, state), style="bold")
        running = [Text(f"running: {run.label}", style="dim") for run in state.running[:LAST]]
        return Group(table, *[Text(line(result)) for result in self._new[-LAST:]], *running)


def _row(task: str | None, state: State) -> list[str]:
    results = [result for result in state.results if task in (None, result.task)]
    scores = [result.score for result in results if result.score is not None]
    failed = len(results) - len(scores)
    running, left = (
        sum(task in (None, run.identity.task.name) for run in runs) for runs in (state.running, state.left)
    )
    average = f"{mean(scores):.4f}" if scores and task is not None else ""
    return [str(len(scores)), str(running or ""), str(failed or ""), str(left or ""), average]


def line(result: Result) -> str:
    """A finished run in a line."""
    name = f"{result.task} · {result.head} · seed {result.seed}"
    if result.failed is not None:
        return f"{name} · FAILED: {result.failed}"
    flag = " · collapsed" * bool(result.collapsed) + " · stopped early" * bool(result.stopped)
    return f"{name} · {result.metric} {result.score:.4f}{flag} · {result.seconds.get('total', 0):.0f} s"


def duration(seconds: float) -> str:
    """A time in the two units that say most."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def listing(runs: Sequence[Planned]) -> str:
    """What is left of a sweep, a line a run."""
    return "\n".join(f"{run.key[:8]}  {run.label}  {' '.join(run.overrides)}" for run in runs)
