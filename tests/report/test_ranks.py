"""Ranks over tasks, against the example of Demšar (2006)."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from scipy import stats

from head2head.report.ranks import rank_heads

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
    over = rank_heads(TABLE_6, "sentence", dict.fromkeys(TABLE_6.index, "C4.5"))
    assert over.mean_ranks.round(3).tolist() == [3.143, 2.0, 2.893, 1.964]


def test_against_the_reference_z_is_that_of_demsar():
    # Section 3.2.2: with the standard error sqrt(4 x 5 / (6 x 14)) = 0.488, C4.5+m is 1.143 / 0.488 = 2.34 from C4.5
    # (p 0.019), C4.5+m+cf 2.416 (0.016), C4.5+cf 0.512 (0.61).
    over = rank_heads(TABLE_6, "sentence", dict.fromkeys(TABLE_6.index, "C4.5"))
    p = {"C4.5+m": 0.019, "C4.5+m+cf": 0.016, "C4.5+cf": 0.61}
    expected = {"C4.5+m+cf": 3 * p["C4.5+m+cf"], "C4.5+m": 3 * p["C4.5+m+cf"], "C4.5+cf": p["C4.5+cf"]}
    assert over.p_holm.to_dict() == pytest.approx(expected, abs=0.002)
    assert over.p_holm["C4.5+m+cf"] == pytest.approx(6 * stats.norm.sf((22 / 7 - 55 / 28) / math.sqrt(20 / 84)))


@pytest.mark.parametrize("tasks", [7, 8])
def test_nothing_is_tested_on_fewer_than_eight_tasks(tasks):
    over = rank_heads(TABLE_6.iloc[:tasks], "sentence", dict.fromkeys(TABLE_6.index, "C4.5"))
    assert (over.reference is None) == over.p_holm.empty == (tasks < 8)


def test_two_ways_of_reading_one_tasks_pairs_are_one_task():
    names = [f"t{i // 2}" + " · apart" * (i % 2) for i in range(14)]
    over = rank_heads(TABLE_6.set_axis(names), "sentence", dict.fromkeys(names, "C4.5"))
    assert len(over.tasks) == 14
    assert over.reference is None


def test_tasks_with_different_references_are_not_tested_together():
    references = dict.fromkeys(TABLE_6.index, "C4.5") | {0: "C4.5+m"}
    assert rank_heads(TABLE_6, "sentence", references).reference is None


def test_only_tasks_with_all_scores_count():
    means = pd.DataFrame({"a": [0.1, 0.2, 0.3], "b": [0.2, math.nan, 0.1], "c": [0.3, 0.5, 0.5]}, index=list("xyz"))
    references = dict.fromkeys("xyz", "a")
    over = rank_heads(means, "sentence", references)
    assert (over.tasks, over.left_out) == (["x", "z"], ["y"])
    assert over.mean_ranks.tolist() == [2.5, 2.5, 1.0]
    assert rank_heads(means.iloc[:2], "sentence", references) is None
