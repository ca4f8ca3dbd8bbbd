"""Metrics against the libraries that define them, and where a constant predictor stands."""

import warnings

import numpy as np
import pytest
import torch
from scipy import stats
from seqeval.metrics import classification_report, f1_score, precision_score, recall_score
from sklearn import metrics as sklearn_metrics

from head2head.metrics import (
    CLASSIFICATION,
    REGRESSION,
    EntityScores,
    FromCounts,
    constant_predictions,
    majority_baseline,
    score,
)

BINARY, THREE = ["no", "yes"], ["a", "b", "c"]
TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]


def by_sklearn(gold, predictions):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        present = sorted(set(gold) | set(predictions))
        return {
            "accuracy": sklearn_metrics.accuracy_score(gold, predictions),
            "macro_f1": sklearn_metrics.f1_score(gold, predictions, average="macro", labels=present, zero_division=0),
            "mcc": sklearn_metrics.matthews_corrcoef(gold, predictions),
            "f1": sklearn_metrics.f1_score(gold, predictions, average=None, labels=[1], zero_division=0)[0],
        }


@pytest.mark.parametrize("labels", [BINARY, THREE])
def test_classification_metrics_equal_sklearn(labels):
    rng = np.random.default_rng(0)
    for size in (1, 2, 7, 50, 1043):
        for noise in (0.0, 0.3, 1.0):
            gold = rng.integers(len(labels), size=size)
            predictions = np.where(rng.random(size) < noise, rng.integers(len(labels), size=size), gold)
            assert score(list(CLASSIFICATION), labels, predictions, gold) == pytest.approx(
                by_sklearn(gold, predictions), abs=1e-12
            )


@pytest.mark.parametrize(
    ("gold", "predictions"),
    [
        ([0, 0, 0], [0, 0, 0]),
        ([1, 1, 1], [0, 0, 0]),
        ([0, 1, 1], [0, 0, 0]),
        ([0, 1, 1], [1, 1, 1]),
        ([0, 0, 0], [0, 1, 0]),
        ([0, 1], [1, 0]),
    ],
)
def test_classification_metrics_equal_sklearn_where_a_class_is_missing(gold, predictions):
    for labels in (BINARY, THREE):
        found = score(list(CLASSIFICATION), labels, np.array(predictions), np.array(gold))
        assert found == pytest.approx(by_sklearn(gold, predictions), abs=1e-12)


def test_classification_metrics_of_hand_counted_predictions():
    gold, predictions = np.array([0, 0, 0, 1, 1, 1, 1, 1]), np.array([0, 0, 1, 1, 1, 1, 0, 0])
    found = score(["accuracy", "f1", "macro_f1", "mcc"], BINARY, predictions, gold)  # tp 3, fp 1, fn 2, tn 2
    assert found == pytest.approx(
        {
            "accuracy": 5 / 8,
            "f1": 6 / 9,
            "macro_f1": (6 / 9 + 4 / 7) / 2,
            "mcc": (3 * 2 - 1 * 2) / (4 * 5 * 3 * 4) ** 0.5,
        }
    )


@pytest.mark.parametrize("constant", [0, 1])
def test_a_constant_predictor_has_mcc_zero(constant):
    gold = np.array([1] * 721 + [0] * 322)
    assert score(["mcc"], BINARY, np.full_like(gold, constant), gold) == {"mcc": 0.0}


def test_mcc_of_large_splits_does_not_overflow():
    rng = np.random.default_rng(1)
    gold = rng.integers(3, size=390_000)
    predictions = np.where(rng.random(len(gold)) < 0.4, rng.integers(3, size=len(gold)), gold)
    expected = sklearn_metrics.matthews_corrcoef(gold, predictions)
    assert score(["mcc"], THREE, predictions, gold)["mcc"] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", ["accuracy", "f1", "macro_f1", "mcc"])
def test_classification_metrics_are_of_the_whole_split_not_a_mean_of_batches(name):
    gold, predictions = torch.tensor([1, 1, 1, 0, 0, 1, 0]), torch.tensor([1, 0, 1, 0, 1, 0, 0])
    metric = FromCounts(CLASSIFICATION[name], 2)
    batches = [slice(0, 3), slice(3, 4), slice(4, 7)]
    single = []
    for batch in batches:
        metric.update(predictions[batch], gold[batch])
        single.append(score([name], BINARY, predictions[batch].numpy(), gold[batch].numpy())[name])
    whole = float(metric.compute())
    assert whole == pytest.approx(by_sklearn(gold.tolist(), predictions.tolist())[name], abs=1e-12)
    assert whole != pytest.approx(np.mean(single), abs=1e-3)


CORRELATED = {  # gold and noise -> predictions
    "noise": lambda x, noise: x + noise,
    "inverse": lambda x, noise: -x + 0 * noise,
    "tied predictions": lambda x, noise: np.round(x + noise),
    "tiny spread": lambda x, noise: 3 + 1e-7 * (x + noise),
    "large offset": lambda x, noise: 1e6 + x + noise,
    "tiny values": lambda x, noise: 1e-30 * (x + noise),
    "huge values": lambda x, noise: 1e30 * (x + noise),
}


@pytest.mark.parametrize("shape", CORRELATED)
@pytest.mark.parametrize("tied_gold", [False, True])
def test_correlations_equal_scipy(shape, tied_gold):
    rng = np.random.default_rng(2)
    gold = rng.uniform(0, 5, size=300)
    gold = np.round(gold * 2) / 2 if tied_gold else gold
    predictions = CORRELATED[shape](gold, rng.normal(size=gold.size))
    found = score(["spearman", "pearson"], [], predictions, gold)
    assert found["spearman"] == pytest.approx(stats.spearmanr(predictions, gold).statistic, abs=1e-7)
    assert found["pearson"] == pytest.approx(stats.pearsonr(predictions, gold).statistic, abs=1e-7)


def test_correlations_of_float32_predictions_equal_scipy():
    rng = np.random.default_rng(3)
    gold = rng.uniform(0, 5, size=1500)
    predictions = (2.5 + 1e-3 * (gold + rng.normal(size=gold.size))).astype(np.float32)
    found = score(["spearman", "pearson"], [], predictions, gold)
    assert found["spearman"] == pytest.approx(stats.spearmanr(predictions, gold).statistic, abs=1e-7)
    assert found["pearson"] == pytest.approx(stats.pearsonr(predictions.astype(float), gold).statistic, abs=1e-7)


@pytest.mark.parametrize("value", [0.0, 2.7, -1e9])
@pytest.mark.parametrize("name", ["spearman", "pearson"])
def test_a_constant_predictor_has_correlation_zero_not_nan(name, value):
    gold = np.linspace(0, 5, 20)
    assert score([name], [], np.full(20, value, dtype=np.float32), gold) == {name: 0.0}
    assert score([name], [], gold, np.full(20, value)) == {name: 0.0}
    assert score([name], [], gold[:1], gold[:1]) == {name: 0.0}


@pytest.mark.parametrize("name", ["spearman", "pearson"])
def test_correlations_are_of_the_whole_split_not_a_mean_of_batches(name):
    gold, predictions = torch.tensor([0.0, 1, 2, 10, 11, 12]), torch.tensor([2.0, 1, 0, 12, 11, 10])
    metric = REGRESSION[name]()
    for batch in (slice(0, 3), slice(3, 6)):
        metric.update(predictions[batch], gold[batch])
    expected = {"spearman": stats.spearmanr, "pearson": stats.pearsonr}[name](predictions, gold).statistic
    assert float(metric.compute()) == pytest.approx(expected, abs=1e-6)
    assert expected > 0.5  # while either batch alone has -1


def numbers(sentences):
    return np.array([TAGS.index(tag) for tags in sentences for tag in tags])


def entity_scores(gold, predictions):
    lengths = np.array([len(tags) for tags in gold])
    return score(["entity_f1"], TAGS, numbers(predictions), numbers(gold), lengths)


def random_tags(rng, lengths):
    """Random IOB2: an I- only ever continues an entity of its type."""
    sentences = []
    for length in lengths:
        tags, previous = [], "O"
        for _ in range(length):
            options = ["O", "O", "B-PER", "B-LOC"] + ([f"I-{previous[2:]}"] * 3 if previous != "O" else [])
            previous = str(rng.choice(options))
            tags.append(previous)
        sentences.append(tags)
    return sentences


def test_entity_scores_equal_seqeval():
    rng = np.random.default_rng(4)
    for _ in range(20):
        lengths = rng.integers(1, 15, size=30)
        gold, other = random_tags(rng, lengths), random_tags(rng, lengths)
        predictions = [a if rng.random() < 0.6 else b for a, b in zip(gold, other, strict=True)]
        found = entity_scores(gold, predictions)
        assert found["entity_f1"] == pytest.approx(f1_score(gold, predictions))
        assert found["entity_precision"] == pytest.approx(precision_score(gold, predictions))
        assert found["entity_recall"] == pytest.approx(recall_score(gold, predictions))
        report = classification_report(gold, predictions, output_dict=True, zero_division=0)
        for type_ in ("PER", "LOC"):
            assert found[f"entity_f1_{type_}"] == pytest.approx(report[type_]["f1-score"])
            assert found[f"entity_precision_{type_}"] == pytest.approx(report[type_]["precision"])
            assert found[f"entity_recall_{type_}"] == pytest.approx(report[type_]["recall"])


def test_entity_scores_equal_seqeval_on_predictions_that_are_no_iob2():
    rng = np.random.default_rng(5)
    lengths = rng.integers(1, 15, size=200)
    gold = random_tags(rng, lengths)
    predictions = [[str(tag) for tag in rng.choice(TAGS, size=length)] for length in lengths]
    assert entity_scores(gold, predictions)["entity_f1"] == pytest.approx(f1_score(gold, predictions))


def test_inside_after_outside_opens_an_entity():
    found = entity_scores([["O", "B-PER", "I-PER"]], [["O", "I-PER", "I-PER"]])
    assert found["entity_f1"] == 1.0


@pytest.mark.parametrize("opening", ["B-LOC", "I-LOC"])
def test_inside_after_another_type_opens_an_entity(opening):
    found = entity_scores([["B-LOC", "B-PER", "I-PER"]], [[opening, "I-PER", "I-PER"]])
    assert found["entity_f1"] == 1.0


def test_entities_do_not_cross_sentences():
    found = entity_scores([["O", "B-PER"], ["B-PER", "O"]], [["O", "I-PER"], ["I-PER", "O"]])
    assert found["entity_f1"] == 1.0
    joined = score(
        ["entity_f1"], TAGS, numbers([["O", "I-PER", "I-PER"]]), numbers([["O", "B-PER", "B-PER"]]), np.array([3])
    )
    assert joined["entity_f1"] == 0.0


def test_entity_scores_of_hand_counted_predictions_per_type_and_micro():
    gold = [["B-PER", "I-PER", "O", "B-LOC"], ["B-LOC", "O", "B-PER"]]
    predictions = [["B-PER", "I-PER", "O", "B-PER"], ["B-LOC", "I-LOC", "B-PER"]]
    found = entity_scores(gold, predictions)
    assert found == pytest.approx(
        {
            "entity_f1": 2 * 2 / (4 + 4),
            "entity_precision": 2 / 4,
            "entity_recall": 2 / 4,
            "entity_f1_PER": 2 * 2 / (3 + 2),
            "entity_precision_PER": 2 / 3,
            "entity_recall_PER": 2 / 2,
            "entity_f1_LOC": 0.0,
            "entity_precision_LOC": 0.0,
            "entity_recall_LOC": 0.0,
        }
    )


def test_entity_scores_are_of_the_whole_split_even_when_sentences_come_in_batches():
    rng = np.random.default_rng(6)
    lengths = rng.integers(1, 10, size=40)
    gold, predictions = random_tags(rng, lengths), random_tags(rng, lengths)
    metric = EntityScores(TAGS)
    for a, b in ((0, 1), (1, 15), (15, 40)):
        metric.update(
            torch.from_numpy(numbers(predictions[a:b])),
            torch.from_numpy(numbers(gold[a:b])),
            torch.from_numpy(lengths[a:b]),
        )
    assert float(metric.compute()["entity_f1"]) == entity_scores(gold, predictions)["entity_f1"]


def test_without_any_entity_scores_are_zero_not_nan():
    assert set(entity_scores([["O", "O"]], [["O", "O"]]).values()) == {0.0}


def test_score_keeps_the_order_asked_for_and_refuses_unknown_names():
    gold = np.array([0, 1, 1])
    assert list(score(["mcc", "accuracy"], BINARY, gold, gold)) == ["mcc", "accuracy"]
    with pytest.raises(KeyError):
        score(["rouge"], BINARY, gold, gold)


def test_the_baseline_is_the_most_frequent_training_label_where_accuracy_counts():
    train, gold = np.array([0, 0, 0, 1]), np.array([0, 1, 1, 1])
    assert majority_baseline(["accuracy", "mcc"], BINARY, train, gold) == {"accuracy": 0.25, "mcc": 0.0}


def test_the_baseline_for_f1_is_the_positive_class_even_when_it_is_rare():
    train, gold = np.array([0] * 90 + [1] * 10), np.array([0] * 6 + [1] * 2)
    found = majority_baseline(["f1", "accuracy"], BINARY, train, gold)
    assert found == pytest.approx({"f1": 2 * 2 / (8 + 2), "accuracy": 0.25})


def test_the_baseline_is_chosen_on_training_labels_not_on_the_scored_ones():
    train, gold = np.array([2, 2, 0, 1]), np.array([0, 0, 0, 2])
    assert majority_baseline(["accuracy"], THREE, train, gold) == {"accuracy": 0.25}


def test_the_baseline_of_correlations_is_zero():
    assert majority_baseline(["spearman", "pearson"], [], np.array([1.0, 2]), np.array([1.0, 2])) == {
        "spearman": 0.0,
        "pearson": 0.0,
    }


def test_the_baseline_of_entities_is_the_best_constant_tag():
    train = [["B-LOC"], ["B-LOC"], ["O"], ["B-PER", "I-PER"]]
    gold = [["B-LOC", "O"], ["B-LOC"]]
    found = majority_baseline(
        ["entity_f1"],
        TAGS,
        numbers(train),
        numbers(gold),
        np.array([len(tags) for tags in train]),
        np.array([len(tags) for tags in gold]),
    )
    # In training I-LOC finds 2 of 3 with 4 entities (one a sentence), B-LOC 2 of 3 with 5 (one a word).
    assert found["entity_f1"] == 2 * 1 / (2 + 2)
    assert found["entity_f1_PER"] == 0.0


@pytest.mark.parametrize(
    ("predictions", "constant"),
    [
        (np.array([1, 1, 1]), True),
        (np.array([1, 0, 1]), False),
        (np.array([2.5, 2.5], dtype=np.float32), True),
        (np.array([2.5, 2.50001], dtype=np.float32), True),
        (np.array([2.5, 2.6], dtype=np.float32), False),
        (np.array([0.0, 5e-5], dtype=np.float32), True),
        (np.array([1000.0, 1000.05]), True),
        (np.array([1000.0, 1001.0]), False),
    ],
)
def test_predictions_are_constant_when_they_are_one_class_or_one_value_to_within_rounding(predictions, constant):
    assert constant_predictions(predictions) is constant
