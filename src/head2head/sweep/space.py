"""From a sweep file and what was typed to the overrides of each run."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from head2head.errors import UserError
from head2head.sweep.distributions import Choice, Parameter, Range
from head2head.sweep.file import SweepFile


def narrowed(file: SweepFile, typed: Mapping[str, Sequence[str]]) -> dict[str, Parameter]:
    """The file's parameters with what was typed in their place.

    Args:
        typed: setting -> the values it was given on the command line.
    """
    return {**file.parameters, **{name: Choice(tuple(values)) for name, values in typed.items()}}


def grid(parameters: Mapping[str, Parameter], cap: int | None = None) -> list[dict[str, Any]]:
    """Every combination of values. The seed varies slowest, so that a sweep that is broken off has all
    heads under the first seeds."""
    values = {name: p.values if isinstance(p, Choice) else p.grid or () for name, p in parameters.items()}
    names = sorted(values, key=lambda name: name != "seed")  # a stable sort: else the file's order
    return [dict(zip(names, row, strict=True)) for row in itertools.product(*(values[n] for n in names))][:cap]


def sample(parameters: Mapping[str, Parameter], count: int, seed: int) -> list[dict[str, Any]]:
    """Random combinations. The i-th depends on the seed and i alone: a higher cap only adds runs."""
    found = []
    for i in range(count):
        rng = np.random.default_rng([seed, i])
        found.append({name: p.sample(rng) for name, p in parameters.items()})
    return found


def overrides(assignment: Mapping[str, Any]) -> list[str]:
    """What W&B's agent puts in place of ${args_no_hyphens}: key=value with Python's str of the value.

    Raises:
        UserError: a value that does not survive that.
    """
    found = []
    for name, value in assignment.items():
        if value is None:
            raise UserError(f"parameters: {name}: null reaches train.py as the word None; leave the parameter out")
        if isinstance(value, (dict, list)):
            raise UserError(f"parameters: {name}: {value}: give plain values; nested settings by dotted names")
        found.append(f"{name}={value}")
    return found


def is_open(parameters: Mapping[str, Parameter]) -> list[str]:
    """Names of the parameters that have more than one value, for bayes to search."""
    return [name for name, p in parameters.items() if isinstance(p, Range) or len(p.values) > 1]
