"""How certain the difference of two heads is: examples and runs together.

R runs (folds x repeats, or seeds on one validation set) score head A and head B; D_r is their difference in run r,
by the metric of the run's examples, and the estimate is the mean D over runs. u_rc is the influence of cluster c
(an example, or examples that share a text or a document) on D_r, 0 where run r does not predict c
(`statistics/influence.py`). Then

    V_examples = sum_c (1/R sum_r u_rc)^2           examples, paired; an example's influence averaged over runs first
    W          = 1/(R-1) sum_c sum_r (u_rc - u_.c)^2    spread of D_r over runs that its examples explain
    S^2        = 1/(R-1) sum_r (D_r - D)^2              spread of D_r over runs
    V_runs     = max(0, S^2 - W) / R                   by the method of moments
    V          = V_examples + V_runs

Nothing is counted twice, in either design. Seeds on one set: what an example does in all runs alike is in V_examples
and cancels from both S^2 and W; what it does in one run alone is in all three, and S^2 - W takes it off again (the
moment estimator of a crossed design: Owen 2007, Annals of Applied Statistics). Folds of one repeat: runs have
examples of their own, W / R = V_examples, so that V = max(V_examples, S^2 / R); repeats lie between.

Degrees of freedom (Satterthwaite 1946) where S^2 > W, with G clusters:
    nu = V^2 / (V_examples^2 / (G-1) + (S^2/R)^2 / (R-1)), at least R-1 and at most G-1;
where runs add nothing, V = V_examples and nu = G-1. `benchmarks/coverage.py` shows what this covers. It does not
cover that folds share training rows (Bengio and Grandvalet 2004, JMLR), nor other training data.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import optimize, special, stats

from head2head.statistics.influence import Influences

FEWEST_RUNS = 5  # of fewer, the spread between runs is anybody's guess
POWER = 0.8
LEAST, FACTORS = 0.01, 1000.0  # times as many runs or rows: more are as good as never
MARGIN = 0.01  # one point
DRAWS = 100_000
DIGITS = 12  # scores drawn that agree to so many are equal


class Components(NamedTuple):
    """Variance of a mean over runs; arrays of any number of comparisons."""

    examples: np.ndarray
    runs: np.ndarray
    freedom: np.ndarray

    @property
    def variance(self) -> np.ndarray:
        """Of the mean."""
        return self.examples + self.runs


def components(scores: np.ndarray, influence: np.ndarray) -> Components:
    """V_examples, V_runs and nu of the module's docstring.

    Args:
        scores: (..., R) scores, or differences of scores, by run.
        influence: (..., R, G) of each cluster on them.

    Returns:
        (...) each; of one run, V_runs is 0, since nothing is known of it.
    """
    runs, clusters = influence.shape[-2:]
    averaged = influence.mean(axis=-2)
    examples = (averaged**2).sum(axis=-1)
    if runs == 1:
        return Components(examples, np.zeros_like(examples), np.full_like(examples, clusters - 1))
    explained = ((influence**2).sum(axis=(-2, -1)) - runs * examples) / (runs - 1)
    between = scores.var(axis=-1, ddof=1)
    # Equal scores of all runs leave rounding errors in both.
    beyond = np.where(between - explained > 1e-12 * (between + explained), between - explained, 0) / runs
    spread = examples**2 / max(clusters - 1, 1) + (between / runs) ** 2 / (runs - 1)
    freedom = np.divide((examples + beyond) ** 2, spread, out=np.full_like(spread, runs - 1), where=spread > 0)
    freedom = np.clip(freedom, min(runs, clusters) - 1, max(clusters, runs) - 1)
    return Components(examples, beyond, np.where(beyond > 0, freedom, clusters - 1))


class Estimate(NamedTuple):
    """A score or difference, as a fraction: 0.01 is one point.

    `p` is two-sided, against 0; NaN where `testable` is not, that is for fewer than `FEWEST_RUNS` runs and where
    no example makes any difference of its own (then there is no interval either, unless the estimate is 0).
    """

    mean: float
    low: float
    high: float
    p: float
    freedom: float
    variance_examples: float
    variance_runs: float
    testable: bool


def estimate(scores: np.ndarray, influence: np.ndarray, level: float = 0.95) -> Estimate:
    """Mean over runs, t interval and t test.

    Args:
        scores: (R,); influence: (R, G), as of `components`.
        level: coverage of the interval.
    """
    parts = components(scores, influence)
    mean, error, freedom = float(scores.mean()), math.sqrt(parts.variance), float(parts.freedom)
    same = error == 0 and mean == 0  # two heads of the same answers
    half = 0.0 if same else error * special.stdtrit(freedom, (1 + level) / 2) if error > 0 else math.nan
    testable = len(scores) >= FEWEST_RUNS and (error > 0 or same)
    p = math.nan
    if testable:
        p = 1.0 if same else float(2 * special.stdtr(freedom, -abs(mean) / error))
    variances = float(parts.examples), float(parts.runs)
    return Estimate(mean, mean - half, mean + half, p, freedom, *variances, testable)


def score(found: Influences, head: str, level: float = 0.95) -> Estimate:
    """A head's own score; its p says nothing."""
    i = found.heads.index(head)
    return estimate(found.scores[i], found.influence[i], level)


def difference(found: Influences, head: str, other: str, level: float = 0.95) -> Estimate:
    """`head` less `other`, paired by run and example."""
    i, j = found.heads.index(head), found.heads.index(other)
    return estimate(found.scores[i] - found.scores[j], found.influence[i] - found.influence[j], level)


def joint_covariance(found: Influences) -> np.ndarray:
    """(H, H) covariance of the heads' means: V as above, in matrices; of S^2 - W the negative eigenvalues are 0."""
    runs = found.scores.shape[1]
    averaged = found.influence.mean(axis=1)
    examples = averaged @ averaged.T
    if runs == 1:
        return examples
    flat = found.influence.reshape(len(found.heads), -1)
    explained = (flat @ flat.T - runs * examples) / (runs - 1)
    values, vectors = np.linalg.eigh(np.cov(found.scores).reshape(examples.shape) - explained)
    return examples + (vectors * np.maximum(values, 0)) @ vectors.T / runs


def probability_best(found: Influences) -> dict[str, float]:
    """How likely each head has the highest true score, by `DRAWS` draws of a fixed generator.

    Draws are of the multivariate t around the observed means with `joint_covariance` (a flat prior's posterior, but
    for the degrees of freedom: the fewest of the leader's differences). Heads of equal draws share the win.
    """
    means, rng = found.scores.mean(axis=1), np.random.default_rng(0)
    leader = found.heads[int(means.argmax())]
    others = [head for head in found.heads if head != leader]
    freedom = min((difference(found, leader, head).freedom for head in others), default=1.0)
    values, vectors = np.linalg.eigh(joint_covariance(found))
    normal = rng.standard_normal((DRAWS, len(means))) @ (vectors * np.sqrt(np.maximum(values, 0))).T
    drawn = np.round(means + normal / np.sqrt(rng.chisquare(freedom, (DRAWS, 1)) / freedom), DIGITS)
    best = drawn == drawn.max(axis=1, keepdims=True)
    shares = (best / best.sum(axis=1, keepdims=True)).mean(axis=0)
    return dict(zip(found.heads, shares.tolist(), strict=True))


def practically_equal(found: Estimate, margin: float = MARGIN) -> bool:
    """The whole interval lies within the margin; never of an interval that is not there."""
    return -margin < found.low and found.high < margin


def detectable(variance: float, freedom: float, alpha: float = 0.05, power: float = POWER) -> float:
    """The smallest true difference that the two-sided t test finds with the given power.

    Args:
        variance: of the estimated difference, as an `Estimate` has it in two parts.
        alpha: of the test; divided by the number of comparisons for the first step of Holm's.
    """
    critical = special.stdtrit(freedom, 1 - alpha / 2)
    shift = optimize.brentq(lambda x: 1 - special.nctdtr(freedom, x, critical) - power, 0, 10 * critical)
    return float(shift * math.sqrt(variance))


def detectable_by_design(
    examples: int, runs: int, disagreement: float, run_spread: float, alpha: float = 0.05, power: float = POWER
) -> float:
    """`detectable` before anything has run, for a score that is a mean of rights and wrongs.

    Args:
        examples: different examples predicted; of clustered ones, the number of clusters.
        runs: at least 2.
        disagreement: share of examples of which one head alone is right: the variance per example where heads
            are equally good (McNemar 1947).
        run_spread: standard deviation over runs of the heads' difference, beyond what examples explain, as a fraction.
    """
    by_example, by_run = disagreement / examples, run_spread**2 / runs
    variance = by_example + by_run
    freedom = variance**2 / (by_example**2 / (examples - 1) + by_run**2 / (runs - 1))
    return detectable(variance, freedom, alpha, power)


class OverRuns(NamedTuple):
    """A t test of R differences that looks at nothing but their spread."""

    t: float
    p: float
    low: float
    high: float


def over_runs(differences: np.ndarray, level: float = 0.95) -> OverRuns:
    """Paired t over runs alone: says nothing of other examples where runs share them.

    Args:
        differences: (R,), R at least 2.
    """
    return _t_of(differences, 1 / len(differences), level)


def nadeau_bengio(differences: np.ndarray, train_rows: float, test_rows: float, level: float = 0.95) -> OverRuns:
    """Corrected resampled t (Nadeau and Bengio 2003, Machine Learning 52): variance (1/R + test/train) S^2.

    Args:
        differences: (R,) by fold and repeat, R at least 2.
        train_rows, test_rows: of a fold, on average.
    """
    return _t_of(differences, 1 / len(differences) + test_rows / train_rows, level)


def _t_of(differences: np.ndarray, factor: float, level: float) -> OverRuns:
    mean, freedom = float(np.mean(differences)), len(differences) - 1
    error = math.sqrt(factor * np.var(differences, ddof=1))
    if error == 0:
        return OverRuns(math.nan, math.nan, mean, mean)
    half = error * stats.t.ppf((1 + level) / 2, freedom)
    return OverRuns(mean / error, float(2 * stats.t.sf(abs(mean) / error, freedom)), mean - half, mean + half)


def holm(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """Adjusted p of a family of tests (Holm 1979); those that could not be made (NaN) are no part of it."""
    p = np.asarray(p, dtype=float)
    adjusted = np.full(len(p), np.nan)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]  # NaN is sorted to the end
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return adjusted


class Needed(NamedTuple):
    """What would decide whether two heads differ: an order of magnitude, from the variances found.

    runs: how many in all would do with the same rows; infinite where the variance over examples alone is too large.
    rows: how many times the rows would do with as many runs; infinite where the variance between runs alone is.
    """

    runs: float
    rows: float


def needed(
    variance_examples: float, variance_runs: float, freedom: float, runs: int, target: float, alpha: float = 0.05
) -> Needed:
    """How many runs, or how many times the rows, would find a difference of the size `target` with 80 % power; infinite
    where not even `FACTORS` times as many would.

    More runs make the variance between runs smaller and its degrees of freedom more; more rows do neither.

    Args:
        variance_examples, variance_runs, freedom: of the difference, as an `Estimate` has them.
        runs: that it was estimated from.
        target: the difference, above 0.
    """

    def more_runs(factor: float) -> float:
        return detectable(variance_examples + variance_runs / factor, max(freedom * factor, 1.0), alpha)

    def more_rows(factor: float) -> float:
        return detectable(variance_examples / factor + variance_runs, freedom, alpha)

    return Needed(runs * _smallest_factor(more_runs, target), _smallest_factor(more_rows, target))


def _smallest_factor(found: Callable[[float], float], target: float) -> float:
    """The smallest factor, from LEAST to FACTORS, at which a falling function is at most the target."""
    if found(FACTORS) > target:
        return math.inf
    if found(LEAST) <= target:
        return LEAST
    return math.exp(optimize.brentq(lambda x: found(math.exp(x)) - target, math.log(LEAST), math.log(FACTORS)))
