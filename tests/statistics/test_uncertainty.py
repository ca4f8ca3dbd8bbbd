"""Examples and runs together: against closed forms, scipy, sklearn, and numbers worked out by hand."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import f1_score, matthews_corrcoef
from statsmodels.stats.multitest import multipletests

from head2head.statistics import influence, uncertainty
from head2head.statistics.influence import Run, influences


def a_run(seed: int, n: int = 120, classes: int = 2, first: int = 0) -> Run:
    rng = np.random.default_rng(seed)
    gold = rng.integers(0, classes, n)
    predictions = {
        head: np.where(rng.random(n) < right, gold, rng.integers(0, classes, n))
        for head, right in (("cls", 0.5), ("mean", 0.6))
    }
    rows = np.arange(first, first + n)
    return Run(rows, rows, gold, predictions)


@pytest.mark.parametrize(
    ("metric", "truth"),
    [
        ("mcc", matthews_corrcoef),
        ("macro_f1", lambda gold, found: f1_score(gold, found, average="macro")),
        ("accuracy", lambda gold, found: np.mean(gold == found)),
    ],
)
def test_influences_are_those_of_leaving_each_example_out(metric, truth):
    run = a_run(0, classes=3)
    found, answers = influences([run], metric, classes=3), run.predictions["cls"]
    without = np.array([truth(np.delete(run.gold, i), np.delete(answers, i)) for i in range(120)])
    assert found.scores[0, 0] == pytest.approx(truth(run.gold, answers))
    assert np.sum(found.influence[0, 0] ** 2) == pytest.approx(119 / 120 * np.sum((without - without.mean()) ** 2))
    expected = np.sqrt(119 / 120) * (without.mean() - without)
    np.testing.assert_allclose(found.influence[0, 0], expected, atol=1e-12)


def test_f1_and_its_jackknife_by_document_are_sklearns():
    run = a_run(1)
    run = run._replace(clusters=run.examples // 5)
    without = np.array(
        [f1_score(run.gold[keep], run.predictions["mean"][keep]) for keep in (run.clusters != c for c in range(24))]
    )
    found = influences([run], "f1", classes=2)
    np.testing.assert_allclose(found.influence[1, 0], np.sqrt(23 / 24) * (without.mean() - without), atol=1e-12)


@pytest.mark.parametrize(("metric", "truth"), [("pearson", stats.pearsonr), ("spearman", stats.spearmanr)])
def test_correlations_with_ties_agree_with_scipy_without_each_pair(metric, truth):
    rng, n = np.random.default_rng(2), 400
    gold = np.round(rng.normal(2.5, 1, n) * 2) / 2
    answers = np.round(gold + rng.normal(0, 1, n), 1)
    run = Run(np.arange(n), np.arange(n), gold, {"cls": answers})
    found = influences([run], metric)
    without = np.array([truth(np.delete(gold, i), np.delete(answers, i)).statistic for i in range(n)])
    expected = np.sqrt((n - 1) / n) * (without.mean() - without)
    assert found.scores[0, 0] == pytest.approx(truth(gold, answers).statistic)
    tolerance = 1e-12 if metric == "pearson" else 0.02 * expected.std()
    np.testing.assert_allclose(found.influence[0, 0], expected, atol=tolerance)


def test_entity_f1_without_each_sentence_by_hand():
    # Sentences (tp, fp, fn): all together 6 / 9; without the first 2 / 5, the second 1, the third 4 / 7.
    counts = np.array([[2, 0, 0], [0, 1, 2], [1, 0, 0]])
    run = Run(np.arange(3), np.arange(3), None, {"cls": counts})
    found = influences([run], "entity_f1")
    without = np.array([2 / 5, 1, 4 / 7])
    assert found.scores[0, 0] == pytest.approx(6 / 9)
    np.testing.assert_allclose(found.influence[0, 0], np.sqrt(2 / 3) * (without.mean() - without))


def test_with_equal_runs_the_test_is_the_paired_t_over_examples():
    run = a_run(3)
    found = uncertainty.difference(influences([run] * 5, "accuracy", 2), "mean", "cls")
    right = {head: (answers == run.gold).astype(float) for head, answers in run.predictions.items()}
    expected = stats.ttest_rel(right["mean"], right["cls"])
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert found.variance_runs == 0
    assert found.freedom == 119


def test_of_many_examples_the_variance_is_mcnemars():
    run = a_run(4, n=20_000)
    found = uncertainty.difference(influences([run], "accuracy", 2), "mean", "cls")
    right = {head: answers == run.gold for head, answers in run.predictions.items()}
    b, c = np.sum(right["mean"] & ~right["cls"]), np.sum(right["cls"] & ~right["mean"])
    assert found.variance_examples == pytest.approx((b + c - (b - c) ** 2 / 20_000) / 20_000 / 19_999)


def test_copies_of_examples_within_their_cluster_add_nothing():
    run = a_run(5)
    twice = Run(
        np.arange(240),
        np.tile(run.clusters, 2),
        np.tile(run.gold, 2),
        {head: np.tile(answers, 2) for head, answers in run.predictions.items()},
    )
    for metric in ("accuracy", "f1", "mcc", "macro_f1", "spearman", "pearson"):
        once, copied = (influences([r], metric, 2).influence for r in (run, twice))
        np.testing.assert_allclose(once, copied, atol=1e-12)


def test_variances_and_degrees_of_freedom_of_two_crossed_seeds_by_hand():
    # D = 0.1, 0.3; two clusters. Averages over runs 0.02 and -0.02, so examples: 0.0008.
    # W = 0.01^2 x 4 = 0.0004, S^2 = 0.02: runs (0.02 - 0.0004) / 2 = 0.0098, altogether 0.0106.
    # nu = 0.0106^2 / (0.0008^2 / 1 + 0.01^2 / 1) = 1.1164...; at most max(2, 2) - 1 = 1.
    u = np.array([[0.03, -0.03], [0.01, -0.01]])
    parts = uncertainty.components(np.array([0.1, 0.3]), u)
    assert (float(parts.examples), float(parts.runs)) == pytest.approx((0.0008, 0.0098))
    assert float(parts.freedom) == 1
    # With ten clusters, of which eight do nothing: 0.0106^2 / (0.0008^2 / 9 + 0.01^2) = 1.1228.
    wide = np.concatenate([u, np.zeros((2, 8))], axis=1)
    assert float(uncertainty.components(np.array([0.1, 0.3]), wide).freedom) == pytest.approx(1.12280, abs=1e-4)


def test_over_folds_the_variance_is_the_larger_of_examples_and_runs():
    runs = [a_run(seed, first=200 * seed) for seed in range(5)]
    found = influences(runs, "mcc", 2)
    differences = found.scores[1] - found.scores[0]
    result = uncertainty.difference(found, "mean", "cls")
    within = np.sum((found.influence[1] - found.influence[0]) ** 2) / 25
    assert result.variance_examples == pytest.approx(within)
    assert result.variance_examples + result.variance_runs == pytest.approx(max(within, differences.var(ddof=1) / 5))


def test_below_five_runs_there_is_an_interval_but_no_p():
    found = uncertainty.difference(influences([a_run(s) for s in range(4)], "accuracy", 2), "mean", "cls")
    assert not found.testable
    assert math.isnan(found.p)
    assert found.low < found.mean < found.high


def test_two_heads_of_the_same_answers_are_equal_for_certain():
    runs = [a_run(s) for s in range(5)]
    runs = [run._replace(predictions={"a": run.predictions["cls"], "b": run.predictions["cls"]}) for run in runs]
    found = influences(runs, "mcc", 2)
    result = uncertainty.difference(found, "a", "b")
    assert (result.mean, result.low, result.high, result.p) == (0, 0, 0, 1)
    assert uncertainty.practically_equal(result)
    assert uncertainty.probability_best(found) == {"a": 0.5, "b": 0.5}


def test_of_two_heads_the_better_is_best_with_the_probability_of_the_t_test():
    found = influences([a_run(6)] * 5, "accuracy", 2)
    result = uncertainty.difference(found, "mean", "cls")
    one_sided = result.p / 2 if result.mean > 0 else 1 - result.p / 2
    assert uncertainty.probability_best(found)["mean"] == pytest.approx(1 - one_sided, abs=0.005)


def test_practically_equal_takes_the_whole_interval():
    found = uncertainty.Estimate(0.002, -0.005, 0.009, 0.5, 9, 0, 0, True)
    assert uncertainty.practically_equal(found)
    assert not uncertainty.practically_equal(found, margin=0.008)


def test_a_detectable_difference_is_found_in_80_of_100_draws():
    variance, freedom = 0.0004, 9
    shift = uncertainty.detectable(variance, freedom)
    t = (np.random.default_rng(0).standard_normal(200_000) + shift / 0.02) / np.sqrt(
        np.random.default_rng(1).chisquare(freedom, 200_000) / freedom
    )
    assert np.mean(np.abs(t) > stats.t.ppf(0.975, freedom)) == pytest.approx(0.8, abs=0.005)


def test_by_design_many_examples_and_no_run_spread_give_the_normal_figure():
    # (1.959964 + 0.841621) sqrt(0.1 / 10000) = 0.0088594
    assert uncertainty.detectable_by_design(10_000, 10, 0.1, 0.0) == pytest.approx(0.0088594, rel=1e-3)
    assert uncertainty.detectable_by_design(10_000, 10, 0.1, 0.02) > 0.0088594


def test_nadeau_and_bengio_by_hand():
    # Mean 0.02, S^2 = 0.0001; (1/5 + 1/4) 0.0001 = 0.000045; t = 0.02 / 0.0067082 = 2.98142
    differences = np.array([0.02, 0.03, 0.01, 0.02 + math.sqrt(1e-4), 0.02 - math.sqrt(1e-4)])
    found = uncertainty.nadeau_bengio(differences, train_rows=400, test_rows=100)
    assert found.t == pytest.approx(2.98142, abs=1e-5)
    assert found.p == pytest.approx(2 * stats.t.sf(2.98142, 4), abs=1e-5)


def test_over_runs_is_scipys_paired_t():
    differences = np.random.default_rng(0).normal(0.01, 0.02, 7)
    found, expected = uncertainty.over_runs(differences), stats.ttest_1samp(differences, 0)
    assert (found.t, found.p) == pytest.approx((expected.statistic, expected.pvalue))
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))


def test_a_long_table_gives_the_same_runs_in_any_order():
    runs = [a_run(seed, first=200 * seed) for seed in range(3)]
    frame = pd.concat(
        pd.DataFrame(
            {
                "run": r,
                "head": head,
                "example": run.examples,
                "cluster": run.clusters,
                "gold": run.gold,
                "prediction": answers,
            }
        )
        for r, run in enumerate(runs)
        for head, answers in run.predictions.items()
    ).sample(frac=1, random_state=0)
    direct, read = influences(runs, "mcc", 2), influences(influence.runs_of(frame), "mcc", 2)
    for head in direct.heads:
        i, j = direct.heads.index(head), read.heads.index(head)
        np.testing.assert_array_equal(direct.influence[i], read.influence[j])
    with pytest.raises(ValueError, match="different examples"):
        influence.runs_of(frame[1:])


def test_holm_by_hand_and_by_statsmodels():
    # Ordered 0.005 x 4, 0.01 x 3, 0.03 x 2, 0.04 x 1, and never below the one before.
    assert uncertainty.holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    for row in np.random.default_rng(6).random((3, 7)) ** 3:
        assert uncertainty.holm(row) == pytest.approx(multipletests(row, method="holm")[1])


def test_comparisons_that_were_not_made_are_no_part_of_the_family():
    assert uncertainty.holm([0.01, math.nan, 0.02])[[0, 2]].tolist() == pytest.approx([0.02, 0.02])
    assert np.isnan(uncertainty.holm([math.nan])).all()


def test_what_is_needed_makes_the_target_detectable():
    by_example, by_run, runs, target = 1e-4, 4e-4, 5, 0.04
    found = uncertainty.needed(by_example, by_run, 30, runs, target)
    with_runs = by_example + by_run * runs / found.runs
    assert uncertainty.detectable(with_runs, 30) == pytest.approx(target)
    assert uncertainty.detectable(
        by_example / uncertainty.needed(by_example, 0, 30, runs, 0.01).rows, 30
    ) == pytest.approx(0.01)
    assert uncertainty.needed(by_example, by_run, 30, runs, 0.02) == (math.inf, math.inf)


@pytest.fixture(scope="module")
def coverage():
    path = Path(__file__).parents[2] / "benchmarks" / "coverage.py"
    spec = importlib.util.spec_from_file_location("coverage_simulation", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_in_simulation_it_alarms_and_covers_as_admitted(coverage):
    table = pd.DataFrame([coverage.both((i, cell, 150)) for i, cell in enumerate(coverage.short())])
    assert table["false_alarms"].mean() < 0.06
    assert table["false_alarms"].max() < 0.075 + 3 * math.sqrt(0.075 * 0.925 / 150)
    assert table["coverage"].mean() > 0.93
    assert table["width"].mean() < 1.4


def test_the_simulation_goes_on_where_it_stopped(coverage, tmp_path):
    chosen = coverage.cells()
    finished = pd.DataFrame([{**chosen[i]._asdict(), "simulations": 10} for i in (0, 2)])
    finished.to_csv(tmp_path / "coverage.csv", index=False)
    again = coverage.done(tmp_path / "coverage.csv")
    assert coverage.left(chosen[:4], again) == [(1, chosen[1]), (3, chosen[3])]
    assert len(coverage.left(chosen, coverage.done(tmp_path / "none.csv"))) == len(chosen)
