"""Group-sequential boundaries against published ones, the bivariate normal distribution, and simulation."""

import numpy as np
import pytest
from scipy import special, stats

from head2head.statistics.boundaries import levels

FIFTHS = tuple(k / 5 for k in range(1, 6))


def boundary(times, alpha, power):
    return -special.ndtri(levels(times, alpha, power))


def test_of_five_looks_they_are_the_published_ones():
    # Lan-DeMets with alpha t, one-sided 0.025: programs such as ldbounds print these.
    assert boundary(FIFTHS, 0.025, 1.0) == pytest.approx([2.576, 2.492, 2.411, 2.339, 2.276], abs=1e-3)


def test_two_looks_cross_by_chance_as_the_bivariate_normal_has_it():
    z, r = boundary((0.3, 1.0), 0.05, 1.5), np.sqrt(0.3)
    assert 1 - stats.multivariate_normal.cdf(z, cov=[[1, r], [r, 1]]) == pytest.approx(0.05, abs=1e-6)


def test_many_looks_cross_by_chance_in_a_share_of_alpha():
    times = np.array([2, 3, 4, 5, 7, 8, 9, 10]) / 10
    z = boundary(tuple(times), 0.05, 1.5)
    sums = np.random.default_rng(0).standard_normal((200_000, 10)).cumsum(axis=1)
    rounds = np.round(10 * times).astype(int)
    crossed = (sums[:, rounds - 1] / np.sqrt(rounds) > z).any(axis=1).mean()
    assert crossed == pytest.approx(0.05, abs=0.002)


def test_a_single_look_spends_all():
    assert levels((1.0,), 0.0125, 1.5) == (0.0125,)
