"""A linear classifier that is solved rather than trained: logistic or ridge regression by scikit-learn, in float64.

The mean loss (cross-entropy, or half the squared error) + strength / 2 x the sum of squared weights is minimised; the
intercept is not penalised. The strength is chosen from a grid by cross-validation of the training rows. There is no
learning rate, and no seed has a part in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from head2head.errors import UserError

# The classifier itself is solved tightly, by Newton's method where its matrix of second derivatives is small.
TIGHT = 1e-9
NEWTON_UP_TO = 1000  # weights of the classifier


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
    from head2head.model import held_out

    strengths = sorted(settings.strengths)
    reduced, basis = within_span(features)
    count = int(folds.max()) + 1
    scores = np.zeros((len(strengths), count))
    descending = range(len(strengths) - 1, -1, -1)
    found = held_out.logits(reduced, targets, num_labels, folds, strengths[::-1])
    for place, logits in zip(descending, found, strict=True):
        scores[place] = [score(of_fold, fold) for fold, of_fold in enumerate(logits)]
    means = scores.mean(axis=1)
    best = len(strengths) - 1 - int(means[::-1].argmax())
    final = solution(reduced, targets, num_labels, strengths[best])
    classifier = final if basis is None else Linear(final.weight @ basis, final.bias)
    return Solution(classifier, strengths[best], strengths, means.tolist(), count)


def within_span(features: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Features (N, D) in coordinates of the space that the N rows span, and its orthonormal basis (N, D), where D > N.
    The weights that minimise a penalised loss lie in it, and their length is the same there."""
    if features.shape[1] <= features.shape[0]:
        return features, None
    basis, coordinates = np.linalg.qr(features.T)
    return np.ascontiguousarray(coordinates.T), basis.T


def solution(features: np.ndarray, targets: np.ndarray, num_labels: int, strength: float) -> Linear:
    """The classifier under a strength."""
    from head2head.model.held_out import NEVER

    if not num_labels:
        return ridge(features, targets, strength)
    if len(present := np.unique(targets)) == 1:
        bias = np.full(num_labels, NEVER)
        bias[present] = 0.0
        return Linear(np.zeros((num_labels, features.shape[1])), bias)
    return logistic(features, targets, num_labels, strength)


def ridge(features: np.ndarray, targets: np.ndarray, strength: float) -> Linear:
    """Ridge regression."""
    from sklearn.linear_model import Ridge

    model = Ridge(alpha=strength * len(features), solver="cholesky").fit(features, targets)
    return Linear(model.coef_[None], np.array([model.intercept_]))


def logistic(features: np.ndarray, targets: np.ndarray, num_labels: int, strength: float) -> Linear:
    """Logistic regression. With two labels their logits are plus and minus half of scikit-learn's one, which is
    penalised."""
    from sklearn.linear_model import LogisticRegression

    from head2head.model.held_out import NEVER

    solver = "newton-cholesky" if features.shape[1] * num_labels <= NEWTON_UP_TO else "lbfgs"
    model = LogisticRegression(C=1 / (strength * len(features)), solver=solver, tol=TIGHT, max_iter=10_000)
    model.fit(features, targets)
    weight, bias = np.zeros((num_labels, features.shape[1])), np.full(num_labels, NEVER)
    signs = np.array([[-0.5], [0.5]]) if len(model.classes_) == 2 else np.ones((len(model.classes_), 1))
    weight[model.classes_] = signs * model.coef_
    bias[model.classes_] = signs[:, 0] * model.intercept_
    return Linear(weight, bias)
