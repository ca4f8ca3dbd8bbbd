"""The parameters of a sweep file, checked: what their entries stand for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from head2head.errors import UserError, did_you_mean
from head2head.sweep.distributions import BOUNDS, KINDS, Choice, Parameter, Range

DEFAULTS = {"mu": 0, "sigma": 1, "a": 1, "b": 1, "q": 1}
CHOICES = ("constant", "categorical", "categorical_w_probabilities")
SETTINGS = {"value", "values", "probabilities", "distribution", "min", "max", *DEFAULTS}


def parameter(settings: Any) -> Parameter:
    """What a parameter's entry in a sweep file stands for.

    Raises:
        UserError: it stands for nothing that W&B documents.
    """
    if not isinstance(settings, dict) or not settings:
        raise UserError("expected `value: X`, `values: [X, Y]` or `distribution: NAME` with its settings")
    _only(settings, SETTINGS)
    if "value" in settings:
        _only(settings, {"value", "distribution"})
        _check_kind(settings, CHOICES[:1], "value")
        _check_value(settings["value"])
        return Choice((settings["value"],))
    if "values" in settings:
        return _choice(settings)
    return _range(settings)


def _choice(settings: dict[str, Any]) -> Choice:
    _only(settings, {"values", "probabilities", "distribution"})
    _check_kind(settings, CHOICES[1:], "values")
    values, chances = settings["values"], settings.get("probabilities")
    if not isinstance(values, list) or not values:
        raise UserError(f"values: {values}: expected a list of at least one value")
    for value in values:
        _check_value(value)
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
    if kind in CHOICES:
        raise UserError(f"distribution: {kind} needs `{'value' if kind == 'constant' else 'values'}`")
    if kind not in KINDS:
        raise UserError(f"unknown distribution {kind!r}; {did_you_mean(str(kind), [*KINDS, *CHOICES])}")
    names = _setting_names(kind)
    _only(settings, {*names, "distribution"})
    found: dict[str, Any] = {name: settings.get(name, DEFAULTS.get(name)) for name in names}
    for name, value in found.items():
        if value is None:
            raise UserError(f"{name} is missing: {kind} needs it")
        if not _number(value):
            raise UserError(f"{name}: {value!r}: {kind} needs a number" + _how_to_write(value))
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


def _check_kind(settings: Mapping[str, Any], kinds: tuple[str, ...], what: str) -> None:
    kind = settings.get("distribution", kinds[0])
    if kind not in kinds:
        raise UserError(f"distribution: {kind}: with `{what}` it is {' or '.join(kinds)}, or left out")


def _check_value(value: Any) -> None:
    """What W&B's agents write into the command must be read as the same value there."""
    for part in value if isinstance(value, list) else [value]:
        if part is None:
            raise UserError("null reaches train.py as the word None; write 'null' in quotes")
        if isinstance(part, (dict, list)):
            raise UserError(f"{value}: not a plain value; give nested settings by dotted names")


def _how_to_write(value: Any) -> str:
    """Yaml takes 1e-5 for text."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return ""
    if not isinstance(value, str) or not math.isfinite(number):
        return ""
    text = repr(number)
    return f"; write {text if '.' in text else text.replace('e', '.0e')}"


def _only(settings: Mapping[str, Any], known: set[str]) -> None:
    if unknown := sorted(str(name) for name in settings if name not in known):
        raise UserError(f"{unknown[0]}: not expected here; {did_you_mean(unknown[0], sorted(known))}")


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def flatten(parameters: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested parameters by dotted names: {"optimizer": {"parameters": {"lr": X}}} is {"optimizer.lr": X}.

    Raises:
        UserError: a name is given twice, or there is something beside `parameters`.
    """
    found: dict[str, Any] = {}
    for name, settings in parameters.items():
        inner = {f"{prefix}{name}": settings}
        if isinstance(settings, dict) and isinstance(settings.get("parameters"), dict):
            if len(settings) > 1:
                raise UserError(f"{prefix}{name}: expected nothing beside its parameters")
            inner = flatten(settings["parameters"], f"{prefix}{name}.")
        if twice := sorted(set(found) & set(inner)):
            raise UserError(f"{twice[0]}: given twice")
        found |= inner
    return found
