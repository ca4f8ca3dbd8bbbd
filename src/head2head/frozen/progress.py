"""What a bank shows while it trains: a bar in a terminal, a line an epoch elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence

from tqdm import tqdm

from head2head.frozen.member import Member


class Progress:
    """Told of each step and each validation.

    Args:
        shown: whether there is anything to be seen.
    """

    def __init__(self, shown: bool = True):
        self.shown, self.bar = shown, shown and sys.stderr.isatty()

    @contextlib.contextmanager
    def over(self, steps: int, runs: int) -> Iterator[None]:
        """While the bank trains; `steps` of all its groups."""
        self.started = time.perf_counter()
        with tqdm(total=steps, unit=" steps", disable=not self.bar, desc=f"training {runs} frozen runs") as self._tqdm:
            yield

    def step(self) -> None:
        """A step of a group is done."""
        self._tqdm.update()

    def validated(self, members: Sequence[Member]) -> None:
        """A group has been scored."""
        if not self.shown or self.bar:
            return
        seconds = time.perf_counter() - self.started
        told = [member for member in members if member.failed is None]
        if not told:
            return
        first, last = told[0], told[0].model.history[-1]
        what = f"{len(told)} runs"
        if len(members) == 1:
            name = first.model.metrics[0]
            scores = [f"{split} {name} {values[name]:.4f}" for split, values in last["metrics"].items()]
            what = ", ".join([*(f"loss {loss:.4f}" for _, _, loss in first.losses[-1:]), *scores])
        print(f"epoch {last['epoch']}, step {last['step']}: {what} ({seconds:.0f} s)", flush=True)
