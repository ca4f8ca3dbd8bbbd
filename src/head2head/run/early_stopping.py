"""Hyperband: a run that is not among the best of its sweep by then is stopped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from head2head.errors import UserError
from head2head.files import write_atomically


class HyperbandStopping(pl.Callback):
    """Stops a run as W&B's `early_terminate: hyperband` does (Li et al. 2018, with W&B's rule for runs that
    come one by one: each is held against all that have got as far).

    Args:
        bands: numbers of validations after which a run is held against the others, ascending.
        eta: it goes on when it is among the best 1/eta.
        strict: hold the value at the band against the others', not the best value so far.
        metric: `score` (the primary metric), or SPLIT/METRIC.
        curves: folder where the runs of the sweep write their values, a file a run.
        key: the run's.

    Attributes:
        stopped: why, where, and after how many validations; None while it goes on.
    """

    def __init__(
        self, bands: Sequence[int], eta: float, strict: bool, metric: str, maximize: bool, curves: str, key: str
    ):
        self.bands, self.eta, self.strict, self.metric = list(bands), eta, strict, metric
        self.sign = -1.0 if maximize else 1.0
        self.folder, self.key = Path(curves), key
        self.stopped: str | None = None

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        own = [self.sign * self._value(point, pl_module) for point in pl_module.history]
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.folder / f"{self.key}.json", json.dumps(own))
        curves = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(self.folder.glob("*.json"))]
        if trainer.state.fn != "fit" or trainer.global_step >= trainer.estimated_stepping_batches:
            return  # it has come to its end
        if band := falls_behind(own, curves, self.bands, self.eta, self.strict):
            self.stopped = f"hyperband: not among the best 1/{self.eta:g} after {band} validations"
            trainer.should_stop = True

    def _value(self, point: dict[str, Any], module: Any) -> float:
        split, _, name = self.metric.partition("/")
        if self.metric == "score":
            split, name = next(iter(module.gold)), module.metrics[0]
        try:
            return point["metrics"][split][name]
        except KeyError:
            known = [f"{s}/{m}" for s, values in point["metrics"].items() for m in values]
            raise UserError(f"metric: {self.metric}: this task has score, {', '.join(known)}") from None


def falls_behind(
    own: Sequence[float], curves: Sequence[Sequence[float]], bands: Sequence[int], eta: float, strict: bool = False
) -> int | None:
    """The band at which a run is worse than the best 1/eta of the runs that have got there; None when it is not.

    Args:
        own: the run's values so far, lower is better.
        curves: those of all runs, its own among them.
        bands: ascending.
    """
    reached = [band for band in bands if band <= len(own)]
    if not reached:
        return None
    band = reached[-1]
    there = sorted(curve[band - 1] for curve in curves if len(curve) >= band)
    threshold = there[int(len(there) / eta)]
    value = own[band - 1] if strict else min(own)
    return band if value > threshold else None
