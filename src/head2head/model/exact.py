"""A linear classifier that is solved rather than trained: logistic or ridge regression by scikit-learn, in float64.

The mean loss (cross-entropy, or half the squared error) + strength / 2 x the sum of squared weights is minimised; the
intercept is not penalised. The strength is chosen from a grid by cross-validation of the training rows. There is no
learning rate, and no seed has a part in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from head2head.errors import UserError

# Strengths are compared by L-BFGS to scikit-learn's own tolerance (the largest element of the gradient): scores do not
# see more. The classifier itself is solved tightly, by Newton's method where its matrix of second derivatives is small.
LOOSE, TIGHT = 1e-4, 1e-9
NEWTON_UP_TO = 1000  # weights of the classifier
NEVER = -1e4  # intercept of a label that no training row has: a probability of 0


@dataclass(frozen=True)
class ExactSettings:
    """Settings of optimizer=exact.

    strengths: of the penalty, to choose from.
    folds: of the inner cross-validation.

    Raises:
        UserError: values that cannot be.
    """

    strengths: Sequence[float]
    folds: int = 5

    def __post_init__(self) -> None:
        listed = self.strengths if isinstance(self.strengths, (list, tuple)) else ()
        if not listed or not all(type(value) in (int, float) and 0 < value < np.inf for value in listed):
            raise UserError(f"optimizer.strengths={self.strengths}: a list of numbers above 0")
        if type(self.folds) is not int or self.folds < 2:
            raise UserError(f"optimizer.folds={self.folds}: a whole number, 2 or above")


def is_exact(config: Mapping[str, Any]) -> bool:
    """Whether a configuration asks for a classifier that is solved (optimizer=exact)."""
    return "strengths" in config["optimizer"]


@dataclass(frozen=True)
class Linear:
    """A linear classifier: weight (C, D) and bias (C,)."""

    weight: np.ndarray
    bias: np.ndarray

    def logits(self, features: np.ndarray) -> np.ndarray:
        """(N, C) from features (N, D)."""
        return features @ self.weight.T + self.bias


@dataclass(frozen=True)
class Solution:
    """A classifier, and how its penalty was chosen.

    strengths, scores: the grid from the weakest penalty to the strongest, and the mean score of each over the folds.
    """

    classifier: Linear
    strength: float
    strengths: list[float]
    scores: list[float]
    folds: int

    def record(self) -> dict[str, Any]:
        """What a result keeps of it."""
        return {name: getattr(self, name) for name in ("strength", "strengths", "scores", "folds")}


def solve(
    features: np.ndarray,
    targets: np.ndarray,
    num_labels: int,
    folds: np.ndarray,
    score: Callable[[np.ndarray, int], float],
    settings: ExactSettings,
) -> Solution:
    """Choose the strength by cross-validation, then solve with all rows. Of equal scores the stronger penalty wins.

    Args:
        features: (N, D) float64, standardised over all N rows. Standardising within each inner fold anew would see no
            label either, and change a feature's share of the penalty by a few percent, where strengths lie apart by
            a factor of three.
        targets: (N,) numbers of labels, or values.
        num_labels: C; 0 for values.
        folds: (N,) inner fold of each row.
        score: (logits of the held-out rows (n, C), number of the inner fold) -> higher is better.
    """
    strengths = sorted(settings.strengths)
    reduced, basis = within_span(features)
    count = int(folds.max()) + 1
    scores = np.zeros((count, len(strengths)))
    for fold in range(count):
        held = folds == fold
        found = solutions(reduced[~held], targets[~held], num_labels, strengths[::-1], LOOSE)
        scores[fold] = [score(classifier.logits(reduced[held]), fold) for classifier in found][::-1]
    means = scores.mean(axis=0)
    best = len(strengths) - 1 - int(means[::-1].argmax())
    (final,) = solutions(reduced, targets, num_labels, [strengths[best]], TIGHT)
    classifier = final if basis is None else Linear(final.weight @ basis, final.bias)
    return Solution(classifier, strengths[best], strengths, means.tolist(), count)


def within_span(features: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Features (N, D) in coordinates of the space that the N rows span, and its orthonormal basis (N, D), where D > N.
    The weights that minimise a penalised loss lie in it, and their length is the same there."""
    if features.shape[1] <= features.shape[0]:
        return features, None
    basis, coordinates = np.linalg.qr(features.T)
    return np.ascontiguousarray(coordinates.T), basis.T


def solutions(
    features: np.ndarray, targets: np.ndarray, num_labels: int, strengths: Sequence[float], tolerance: float
) -> Iterator[Linear]:
    """The classifier under each strength in turn."""
    if not num_labels:
        yield from ridge(features, targets, strengths)
    elif len(present := np.unique(targets)) == 1:
        bias = np.full(num_labels, NEVER)
        bias[present] = 0.0
        yield from [Linear(np.zeros((num_labels, features.shape[1])), bias)] * len(strengths)
    else:
        yield from logistic(features, targets, num_labels, strengths, tolerance)


def ridge(features: np.ndarray, targets: np.ndarray, strengths: Sequence[float]) -> Iterator[Linear]:
    """Ridge regression under each strength in turn."""
    from sklearn.linear_model import Ridge

    for strength in strengths:
        model = Ridge(alpha=strength * len(features), solver="cholesky").fit(features, targets)
        yield Linear(model.coef_[None], np.array([model.intercept_]))


def logistic(
    features: np.ndarray, targets: np.ndarray, num_labels: int, strengths: Sequence[float], tolerance: float
) -> Iterator[Linear]:
    """Logistic regression under each strength in turn, each from where the one before it ended. With two labels their
    logits are plus and minus half of scikit-learn's one, which is penalised."""
    from sklearn.linear_model import LogisticRegression

    newton = tolerance <= TIGHT and features.shape[1] * num_labels <= NEWTON_UP_TO
    solver = "newton-cholesky" if newton else "lbfgs"
    model = LogisticRegression(solver=solver, tol=tolerance, max_iter=10_000, warm_start=True)
    for strength in strengths:
        model.set_params(C=1 / (strength * len(features))).fit(features, targets)
        weight, bias = np.zeros((num_labels, features.shape[1])), np.full(num_labels, NEVER)
        signs = np.array([[-0.5], [0.5]]) if len(model.classes_) == 2 else np.ones((len(model.classes_), 1))
        weight[model.classes_] = signs * model.coef_
        bias[model.classes_] = signs[:, 0] * model.intercept_
        yield Linear(weight, bias)
