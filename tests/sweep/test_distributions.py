"""Parameters of a sweep file: drawn as W&B defines them, held against scipy's distributions."""

import math

import numpy as np
import pytest
from scipy import stats

from head2head.sweep.distributions import KINDS
from head2head.sweep.parameters import parameter

DRAWS = 4000
UNLIKELY = 1e-4  # draws that a right distribution would give less often count as wrong
LOG = math.log


def draws(settings, count=DRAWS):
    rng = np.random.default_rng(7)
    drawn = parameter(settings)
    return [drawn.sample(rng) for _ in range(count)]


def uniform(low, high):
    return stats.uniform(low, high - low)


def exponential_of(low, high):
    """exp(X), X uniform between the bounds."""
    return stats.loguniform(math.exp(low), math.exp(high))


# Each continuous distribution of W&B's documentation, with settings and scipy's form of its definition.
CONTINUOUS = {
    "uniform": ({"min": -1.5, "max": 4}, uniform(-1.5, 4)),
    "log_uniform": ({"min": -9, "max": -5.5}, exponential_of(-9, -5.5)),
    "log_uniform_values": ({"min": 1.0e-5, "max": 1.0e-2}, stats.loguniform(1e-5, 1e-2)),
    "inv_log_uniform": ({"min": 1, "max": 3}, exponential_of(-3, -1)),  # log(1/X) is uniform
    "inv_log_uniform_values": ({"min": 0.2, "max": 7}, stats.loguniform(0.2, 7)),
    "normal": ({"mu": 2, "sigma": 0.5}, stats.norm(2, 0.5)),
    "log_normal": ({"mu": -1, "sigma": 0.7}, stats.lognorm(s=0.7, scale=math.exp(-1))),
    "beta": ({"a": 2, "b": 5}, stats.beta(2, 5)),
}
# With the step to which draws are rounded: some whole, some not.
QUANTIZED = {
    "q_uniform": ({"min": 3, "max": 40, "q": 5}, uniform(3, 40)),
    "q_log_uniform": ({"min": 0, "max": 3, "q": 2}, exponential_of(0, 3)),
    "q_log_uniform_values": ({"min": 0.1, "max": 2, "q": 0.25}, stats.loguniform(0.1, 2)),
    "q_normal": ({"mu": 1, "sigma": 2, "q": 0.5}, stats.norm(1, 2)),
    "q_log_normal": ({"mu": 0, "sigma": 1, "q": 1}, stats.lognorm(s=1)),
    "q_beta": ({"a": 1, "b": 3, "q": 0.1}, stats.beta(1, 3)),
}


def test_every_distribution_is_tested_here():
    assert {*CONTINUOUS, *QUANTIZED, "int_uniform"} == set(KINDS)


@pytest.mark.parametrize("kind", CONTINUOUS)
def test_a_continuous_distribution_is_scipys(kind):
    settings, expected = CONTINUOUS[kind]
    assert stats.kstest(draws({"distribution": kind, **settings}), expected.cdf).pvalue > UNLIKELY


@pytest.mark.parametrize("kind", sorted(set(CONTINUOUS) - {"normal", "log_normal"}))
def test_draws_keep_to_the_bounds(kind):
    settings, expected = CONTINUOUS[kind]
    low, high = expected.support()
    found = draws({"distribution": kind, **settings})
    assert low <= min(found) <= max(found) <= high


@pytest.mark.parametrize("bounds", [(0.1, 0.1000001), (1e-5, 1.0000001e-5)])
def test_rounding_does_not_carry_a_logarithmic_draw_over_the_bounds(bounds):
    low, high = bounds
    found = draws({"distribution": "log_uniform_values", "min": low, "max": high})
    assert low <= min(found) <= max(found) <= high


@pytest.mark.parametrize("kind", QUANTIZED)
def test_a_quantized_distribution_is_scipys_rounded_to_q(kind):
    """round(X / q) * q: the chance of a multiple is X's chance of falling within half a step of it."""
    settings, expected = QUANTIZED[kind]
    q = settings["q"]
    found = draws({"distribution": kind, **settings})
    assert all(type(value) is type(q) for value in found)
    multiples = np.rint(np.array(found) / q).astype(int)
    np.testing.assert_allclose(found, multiples * q, rtol=0, atol=1e-12)
    low, high = np.quantile(multiples, [0.02, 0.98]).astype(int)
    inner = np.arange(low, high) + 0.5  # edges between multiples, the tails in one bin each
    cells = np.concatenate([[-np.inf], inner, [np.inf]])
    observed, _ = np.histogram(multiples, cells)
    chances = np.diff(expected.cdf(cells * q))
    assert stats.chisquare(observed, chances * len(found)).pvalue > UNLIKELY


def test_multiples_of_q_are_written_with_its_digits():
    found = draws({"distribution": "q_uniform", "min": 0, "max": 1, "q": 0.1})
    assert {str(value) for value in found} == {f"{i / 10}" for i in range(11)}
    tiny = draws({"distribution": "q_uniform", "min": 0, "max": 3e-14, "q": 1e-14})
    assert {str(value) for value in tiny} == {"0.0", "1e-14", "2e-14", "3e-14"}


def test_int_uniform_includes_both_bounds_with_equal_chances():
    found = draws({"distribution": "int_uniform", "min": -2, "max": 4})
    values, counts = np.unique(found, return_counts=True)
    assert list(values) == list(range(-2, 5))
    assert all(type(value) is int for value in found)
    assert stats.chisquare(counts).pvalue > UNLIKELY


def test_values_are_drawn_with_equal_or_given_probabilities():
    values = ["cls", True, 0.5]
    equal = draws({"values": values})
    assert stats.chisquare([equal.count(value) for value in values]).pvalue > UNLIKELY
    given = draws({"values": values, "probabilities": [0.7, 0.3, 0]})
    counts = [given.count(value) for value in values]
    assert counts[2] == 0
    assert stats.chisquare(counts[:2], np.array([0.7, 0.3]) * DRAWS).pvalue > UNLIKELY


def test_a_grid_takes_whole_numbers_to_the_last_and_steps_of_q_up_to_it():
    assert parameter({"min": 1, "max": 3}).grid == (1, 2, 3)
    steps = parameter({"distribution": "q_uniform", "min": 0.1, "max": 0.35, "q": 0.1}).grid
    assert steps == (0.1, 0.2, 0.30000000000000004)  # W&B's values to the last digit, since keys depend on them
    assert parameter({"distribution": "q_uniform", "min": 2, "max": 10, "q": 4}).grid == (2, 6)
    assert parameter({"distribution": "uniform", "min": 1, "max": 3}).grid is None
