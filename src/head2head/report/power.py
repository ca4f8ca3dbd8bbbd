"""How many seeds it takes: for any significant result, and for the observed difference."""

from __future__ import annotations

import math

import numpy as np
from scipy import special

POWER = 0.8
FEWEST = 3  # of two seeds the spread is anybody's guess
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
        a whole number; infinity above `MOST`; NaN where there is no spread to go by (n < 3) or no difference.
    """
    if len(differences) < FEWEST:
        return math.nan
    mean, std = abs(float(np.mean(differences))), float(np.std(differences, ddof=1))
    least = seeds_for_any(family, alpha)
    if mean < 1e-12:
        return math.nan
    if std < mean / 100:  # so large an effect that the floor alone counts
        return least
    effect, level = mean / std, alpha / family
    high = 2
    while power(effect, high, level) < POWER:
        high *= 2
        if high > MOST:
            return math.inf
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(effect, middle, level) >= POWER else (middle, high)
    return max(high, least)


def power(effect: float, n: int, alpha: float) -> float:
    """Power of the two-sided paired t test of n pairs by the noncentral t distribution (Cohen 1988).

    Args:
        effect: mean over standard deviation of the differences, not negative.
    """
    critical, shift = special.stdtrit(n - 1, 1 - alpha / 2), effect * math.sqrt(n)
    # The other tail is below the normal one, 3e-7, and not computable where it is far below.
    other = special.nctdtr(n - 1, shift, -critical) if shift < 5 else 0.0
    return float(1 - special.nctdtr(n - 1, shift, critical) + other)
