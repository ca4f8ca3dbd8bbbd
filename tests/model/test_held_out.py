"""Logits of held-out rows are those of scikit-learn's regressions, fitted a fold at a time."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression, Ridge

from head2head.model import held_out

STRENGTHS = [100.0, 1.0, 1e-2, 1e-4]


def data(rows=300, width=12, labels=2, seed=0):
    """Features that correlate, as those of an encoder do, labels or values that depend on them, and folds."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(rows, 4)) @ rng.normal(size=(4, width)) + 0.3 * rng.normal(size=(rows, width))
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    values = features @ rng.normal(size=(width, max(labels, 1))) + 2 * rng.normal(size=(rows, max(labels, 1)))
    return features, values.argmax(axis=1) if labels else values[:, 0] + 3, rng.integers(0, 4, size=rows)


def regression(strength: float, rows: int) -> LogisticRegression:
    return LogisticRegression(C=1 / (strength * rows), solver="newton-cg", tol=1e-10, max_iter=10**4)


@pytest.mark.parametrize(("width", "labels"), [(12, 2), (12, 3), (200, 2), (200, 5)])
def test_probabilities_are_those_of_logistic_regression_on_the_other_folds(width, labels):
    features, targets, folds = data(width=width, labels=labels)
    for strength, found in zip(STRENGTHS, held_out.logits(features, targets, labels, folds, STRENGTHS), strict=True):
        for fold, logits in enumerate(found):
            held = folds == fold
            model = regression(strength, (~held).sum()).fit(features[~held], targets[~held])
            np.testing.assert_allclose(softmax(logits, axis=1), model.predict_proba(features[held]), atol=1e-3)


def test_values_are_those_of_ridge_regression_on_the_other_folds():
    features, targets, folds = data(labels=0)
    for strength, found in zip(STRENGTHS, held_out.logits(features, targets, 0, folds, STRENGTHS), strict=True):
        for fold, values in enumerate(found):
            held = folds == fold
            model = Ridge(alpha=strength * (~held).sum()).fit(features[~held], targets[~held])
            np.testing.assert_allclose(values[:, 0], model.predict(features[held]), atol=1e-9)


def test_features_that_depend_on_each_other_are_no_obstacle():
    """Two columns alike, one of zeros, and rows that the labels part."""
    features, targets, folds = data()
    features = np.hstack([features, features[:, :1], np.zeros((len(features), 1)), 10.0 * targets[:, None]])
    for found in held_out.logits(features, targets, 2, folds, STRENGTHS):
        assert all((logits.argmax(axis=1) == targets[folds == fold]).mean() > 0.95 for fold, logits in enumerate(found))


@pytest.mark.parametrize("present", [[0, 2], [1], [0, 1, 2]])
def test_a_label_that_the_other_folds_lack_is_never_predicted(present):
    """The two-label case has scikit-learn's penalty, the single-label one no slope."""
    features, _, folds = data()
    targets = np.array(present)[np.arange(len(features)) % len(present)]
    targets[folds == 3] = 3
    (found,) = held_out.logits(features, targets, 4, folds, [0.1])
    for fold, logits in enumerate(found):
        probabilities = softmax(logits, axis=1)
        others = np.unique(targets[folds != fold])
        absent = [label for label in range(4) if label not in others]
        assert probabilities[:, absent].max(initial=0) == 0
        if len(others) > 1:
            held = folds == fold
            model = regression(0.1, (~held).sum()).fit(features[~held], targets[~held])
            np.testing.assert_allclose(probabilities[:, others], model.predict_proba(features[held]), atol=1e-4)


def test_each_strength_starts_where_the_last_one_ended_and_ends_where_it_would_alone():
    features, targets, folds = data(labels=3)
    together = list(held_out.logits(features, targets, 3, folds, STRENGTHS))
    for strength, found in zip(STRENGTHS, together, strict=True):
        (alone,) = held_out.logits(features, targets, 3, folds, [strength])
        for a, b in zip(found, alone, strict=True):
            np.testing.assert_allclose(softmax(a, axis=1), softmax(b, axis=1), atol=1e-3)
