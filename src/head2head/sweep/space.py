"""From a sweep file and what was typed to the overrides of each run."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from head2head.sweep.distributions import Choice, Parameter
from head2head.sweep.file import SweepFile

SLOWEST = {"repeat": 0, "fold": 1, "seed": 2}


def narrowed(file: SweepFile, typed: Mapping[str, Sequence[str]]) -> dict[str, Parameter]:
    """The file's parameters with what was typed in their place.

    Args:
        typed: setting -> the values it was given on the command line.
    """
    return {**file.parameters, **{name: Choice(tuple(values)) for name, values in typed.items()}}


def grid(parameters: Mapping[str, Parameter], cap: int | None = None) -> list[dict[str, Any]]:
    """Every combination of values. Repeat, fold and seed vary slowest, so that a sweep that is broken off has all heads
    under the first of them."""
    values = {name: p.values if isinstance(p, Choice) else p.grid or () for name, p in parameters.items()}
    names = sorted(values, key=lambda name: SLOWEST.get(name, len(SLOWEST)))  # a stable sort: else the file's order
    rows = itertools.islice(itertools.product(*(values[name] for name in names)), cap)
    return [dict(zip(names, row, strict=True)) for row in rows]


def sample(parameters: Mapping[str, Parameter], count: int, seed: int) -> list[dict[str, Any]]:
    """Random combinations. The i-th depends on the seed and i alone: a higher cap only adds runs."""
    found = []
    for i in range(count):
        rng = np.random.default_rng([seed, i])
        found.append({name: p.sample(rng) for name, p in parameters.items()})
    return found


def overrides(assignment: Mapping[str, Any]) -> list[str]:
    """What W&B's agent puts in place of ${args_no_hyphens}: key=value with Python's str of the value."""
    return [f"{name}={value}" for name, value in assignment.items()]
