"""How long runs will take, from finished runs of the same kind: the same task, head, epochs and rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from head2head.run.result import Result


def kind_of(task: str, head: str, config: Mapping[str, Any]) -> str:
    """What runs have in common that take about as long.

    Args:
        config: resolved, or as a results file holds it.
    """
    trainer, data, encoder = config["trainer"], config["task"], config["encoder"]
    name = str(encoder.get("name"))
    parts: list[Any] = [task, head, data.get("train_rows"), data.get("rows"), data.get("pairs", "together")]
    parts += [config.get("fold") is not None, encoder.get("frozen", False)]
    parts.append(Path(name).name if Path(name).is_absolute() else name)
    if {"lr", "head_lr"} & set(config["optimizer"]):  # trained, not solved
        parts += [trainer.get("max_epochs"), trainer.get("max_steps", -1), config.get("batch_size")]
    return json.dumps(parts, sort_keys=True)


class Times:
    """Seconds that finished runs took, by kind; each run counts once."""

    def __init__(self, results: Iterable[Result] = ()):
        self._seconds: dict[str, dict[str, float]] = {}
        for result in results:
            self.add(result)

    def add(self, result: Result) -> None:
        """Take a result in, unless it has failed or was stopped early."""
        if result.failed is None and result.stopped is None and "total" in result.seconds:
            kind = kind_of(result.task, result.head, result.config)
            self._seconds.setdefault(kind, {})[result.key] = result.seconds["total"]

    def of(self, kind: str) -> float | None:
        """Mean seconds of a kind; None where no such run has finished."""
        return mean(self._seconds[kind].values()) if kind in self._seconds else None

    @property
    def runs(self) -> int:
        """How many runs were taken in."""
        return sum(map(len, self._seconds.values()))


@dataclass(frozen=True)
class Estimate:
    """Time that some runs will take, one after another.

    seconds: of those runs whose kind is known. longest: of the longest of them.
    known, runs: how many these are, and how many there are.
    """

    seconds: float
    longest: float
    known: int
    runs: int


def estimate(kinds: Sequence[str], *times: Times) -> Estimate:
    """Time that runs of these kinds will take.

    Args:
        times: those of the first that knows a kind count.
    """
    found = {kind: next((t for one in times if (t := one.of(kind)) is not None), None) for kind in set(kinds)}
    seconds = [t for kind in kinds if (t := found[kind]) is not None]
    return Estimate(sum(seconds), max(seconds, default=0.0), len(seconds), len(kinds))
