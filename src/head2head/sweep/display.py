"""A sweep one can watch: a live table on a terminal, a line a run elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from head2head.run.result import Result
from head2head.sweep.plan import Planned
from head2head.sweep.times import Times, estimate

LAST = 5  # finished runs shown below the table
SILENCE = 60.0  # seconds without a line, at most


@dataclass(frozen=True)
class State:
    """How a sweep stands: results so far, runs being worked on, runs that wait.

    workers: key of a run that is being worked on -> its worker; a group's runs have one.
    """

    results: list[Result]
    running: list[Planned]
    left: list[Planned]
    workers: Mapping[str, Hashable] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return len(self.results) + len(self.running) + len(self.left)


class Display:
    """Shows states as they come.

    Args:
        name: of the experiment.
        width: how many jobs run at a time.
    """

    def __init__(self, name: str, console: Console | None = None, width: int = 1):
        self.name, self.console, self.width = name, console or Console(file=sys.stdout), width
        self.started = time.monotonic()
        self._known: set[str] | None = None
        self._new: list[Result] = []
        self._before, self._now = Times(), Times()  # of runs finished before this sweep was started, and since
        self._since: dict[str, float] = {}  # when each run was first seen to be under way
        self._spoken = 0.0
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
        if self._known is None:
            self._known = {result.key for result in state.results}
            self._before = Times(state.results)
        new = [result for result in state.results if result.key not in self._known]
        for result in new:
            self._known.add(result.key)
            self._now.add(result)
        self._new += new
        self._since = {run.key: self._since.get(run.key, self.elapsed) for run in state.running}
        if self._live is not None:
            self._live.update(self.table(state), refresh=True)
        else:
            self.speak(state, new)

    def speak(self, state: State, new: Sequence[Result]) -> None:
        """A line for each new result; where there is none for a minute, a line on how the sweep stands."""
        done = f"[{len(state.results)}/{state.total}]"
        for result in new:
            print(f"{done} {line(result)} · {self.times(state)}", flush=True)
        if not new and self.elapsed - self._spoken < SILENCE:
            return
        if not new and state.running:
            print(f"{done} {len(state.running)} running · {self.times(state)}", flush=True)
        self._spoken = self.elapsed

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    def times(self, state: State) -> str:
        """Elapsed and expected time; nothing of the latter before runs of the same kind have finished."""
        to_go = self.to_go(state)
        return f"{duration(self.elapsed)} elapsed" + (f", {to_go}" if to_go else "")

    def to_go(self, state: State) -> str:
        """How long the runs that are under way or wait will take, as far as that can be told."""
        waiting = [*state.running, *state.left]
        found = estimate([run.kind for run in waiting], self._now, self._before)
        if not found.known:
            return ""
        spent: dict[Hashable, float] = {}  # by worker
        for run in state.running:
            if estimate([run.kind], self._now, self._before).known:
                worker = state.workers.get(run.key, run.key)
                spent[worker] = max(spent.get(worker, 0.0), self.elapsed - self._since[run.key])
        last = found.longest - max(spent.values(), default=0.0)
        seconds = max((found.seconds - sum(spent.values())) / self.width, last, 0.0)
        if found.known < found.runs:
            return f"about {duration(seconds)} for {found.known} of {found.runs} runs to go"
        return f"about {duration(seconds)} to go"

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
