"""Tests and intervals over seeds, many at once: rows of an array are cells or comparisons.

Runs of two heads with one seed see the same batches, so scores are paired by seed. The pairs are few and
their distribution unknown, which is why the test is one of permutation (Dror et al. 2018, ACL, section 3).
What it covers is the spread over seeds: with one validation set it says nothing of other examples
(`--examples` does), and with one training set nothing of other training data (Bouckaert and Frank 2004, PAKDD).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import numpy as np
from scipy import special, stats

EXACT_SEEDS = 14  # all 2^n sign flips are counted up to here
RESAMPLES = 9999  # of bootstraps, and of permutation tests with more seeds
DIGITS = 9  # sums of scores that agree to so many are equal: 0.1 + 0.2 and 0.3 are a tie
POWER = 0.8
FEWEST = 3  # of two seeds the spread is anybody's guess
MOST = 10_000  # seeds; more are as good as never


def total(scores: np.ndarray, axis: int = -1) -> np.ndarray:
    """Sums in which ties are ties: scores are ratios of counts, and their sums often tie but for rounding errors."""
    return np.round(np.sum(scores, axis=axis), DIGITS)


def sign_flip(differences: np.ndarray) -> np.ndarray:
    """Two-sided permutation test of paired differences: their mean under all flips of signs.

    Args:
        differences: (m, n), n pairs of each of m comparisons.

    Returns:
        (m,) p: twice the share of flips whose mean is as far out on the observed side, at most 1. For n above
        `EXACT_SEEDS` from `RESAMPLES` random flips of a fixed generator, the observed one counted with them.
    """
    n = differences.shape[-1]
    if n == 1:
        return np.ones(len(differences))
    result = stats.permutation_test(
        (differences, np.zeros_like(differences)),
        lambda x, y, axis: total(x - y, axis),
        permutation_type="samples",
        vectorized=True,
        axis=-1,
        n_resamples=2**n if n <= EXACT_SEEDS else RESAMPLES,
        batch=1000,
        rng=np.random.default_rng(0),
    )
    return np.asarray(result.pvalue)


def wilcoxon(differences: np.ndarray) -> np.ndarray:
    """Two-sided signed-rank test of paired differences (Wilcoxon 1945), exact also with ties.

    Args:
        differences: (m, n).

    Returns:
        (m,) p; 1 where all differences are 0. Zeros are left out, as Wilcoxon did.
    """
    n = differences.shape[-1]
    method = stats.PermutationMethod(n_resamples=2**n if n <= EXACT_SEEDS else RESAMPLES, rng=np.random.default_rng(0))
    rows = np.round(differences, DIGITS)
    return np.array([stats.wilcoxon(row, method=method).pvalue if row.any() else 1.0 for row in rows])


TESTS = {"permutation": sign_flip, "wilcoxon": wilcoxon}


def holm(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """Adjusted p of a family of tests (Holm 1979); those that could not be made (NaN) are no part of it."""
    p = np.asarray(p, dtype=float)
    adjusted = np.full(len(p), np.nan)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]  # NaN is sorted to the end
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return adjusted


def smallest_p(n: int) -> float:
    """The smallest p that n pairs can give: all differences have one sign, 2 of 2^n flips.

    Holm's adjusted p never rise when another p of the family falls, so that `holm` of all the smallest p gives
    the smallest adjusted p of each.
    """
    return 2 / 2**n if n <= EXACT_SEEDS else 2 / (RESAMPLES + 1)


def intervals(values: np.ndarray, level: float) -> np.ndarray:
    """Bootstrap confidence intervals of means (BCa: Efron 1987).

    Args:
        values: (m, n).
        level: coverage, such as 0.95.

    Returns:
        (m, 2). NaN for n = 1; the point where all n values are equal; of percentiles where BCa has none.
    """
    if values.shape[-1] == 1:
        return np.full((len(values), 2), np.nan)
    equal = np.ptp(values, axis=-1) < 10**-DIGITS
    found = np.repeat(values.mean(axis=-1)[:, None], 2, axis=1)
    if not equal.all():
        found[~equal] = _bootstrap(values[~equal], level, "BCa")
    broken = np.isnan(found).any(axis=1)
    if broken.any():
        found[broken] = _bootstrap(values[broken], level, "percentile")
    return found


def _bootstrap(values: np.ndarray, level: float, method: str) -> np.ndarray:
    """BCa compares resampled sums with the observed one, and sums of few scores tie often."""
    with warnings.catch_warnings():  # of degenerate distributions: they get percentiles
        warnings.simplefilter("ignore")
        interval = stats.bootstrap(
            (values,),
            total,
            axis=-1,
            vectorized=True,
            n_resamples=RESAMPLES,
            batch=1000,
            confidence_level=level,
            method=method,
            rng=np.random.default_rng(0),
        ).confidence_interval
    return np.stack([interval.low, interval.high], axis=-1) / values.shape[-1]


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
