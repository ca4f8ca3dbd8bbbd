"""How many seeds it takes: for any significant result, and for the observed difference."""

from __future__ import annotations

import math

import numpy as np
from statsmodels.stats.power import TTestPower

POWER = 0.8
MOST = 10_000  # seeds; more are as good as never


def seeds_for_any(family: int, alpha: float) -> int:
    """The smallest n with m 2 / 2^n < alpha: with fewer, no exact test of m comparisons can be significant."""
    return next(n for n in range(1, 1100) if family * 2.0 ** (1 - n) < alpha)


def seeds_for(differences: np.ndarray, family: int, alpha: float) -> float:
    """Seeds that would show a difference of the observed size with 80 % power.

    By the paired t test at alpha / m, the level that Holm gives the smallest p of m; never below what the
    exact test needs. The effect is estimated from the same few seeds, so this is an order of magnitude.

    Args:
        differences: (n,) by seed.

    Returns:
        a whole number; infinity above `MOST`; NaN where there is no spread to go by (n < 2) or no difference.
    """
    if len(differences) < 2:
        return math.nan
    mean, std = abs(float(np.mean(differences))), float(np.std(differences, ddof=1))
    least = seeds_for_any(family, alpha)
    if mean < 1e-12:
        return math.nan
    if std < mean / 100:  # so large an effect that the floor alone counts
        return least
    test = TTestPower()

    def enough(n: int) -> bool:
        return bool(test.power(mean / std, n, alpha / family) >= POWER)

    high = 2
    while not enough(high):  # doubled from below: far above the answer the noncentral t is not computable
        high *= 2
        if high > MOST:
            return math.inf
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return max(high, least)
