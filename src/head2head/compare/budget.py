"""What an answer may cost: `budget=30m`, `budget=40runs`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from head2head.errors import UserError

SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600}


@dataclass(frozen=True)
class Budget:
    """Time or runs that a race may use, over all starts together.

    text: as it was typed.
    """

    text: str = ""
    seconds: float = math.inf
    runs: float = math.inf

    def ended(self, seconds: float, runs: int) -> bool:
        """Whether so much is more than it allows."""
        return seconds > self.seconds or runs > self.runs


def parse(text: str) -> Budget:
    """A budget as it is typed; none allows everything.

    >>> parse("30m").seconds, parse("40runs").runs
    (1800.0, 40)

    Raises:
        UserError: it is none.
    """
    if not text:
        return Budget()
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]+)", text.strip())
    amount, unit = (float(match.group(1)), match.group(2)) if match else (0.0, "")
    if amount > 0 and unit in SECONDS:
        return Budget(text, seconds=amount * SECONDS[unit])
    if amount >= 1 and amount.is_integer() and unit in ("run", "runs"):
        return Budget(text, runs=int(amount))
    raise UserError(f"budget={text}: a time or a number of runs, such as 30m, 2h or 40runs")
