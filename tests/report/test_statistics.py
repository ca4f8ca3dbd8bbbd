"""Tests and intervals over seeds, against hand-computed numbers and scipy."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from head2head.report import statistics


def test_all_differences_of_one_sign_give_two_in_two_to_the_n():
    for n in (2, 5, 8):
        assert statistics.sign_flip(np.linspace(0.01, 0.05, n)[None])[0] == 2 / 2**n


def test_the_sign_flip_test_equals_a_count_by_hand():
    # 1 + 2 + 3 - 4 = 2. Of the 16 flips only 1 - 2 - 3 + 4 = 0 and its opposite are nearer to 0.
    assert statistics.sign_flip(np.array([[1, 2, 3, -4]]) / 100)[0] == 14 / 16


def test_the_sign_flip_test_counts_every_flip():
    differences = np.random.default_rng(1).normal(0.3, 1, (5, 9)).round(2) / 100
    for row, p in zip(differences, statistics.sign_flip(differences), strict=True):
        whole = np.rint(row * 1e4)
        sums = [abs(np.dot(signs, whole)) for signs in itertools.product((1, -1), repeat=9)]
        assert p == pytest.approx(np.mean(np.array(sums) >= abs(whole.sum())))


@pytest.mark.parametrize("examples", [277, 1000, 3000])
def test_ties_are_counted_in_spite_of_rounding_errors(examples):
    rng = np.random.default_rng(0)
    right = rng.integers(0, 30, (300, 2, 6))  # examples that two heads get right, by seed
    shares = (examples - right) / examples
    for counts, p in zip(right, statistics.sign_flip(shares[:, 0] - shares[:, 1]), strict=True):
        whole = counts[0] - counts[1]
        sums = np.abs([np.dot(signs, whole) for signs in itertools.product((1, -1), repeat=6)])
        assert p == np.mean(sums >= abs(whole.sum()))


def test_no_difference_and_one_seed_give_one():
    assert statistics.sign_flip(np.zeros((1, 6)))[0] == 1
    assert statistics.sign_flip(np.array([[0.5]]))[0] == 1
    assert statistics.wilcoxon(np.zeros((1, 6)))[0] == 1


def test_with_many_seeds_flips_are_drawn_and_always_the_same():
    differences = np.random.default_rng(2).normal(0.5, 1, (1, 20))
    p = statistics.sign_flip(differences)
    assert p == statistics.sign_flip(differences)
    assert p[0] == pytest.approx(stats.ttest_1samp(differences[0], 0).pvalue, abs=0.02)
    assert statistics.smallest_p(20) == 2 / 10_000


def test_wilcoxon_is_scipys_exact_test():
    differences = np.random.default_rng(3).normal(0.5, 1, (3, 8))
    for row, p in zip(differences, statistics.wilcoxon(differences), strict=True):
        assert p == pytest.approx(stats.wilcoxon(row, method="exact").pvalue)


def test_wilcoxon_sees_ties_in_spite_of_rounding_errors():
    right = np.random.default_rng(0).integers(0, 8, (50, 2, 6))
    shares = (277 - right) / 277
    expected = statistics.wilcoxon((right[:, 0] - right[:, 1]).astype(float))
    assert statistics.wilcoxon(shares[:, 0] - shares[:, 1]).tolist() == pytest.approx(expected.tolist())


def test_holm_by_hand():
    # Ordered 0.005 x 4, 0.01 x 3, 0.03 x 2, 0.04 x 1, and never below the one before.
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_is_that_of_statsmodels():
    p = np.random.default_rng(6).random((3, 7)) ** 3
    for row in p:
        assert statistics.holm(row) == pytest.approx(multipletests(row, method="holm")[1])


def test_comparisons_that_were_not_made_are_no_part_of_the_family():
    assert statistics.holm([0.01, math.nan, 0.02])[[0, 2]].tolist() == pytest.approx([0.02, 0.02])
    assert np.isnan(statistics.holm([math.nan])).all()


def test_intervals_are_scipys_bca():
    def mean(sample: np.ndarray, axis: int) -> np.ndarray:
        return sample.sum(axis=axis).round(9) / sample.shape[axis]  # so that resamples tie where exact means would

    values = np.random.default_rng(4).normal(0.7, 0.02, (3, 6)).round(12)
    for row, interval in zip(values, statistics.intervals(values, 0.95), strict=True):
        expected = stats.bootstrap(
            (row,), mean, n_resamples=9999, batch=1000, method="BCa", rng=np.random.default_rng(0)
        ).confidence_interval
        assert interval.tolist() == pytest.approx(list(expected))


def test_the_interval_of_equal_values_is_the_point_and_of_one_value_none():
    assert statistics.intervals(np.full((1, 5), 0.7), 0.95)[0].tolist() == pytest.approx([0.7, 0.7])
    assert np.isnan(statistics.intervals(np.array([[0.7]]), 0.95)).all()


def test_equal_rows_do_not_disturb_others():
    values = np.random.default_rng(4).normal(0.7, 0.02, (2, 6))
    values[0] = 0.5
    assert statistics.intervals(values, 0.9)[1].tolist() == statistics.intervals(values[1:], 0.9)[0].tolist()


def test_the_smallest_p_that_seeds_can_give():
    assert statistics.smallest_p(5) == 0.0625
    assert statistics.smallest_p(8) == 2 / 256
    assert statistics.sign_flip(np.linspace(0.01, 0.05, 8)[None])[0] == statistics.smallest_p(8)


@pytest.mark.parametrize(("family", "least"), [(1, 6), (2, 7), (4, 8), (10, 9)])
def test_seeds_for_any_significance(family, least):
    assert statistics.seeds_for_any(family, 0.05) == least
    assert family * statistics.smallest_p(least) < 0.05 <= family * statistics.smallest_p(least - 1)


def test_seeds_for_an_effect_by_the_noncentral_t():
    # d = 0.5, alpha 0.05, two-sided, 80 % power: 34 pairs (Cohen 1988; G*Power).
    differences = np.array([-1.0, 0.0, 1.0]) + 0.5
    assert statistics.seeds_for(differences, 1, 0.05) == 34
    t, nc = stats.t.isf(0.025, 33), 0.5 * math.sqrt(34)
    assert stats.nct.sf(t, 33, nc) + stats.nct.cdf(-t, 33, nc) >= 0.8


@pytest.mark.parametrize("effect", [0.05, 0.4, 1.0, 2.0])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 12])
@pytest.mark.parametrize("n", [2, 3, 8, 40])
def test_power_is_that_of_statsmodels(effect, alpha, n):
    expected = TTestPower().power(effect, n, alpha)
    # Where statsmodels has no number the effect is so large that the power is 1.
    assert statistics.power(effect, n, alpha) == pytest.approx(1 if math.isnan(expected) else expected, abs=1e-6)


def test_more_comparisons_take_more_seeds():
    differences = np.array([-1.0, 0.0, 1.0]) + 0.5
    needed = statistics.seeds_for(differences, 4, 0.05)

    def achieved(n):
        t, nc = stats.t.isf(0.05 / 4 / 2, n - 1), 0.5 * math.sqrt(n)
        return stats.nct.sf(t, n - 1, nc) + stats.nct.cdf(-t, n - 1, nc)

    assert achieved(needed) >= 0.8 > achieved(needed - 1)


def test_seeds_needed_never_fall_below_what_the_exact_test_needs():
    assert statistics.seeds_for(np.array([0.10, 0.11, 0.12]), 4, 0.05) == 8
    assert statistics.seeds_for(np.full(3, 0.1), 1, 0.05) == 6


def test_seeds_needed_where_there_is_no_answer():
    assert math.isnan(statistics.seeds_for(np.zeros(4), 1, 0.05))
    assert math.isnan(statistics.seeds_for(np.array([0.1, 0.2]), 1, 0.05))
    assert math.isinf(statistics.seeds_for(np.array([-1, 0, 1.001]), 1, 0.05))
