"""The solved classifier is scikit-learn's, and its penalty what cross-validation by hand would choose."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score

from head2head.errors import UserError
from head2head.model.exact import ExactSettings, solve

STRENGTHS = [1e-3, 1e-2, 0.1, 1.0, 10.0]


def data(rows=240, width=8, labels=2, seed=0):
    """Standardised features, labels that depend on them and on noise, and inner folds."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(rows, width))
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    values = (
        features @ rng.normal(size=(width, max(labels, 1)))
        + 2 * rng.normal(size=(rows, max(labels, 1)))
        + [0.7] * max(labels, 1)
    )
    return features, values.argmax(axis=1) if labels else values[:, 0], rng.integers(0, 4, size=rows)


def by_accuracy(targets, folds):
    return lambda logits, fold: accuracy_score(targets[folds == fold], logits.argmax(axis=1))


def chosen(features, targets, folds, build, score) -> float:
    """The strength with the best mean score, the strongest of equal ones."""

    def mean_score(strength: float) -> float:
        found = []
        for fold in range(folds.max() + 1):
            held = folds == fold
            model = build(strength, (~held).sum()).fit(features[~held], targets[~held])
            found.append(score(model, features[held], targets[held]))
        return np.mean(found)

    return max(STRENGTHS, key=lambda strength: (round(mean_score(strength), 12), strength))


def regression(strength: float, rows: int, **more) -> LogisticRegression:
    return LogisticRegression(C=1 / (strength * rows), tol=1e-12, max_iter=10**5, **more)


@pytest.mark.parametrize(("width", "labels"), [(8, 2), (8, 3), (300, 2), (300, 3), (600, 2)])
def test_labels_are_those_of_logistic_regression_by_hand(width, labels):
    features, targets, folds = data(width=width, labels=labels)
    found = solve(features, targets, labels, folds, by_accuracy(targets, folds), ExactSettings(STRENGTHS))
    expected = chosen(features, targets, folds, regression, lambda model, x, y: model.score(x, y))
    assert found.strength == expected
    assert found.strengths == STRENGTHS
    assert found.scores[STRENGTHS.index(expected)] == max(found.scores)
    model = regression(expected, len(features), solver="newton-cg").fit(features, targets)
    probabilities = softmax(found.classifier.logits(features), axis=1)
    np.testing.assert_allclose(probabilities, model.predict_proba(features), atol=1e-6)


def test_values_are_those_of_ridge_regression_by_hand():
    features, targets, folds = data(labels=0)

    def score(logits, fold):
        return -np.mean((logits[:, 0] - targets[folds == fold]) ** 2)

    found = solve(features, targets, 0, folds, score, ExactSettings(STRENGTHS))
    expected = chosen(
        features, targets, folds, lambda strength, rows: Ridge(alpha=strength * rows),
        lambda model, x, y: -np.mean((model.predict(x) - y) ** 2),
    )  # fmt: skip
    assert found.strength == expected
    model = Ridge(alpha=expected * len(features)).fit(features, targets)
    np.testing.assert_allclose(found.classifier.logits(features)[:, 0], model.predict(features), atol=1e-9)


def test_of_equal_scores_the_strongest_penalty_wins():
    features, targets, folds = data()
    found = solve(features, targets, 2, folds, lambda *_: 0.5, ExactSettings([1.0, 0.1, 10.0]))
    assert found.strength == 10.0
    assert found.strengths == [0.1, 1.0, 10.0]


def test_the_intercept_is_not_penalised():
    features, targets, folds = data()
    found = solve(features, targets, 2, folds, lambda *_: 0.5, ExactSettings([1e6]))
    share = softmax(found.classifier.bias)[1]
    assert share == pytest.approx(targets.mean(), abs=1e-3)


@pytest.mark.parametrize("present", [[0, 2], [1]])
def test_a_label_without_a_row_is_never_predicted_and_nothing_fails(present):
    features, _, folds = data()
    targets = np.array(present)[np.arange(len(features)) % len(present)]
    found = solve(features, targets, 3, folds, by_accuracy(targets, folds), ExactSettings(STRENGTHS))
    probabilities = softmax(found.classifier.logits(features), axis=1)
    assert probabilities[:, [label for label in range(3) if label not in present]].max() == 0
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


def test_a_label_that_a_single_inner_fold_holds_does_not_fail():
    features, targets, folds = data()
    targets[folds == 2] = 2
    found = solve(features, targets, 3, folds, by_accuracy(targets, folds), ExactSettings(STRENGTHS))
    assert np.isfinite(found.classifier.logits(features)).all()


@pytest.mark.parametrize("settings", [
    {"strengths": []}, {"strengths": [0.0]}, {"strengths": 1.0}, {"strengths": [True]},
    {"strengths": [1.0], "folds": 1},
])  # fmt: skip
def test_settings_that_cannot_be_are_a_user_error(settings):
    with pytest.raises(UserError, match=r"^optimizer\.(strengths|folds)="):
        ExactSettings(**settings)
