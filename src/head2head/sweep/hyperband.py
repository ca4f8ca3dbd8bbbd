"""`early_terminate: hyperband` of a sweep file: after how many validations runs are held against each other."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from head2head.errors import UserError, did_you_mean

KEYS = frozenset({"type", "min_iter", "max_iter", "s", "eta", "strict"})
MOST = 10**6  # no run is validated more often


@dataclass(frozen=True)
class HyperbandBands:
    """When runs are stopped early.

    bands: numbers of validations after which a run is held against the others, ascending.
    eta: a run goes on when it is among the best 1/eta.
    strict: hold the value at the band against the others', not the best value so far.
    """

    bands: tuple[int, ...]
    eta: float
    strict: bool = False


def parse(content: Any) -> HyperbandBands:
    """W&B's bands: min_iter * eta^k for k from 0, or max_iter / eta^k for k from 1 to s; eta is 3 when not given.

    `strict` is false when not given, as W&B documents (the schema of W&B's own code has true).

    Raises:
        UserError: it is not as W&B documents it.
    """
    if not isinstance(content, dict) or content.get("type") != "hyperband":
        raise UserError("expected type: hyperband")
    if unknown := sorted(str(name) for name in content if name not in KEYS):
        raise UserError(f"unknown key {unknown[0]!r}; {did_you_mean(unknown[0], KEYS)}")
    eta, strict = content.get("eta", 3), content.get("strict", False)
    if not isinstance(eta, (int, float)) or not 1 < eta < math.inf:
        raise UserError(f"eta: {eta}: expected a number above 1")
    if not isinstance(strict, bool):
        raise UserError(f"strict: {strict}: expected true or false")
    for name in ("min_iter", "max_iter", "s"):
        value = content.get(name, 1)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise UserError(f"{name}: {value}: expected a whole number above 0")
    return HyperbandBands(_bands(content, eta), float(eta), strict)


def _bands(content: dict[str, Any], eta: float) -> tuple[int, ...]:
    if "max_iter" in content:
        if "s" not in content:
            raise UserError("max_iter needs s, the number of bands")
        shrinking = itertools.accumulate(range(content["s"]), lambda band, _: band / eta, initial=content["max_iter"])
        numbers: Iterator[float] = itertools.islice(shrinking, 1, None)
    elif "min_iter" in content:
        numbers = itertools.accumulate(range(99), lambda band, _: band * eta, initial=content["min_iter"])
    else:
        raise UserError("expected min_iter, or max_iter and s")
    bands = sorted({int(band) for band in numbers if 1 <= band <= MOST})
    if not bands:
        raise UserError("no band: raise max_iter, or lower eta")
    return tuple(bands)
