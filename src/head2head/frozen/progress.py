"""What a group of runs shows while it trains: a bar in a terminal, a line an epoch elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator

from tqdm import tqdm

from head2head.frozen.frozen_run import FrozenRun


class Progress:
    """Told of each step and each validation.

    Args:
        shown: whether there is anything to be seen.
    """

    def __init__(self, shown: bool = True):
        self.shown, self.bar = shown, shown and sys.stderr.isatty()
        self.runs = 0

    @contextlib.contextmanager
    def over(self, steps: int, runs: int) -> Iterator[None]:
        """While a group trains; `steps` of all its runs."""
        self.started, self.runs = time.perf_counter(), runs
        with tqdm(total=steps, unit=" steps", disable=not self.bar, desc=f"training {runs} frozen runs") as self._tqdm:
            yield

    def step(self, number: int = 1) -> None:
        """Some steps are done."""
        self._tqdm.update(number)

    def validated(self, run: FrozenRun) -> None:
        """A run has been scored. Of several runs the last lines alone tell."""
        if not self.shown or self.bar or self.runs > 1 or run.failed is not None:
            return
        last, name = run.model.history[-1], run.model.metrics[0]
        scores = [f"{split} {name} {values[name]:.4f}" for split, values in last["metrics"].items()]
        what = ", ".join([*(f"loss {values['train/loss']:.4f}" for _, values in run.points[-1:]), *scores])
        print(
            f"epoch {last['epoch']}, step {last['step']}: {what} ({time.perf_counter() - self.started:.0f} s)",
            flush=True,
        )
