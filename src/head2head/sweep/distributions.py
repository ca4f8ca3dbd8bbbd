"""What a parameter of a sweep file may be: W&B's distributions.

Names, defaults and meanings are those of W&B's sweep configuration (docs.wandb.ai, "Sweep configuration options"):
`log_uniform` and `q_log_uniform` take the bounds' natural logarithms, the `_values` forms the bounds themselves;
`inv_log_uniform` is a value whose inverse is log-uniform; `q_` rounds to a multiple of q.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.random import Generator

from head2head.errors import UserError, did_you_mean


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
        base = self.kind.removeprefix("q_")
        value = DRAW[base](rng, self.settings)
        if base != self.kind:
            step = self.settings["q"]
            value = round(value / step) * step
            return int(value) if isinstance(step, int) else round(value, _decimals(step))
        return value

    @property
    def grid(self) -> tuple[float | int, ...] | None:
        """The values of a range that has few enough to be gone through, as W&B's grid search does."""
        low, high = self.settings.get("min", 0), self.settings.get("max", 0)
        if self.kind == "int_uniform":
            return tuple(range(int(low), int(high) + 1))
        if self.kind == "q_uniform":
            step = self.settings["q"]
            count = math.ceil((high - low) / step - 1e-9)
            return tuple(
                low + i * step if isinstance(step, int) else round(low + i * step, 12) for i in range(max(count, 1))
            )
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
DEFAULTS = {"mu": 0, "sigma": 1, "a": 1, "b": 1, "q": 1}


def parameter(settings: Any) -> Parameter:
    """What a parameter's entry in a sweep file stands for.

    Raises:
        UserError: it stands for nothing that W&B documents.
    """
    if not isinstance(settings, dict):
        raise UserError("expected `value: X`, `values: [X, Y]` or `distribution: NAME` with its settings")
    if "value" in settings:
        _only(settings, {"value", "distribution"})
        return Choice((settings["value"],))
    if "values" in settings:
        return _choice(settings)
    return _range(settings)


def _choice(settings: dict[str, Any]) -> Choice:
    _only(settings, {"values", "probabilities", "distribution"})
    values, chances = settings["values"], settings.get("probabilities")
    if not isinstance(values, list) or not values:
        raise UserError(f"values: {values}: expected a list of at least one value")
    if chances is None:
        return Choice(tuple(values))
    if not isinstance(chances, list) or len(chances) != len(values) or not all(_number(p) and p >= 0 for p in chances):
        raise UserError("probabilities: expected a number of 0 or above for each value")
    if not math.isclose(sum(chances), 1, abs_tol=1e-6):
        raise UserError(f"probabilities: sum to {sum(chances):g}, expected 1")
    return Choice(tuple(values), tuple(p / sum(chances) for p in chances))


def _range(settings: dict[str, Any]) -> Range:
    low, high = settings.get("min"), settings.get("max")
    whole = isinstance(low, int) and isinstance(high, int)
    kind = settings.get("distribution", "int_uniform" if whole else "uniform")  # W&B's default
    if kind not in KINDS:
        raise UserError(
            f"unknown distribution {kind!r}; {did_you_mean(str(kind), [*KINDS, 'categorical', 'constant'])}"
        )
    names = _setting_names(kind)
    _only(settings, {*names, "distribution"})
    found = {name: settings.get(name, DEFAULTS.get(name)) for name in names}
    for name, value in found.items():
        if not _number(value):
            raise UserError(f"{name}: {value}: {kind} needs a number")
    _check_range(kind, found)
    return Range(kind, found)


def _setting_names(kind: str) -> tuple[str, ...]:
    base = kind.removeprefix("q_")
    names = ("min", "max") if base in BOUNDS else ("a", "b") if base == "beta" else ("mu", "sigma")
    return (*names, "q") if base != kind else names


def _check_range(kind: str, found: Mapping[str, Any]) -> None:
    if "min" in found and not found["min"] < found["max"]:
        raise UserError(f"min: {found['min']} is not below max: {found['max']}")
    if kind.endswith("_values") and found["min"] <= 0:
        raise UserError(f"min: {found['min']}: {kind} needs a number above 0")
    if kind == "int_uniform" and not all(isinstance(found[name], int) for name in ("min", "max")):
        raise UserError("int_uniform needs whole numbers for min and max")
    if any(found.get(name, 1) <= 0 for name in ("sigma", "a", "b", "q")):
        raise UserError(f"{kind}: sigma, a, b and q are numbers above 0")


def _only(settings: Mapping[str, Any], known: set[str]) -> None:
    if unknown := sorted(set(settings) - known):
        raise UserError(f"{unknown[0]}: not expected here; {did_you_mean(unknown[0], sorted(known))}")


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _decimals(step: float) -> int:
    """Digits behind the point that a multiple of the step can have."""
    text = f"{step:.12f}".rstrip("0")
    return len(text.partition(".")[2])


def flatten(parameters: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested parameters by dotted names: {"optimizer": {"parameters": {"lr": X}}} is {"optimizer.lr": X}."""
    found: dict[str, Any] = {}
    for name, settings in parameters.items():
        if isinstance(settings, dict) and isinstance(settings.get("parameters"), dict):
            found |= flatten(settings["parameters"], f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = settings
    return found
