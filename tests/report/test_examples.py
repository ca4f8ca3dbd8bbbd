"""Comparison by example, from stored predictions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from synthetic import make_result

from head2head.metrics import score as truth
from head2head.report.analysis import Options, analyse
from head2head.report.examples import compare_predictions, metric_of
from head2head.report.runs import load

LABELS = ["a", "b", "c"]


def predictions(share: float, seed: int, labels: list[str] = LABELS, n: int = 300) -> pd.DataFrame:
    """Predictions of which about `share` are right."""
    gold = np.random.default_rng(0).integers(0, len(labels), n)
    rng = np.random.default_rng(seed)
    predicted = np.where(rng.random(n) < share, gold, rng.integers(0, len(labels), n))
    names = np.array(labels, dtype=object)
    return pd.DataFrame({"index": np.arange(n), "prediction": names[predicted], "label": names[gold]})


@pytest.mark.parametrize("metric", ["accuracy", "f1", "macro_f1", "mcc"])
@pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
def test_metrics_are_those_of_training(metric, share):
    table = predictions(share, 1)
    number = {name: i for i, name in enumerate(LABELS)}
    predicted, gold = (table[name].map(number).to_numpy() for name in ("prediction", "label"))
    assert metric_of(table, LABELS, metric) == pytest.approx(truth([metric], LABELS, predicted, gold)[metric])


@pytest.mark.parametrize("metric", ["accuracy", "f1", "macro_f1", "mcc"])
def test_metrics_of_a_constant_prediction_are_those_of_training(metric):
    table = predictions(0.5, 1).assign(prediction="a")
    gold = table["label"].map({name: i for i, name in enumerate(LABELS)}).to_numpy()
    expected = truth([metric], LABELS, np.zeros_like(gold), gold)[metric]
    assert metric_of(table, LABELS, metric) == pytest.approx(expected)


@pytest.mark.parametrize("metric", ["pearson", "spearman"])
def test_correlations_are_those_of_training(metric):
    rng = np.random.default_rng(1)
    gold = rng.normal(size=50).round(1)
    table = pd.DataFrame({"label": gold, "prediction": gold + rng.normal(size=50)})
    expected = truth([metric], [], table["prediction"].to_numpy(), gold)[metric]
    assert metric_of(table, [], metric) == pytest.approx(expected)
    assert metric_of(table.assign(prediction=1.0), [], metric) == 0


def test_the_interval_is_that_of_drawing_examples_one_by_one():
    ours, theirs = predictions(0.8, 1), predictions(0.6, 2)
    found = compare_predictions(ours, theirs, LABELS, "accuracy", 0.95)
    right = (ours["prediction"] == ours["label"]) * 1.0 - (theirs["prediction"] == theirs["label"])
    assert found["difference"] == pytest.approx(right.mean())
    expected = stats.bootstrap((right,), np.mean, method="percentile", rng=np.random.default_rng(1))
    low, high = expected.confidence_interval
    assert (found["ci_low"], found["ci_high"]) == pytest.approx((low, high), abs=0.01)


def test_mcnemar_is_the_binomial_test_of_the_examples_that_only_one_gets_right():
    gold = ["a"] * 20
    ours = pd.DataFrame({"label": gold, "prediction": ["a"] * 15 + ["b"] * 5})
    theirs = pd.DataFrame({"label": gold, "prediction": ["a"] * 5 + ["b"] * 13 + ["a"] * 2})
    found = compare_predictions(ours, theirs, ["a", "b"], "accuracy", 0.95)
    assert (found["only_head"], found["only_reference"]) == (10, 2)
    assert found["p_mcnemar"] == pytest.approx(2 * stats.binom.cdf(2, 12, 0.5))
    assert compare_predictions(ours, ours, ["a", "b"], "accuracy", 0.95)["p_mcnemar"] == 1


def test_regression_has_an_interval_and_no_mcnemar():
    gold = np.random.default_rng(0).normal(size=200)
    noise = np.random.default_rng(1).normal(size=(2, 200))
    near, far = (
        pd.DataFrame({"label": gold, "prediction": gold + k * e}) for k, e in zip((0.3, 2), noise, strict=True)
    )
    found = compare_predictions(near, far, [], "spearman", 0.95)
    expected = stats.spearmanr(gold, near["prediction"])[0] - stats.spearmanr(gold, far["prediction"])[0]
    assert found["difference"] == pytest.approx(expected)
    assert 0 < found["ci_low"] < expected < found["ci_high"]
    assert np.isnan(found["p_mcnemar"])


@pytest.fixture
def stored(make, tmp_path):
    """Three heads with two seeds each; predictions of seed 1 of `max` are gone, those of seed 1 of `cls` another's."""
    results = []
    for h, head in enumerate(("mean", "cls", "max")):
        for seed in (0, 1):
            table = predictions(0.5 + h / 10, 10 * h + seed)
            folder = tmp_path / "runs" / f"{head}-{seed}"
            folder.mkdir(parents=True)
            value = metric_of(table, LABELS, "accuracy")
            if (head, seed) == ("cls", 1):
                table["prediction"] = "a"
            if (head, seed) != ("max", 1):
                table.to_parquet(folder / "predictions-validation.parquet")
            settings = {"task.labels": LABELS}
            results.append(make_result("rte", head, seed, value, folder=str(folder), settings=settings))
    results += [make_result("names", head, 0, 0.5, metric="entity_f1") for head in ("ner", "last-ner")]
    return make(results)


@pytest.mark.usefixtures("stored")
def test_pairs_with_stored_predictions_are_compared_and_the_others_are_counted():
    analysis = analyse(load("trial"), Options(examples=True))
    rows = analysis.examples
    assert list(zip(rows["task"], rows["head"], rows["seed"], strict=True)) == [("rte", "cls", 0), ("rte", "max", 0)]
    assert rows["n"].tolist() == [300, 300]
    text = "\n".join(analysis.cautions)
    assert "without stored predictions here, not compared by example: 1." in text
    assert "whose stored predictions do not give their scores, left out: 1." in text
    assert "Not compared by example: names" in text


@pytest.mark.usefixtures("stored")
def test_examples_are_left_alone_unless_asked_for():
    assert analyse(load("trial"), Options()).examples is None
