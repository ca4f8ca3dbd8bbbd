"""What a parameter of a sweep file may be: W&B's distributions.

Names, defaults and meanings are those of W&B's sweep configuration (docs.wandb.ai, "Sweep configuration options"):
`log_uniform` and `q_log_uniform` take the bounds' natural logarithms, the `_values` forms the bounds themselves;
`inv_log_uniform` is a value whose inverse is log-uniform; `q_` rounds to a multiple of q.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.random import Generator


@dataclass(frozen=True)
class Choice:
    """One of some values, with equal or given probabilities."""

    values: tuple[Any, ...]
    probabilities: tuple[float, ...] | None = None

    def sample(self, rng: Generator) -> Any:
        return self.values[int(rng.choice(len(self.values), p=self.probabilities))]


@dataclass(frozen=True)
class Range:
    """A number between two bounds, or around a mean.

    kind: the distribution's name at W&B.
    settings: min, max, mu, sigma, a, b, q: what the kind takes.
    """

    kind: str
    settings: Mapping[str, float]

    def sample(self, rng: Generator) -> float | int:
        value = DRAW[self.kind.removeprefix("q_")](rng, self.settings)
        return self.quantized(value) if "q" in self.settings else value

    def quantized(self, value: float) -> float | int:
        """The nearest multiple of q: a whole number when q is one."""
        step = self.settings["q"]
        multiple = round(value / step) * step
        return multiple if isinstance(step, int) else round(multiple, _decimals(step))

    @property
    def grid(self) -> tuple[float | int, ...] | None:
        """The values that W&B's grid search goes through: from min in steps of 1, or of q by numpy's arange.
        None for a range without end."""
        s = self.settings
        if self.kind == "int_uniform":
            return tuple(range(int(s["min"]), int(s["max"]) + 1))
        if self.kind == "q_uniform":
            return tuple(np.arange(s["min"], s["max"], s["q"]).tolist())  # to the last digit: the runs' keys follow
        return None


Parameter = Choice | Range


def _uniform(rng: Generator, s: Mapping[str, float]) -> float:
    return float(rng.uniform(s["min"], s["max"]))


def _log_values(rng: Generator, s: Mapping[str, float]) -> float:
    value = math.exp(rng.uniform(math.log(s["min"]), math.log(s["max"])))
    return min(max(value, s["min"]), s["max"])  # exp(log(x)) may be the next number after x


DRAW: dict[str, Callable[[Generator, Mapping[str, float]], Any]] = {
    "uniform": _uniform,
    "int_uniform": lambda rng, s: int(rng.integers(int(s["min"]), int(s["max"]), endpoint=True)),
    "log_uniform": lambda rng, s: math.exp(_uniform(rng, s)),
    "log_uniform_values": _log_values,
    "inv_log_uniform": lambda rng, s: math.exp(-_uniform(rng, s)),
    "inv_log_uniform_values": _log_values,
    "normal": lambda rng, s: float(rng.normal(s["mu"], s["sigma"])),
    "log_normal": lambda rng, s: float(rng.lognormal(s["mu"], s["sigma"])),
    "beta": lambda rng, s: float(rng.beta(s["a"], s["b"])),
}
BOUNDS = {"uniform", "int_uniform", "log_uniform", "log_uniform_values", "inv_log_uniform", "inv_log_uniform_values"}
QUANTIZED = {"uniform", "log_uniform", "log_uniform_values", "normal", "log_normal", "beta"}
KINDS = (*DRAW, *(f"q_{name}" for name in sorted(QUANTIZED)))


def _decimals(step: float) -> int:
    """Digits behind the point that a multiple of the step can have."""
    exponent = Decimal(repr(step)).as_tuple().exponent
    return max(0, -int(exponent))
