"""Ranks over tasks, against the example of Demšar (2006)."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from scikit_posthocs import posthoc_nemenyi_friedman
from scipy import stats

from head2head.report.ranks import critical_difference, rank_heads

# Demšar (2006), table 6: AUC of C4.5 and its variants with m, cf, m + cf tuned on 14 data sets. The two scores of
# 'voting' that round to 0.975 are told apart by their ranks there.
TABLE_6 = pd.DataFrame(
    [
        (0.763, 0.768, 0.771, 0.798),
        (0.599, 0.591, 0.590, 0.569),
        (0.954, 0.971, 0.968, 0.967),
        (0.628, 0.661, 0.654, 0.657),
        (0.882, 0.888, 0.886, 0.898),
        (0.936, 0.931, 0.916, 0.931),
        (0.661, 0.668, 0.609, 0.685),
        (0.583, 0.583, 0.563, 0.625),
        (0.775, 0.838, 0.866, 0.875),
        (1.000, 1.000, 1.000, 1.000),
        (0.940, 0.962, 0.965, 0.962),
        (0.619, 0.666, 0.614, 0.669),
        (0.972, 0.981, 0.9751, 0.975),
        (0.957, 0.978, 0.946, 0.970),
    ],
    columns=["C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf"],
)


def test_mean_ranks_are_those_of_demsar():
    over = rank_heads(TABLE_6, "sentence", 0.05)
    assert over.mean_ranks.round(3).tolist() == [3.143, 2.0, 2.893, 1.964]


def test_friedman_is_that_of_demsar_and_scipy_corrects_it_for_ties():
    over = rank_heads(TABLE_6, "sentence", 0.05)
    n, k = TABLE_6.shape
    uncorrected = 12 * n / (k * (k + 1)) * ((over.mean_ranks**2).sum() - k * (k + 1) ** 2 / 4)
    assert uncorrected == pytest.approx(9.28, abs=0.005)
    # Ties: three pairs (6 each) and one four (60) of n k (k^2 - 1) = 840.
    assert over.friedman == pytest.approx(uncorrected / (1 - (3 * 6 + 60) / 840))
    assert over.p_friedman == pytest.approx(stats.chi2.sf(over.friedman, 3))


@pytest.mark.parametrize(("alpha", "expected"), [(0.05, 1.25), (0.10, 1.12)])
def test_the_critical_difference_is_that_of_demsar(alpha, expected):
    assert critical_difference(4, 14, alpha) == pytest.approx(expected, abs=0.005)


# Demšar (2006), table 5a.
@pytest.mark.parametrize(("heads", "q"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (10, 3.164)])
def test_critical_values_are_those_of_demsar(heads, q):
    n = heads * (heads + 1) / 6  # makes the square root 1
    assert critical_difference(heads, 1, 0.05) / math.sqrt(n) == pytest.approx(q, abs=0.001)


def test_nemenyis_p_are_scikit_posthocs():
    over = rank_heads(TABLE_6, "sentence", 0.05)
    assert over.nemenyi.to_numpy() == pytest.approx(posthoc_nemenyi_friedman(TABLE_6.to_numpy()).to_numpy())
    assert over.nemenyi.loc["C4.5", "C4.5+m+cf"] > 0.05  # 1.18 apart, less than 1.25
    assert rank_heads(TABLE_6, "sentence", 0.1).critical_difference < 3.143 - 1.964


def test_only_tasks_with_all_scores_count():
    means = pd.DataFrame({"a": [0.1, 0.2, 0.3], "b": [0.2, math.nan, 0.1], "c": [0.3, 0.5, 0.5]}, index=list("xyz"))
    over = rank_heads(means, "sentence", 0.05)
    assert (over.tasks, over.left_out) == (["x", "z"], ["y"])
    assert over.mean_ranks.tolist() == [2.5, 2.5, 1.0]
    assert rank_heads(means.iloc[:2], "sentence", 0.05) is None


def test_two_heads_have_ranks_and_no_friedman():
    over = rank_heads(pd.DataFrame({"a": [0.1, 0.2], "b": [0.2, 0.2]}), "token", 0.05)
    assert over.mean_ranks.tolist() == [1.75, 1.25]
    assert math.isnan(over.friedman)
