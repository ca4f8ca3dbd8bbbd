"""What rows that are held out get from the linear classifier of the others, under penalty after penalty.

All inner folds are solved together: they share nearly all of their rows, so that one product of matrices serves every
fold, in the coordinates in which the rows do not correlate. Logistic regression is minimised by L-BFGS (Nocedal and
Wright 2006, algorithm 7.4), whose first guess of the curvature is there a diagonal, and whose step length costs no
product: along a line the logits are linear. scikit-learn's solvers do the same a fold at a time, which on a sentence
task takes ten times as long.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy import linalg
from scipy.special import softmax

TOLERANCE = 1e-6  # largest element of a gradient; scikit-learn's own is 1e-4
REMEMBERED = 12  # steps whose change of gradient says something of the curvature
LIMIT = 1000  # steps
NEVER = -1e4  # intercept of a label that no training row has: a probability of 0
STALLED = 3  # steps without a decrease that float64 could tell end it too
SUFFICIENT = 1e-4  # part of the decrease that the slope promises (Nocedal and Wright 2006, equation 3.4)


def logits(
    features: np.ndarray, targets: np.ndarray, num_labels: int, folds: np.ndarray, strengths: Sequence[float]
) -> Iterator[list[np.ndarray]]:
    """For each strength in turn, each fold's (n, C) logits of the rows that it holds, from all rows that it does not.

    Args:
        features: (N, D) float64, D at most N.
        targets: (N,) numbers of labels, or values.
        num_labels: C; 0 for values, with logits (n, 1).
        folds: (N,) fold of each row, each of 0 to F - 1 at least once.
        strengths: of the penalty; quickest from the strongest to the weakest, since each starts where the one before
            it ended.

    Raises:
        RuntimeError: L-BFGS comes to no end.
    """
    if not num_labels:
        yield from ridge(features, targets, folds, strengths)
        return
    held = folds == np.arange(folds.max() + 1)[:, None]
    for found in Logistic(features, targets, num_labels, ~held).paths(strengths):
        yield [found[rows, fold] for fold, rows in enumerate(held)]


def ridge(
    features: np.ndarray, targets: np.ndarray, folds: np.ndarray, strengths: Sequence[float]
) -> Iterator[list[np.ndarray]]:
    """`logits` of ridge regression: a fold's normal equations are those of all rows less those of the rows it holds."""
    middle = features.mean(axis=0)
    centred = features - middle
    gram, product = centred.T @ centred, centred.T @ targets
    parts = []
    for fold in range(folds.max() + 1):
        held = folds == fold
        count = int((~held).sum())
        mean_x, mean_y = centred[~held].mean(axis=0), targets[~held].mean()
        own_gram = gram - centred[held].T @ centred[held] - count * np.outer(mean_x, mean_x)
        own_product = product - centred[held].T @ targets[held] - count * mean_y * mean_x
        parts.append((own_gram, own_product, count, centred[held] - mean_x, mean_y))
    for strength in strengths:
        found = []
        for own_gram, own_product, count, rows, mean_y in parts:
            penalised = own_gram + strength * count * np.eye(len(gram))
            weight = linalg.solve(penalised, own_product, assume_a="pos", overwrite_a=True)
            found.append((rows @ weight + mean_y)[:, None])
        yield found


class Logistic:
    """Multinomial logistic regressions that have features (N, D) in common, one for each row of `used`.

    Args:
        targets: (N,) numbers of labels below C.
        used: (F, N) which rows each is fitted on.

    What is minimised is the mean loss + strength / 2 x the sum of squared weights. Where two labels occur the penalty
    is that of scikit-learn, whose one row of weights is the difference of the two here.
    """

    def __init__(self, features: np.ndarray, targets: np.ndarray, num_labels: int, used: np.ndarray):
        variances, axes = np.linalg.eigh(features.T @ features / len(features))
        self.features = np.hstack([features @ axes, np.ones((len(features), 1))])  # the intercept's column is the last
        self.bound = np.append(np.maximum(variances, 0), 1) / 4  # of a label's curvature (Böhning 1992), nearly
        self.wanted = np.eye(num_labels)[targets]
        self.used = (used / used.sum(axis=1, keepdims=True)).T
        occurs = np.stack([self.wanted[rows].any(axis=0) for rows in used])  # (F, C)
        self.doubled = np.where(occurs.sum(axis=1) == 2, 2.0, 1.0)
        self.weights = np.zeros((len(used), num_labels, self.features.shape[1]))
        self.weights[~occurs, -1] = NEVER

    def paths(self, strengths: Sequence[float]) -> Iterator[np.ndarray]:
        """(N, F, C) logits of all rows under each strength in turn.

        Raises:
            RuntimeError: L-BFGS comes to no end.
        """
        values = self.values(self.weights)
        for strength in strengths:
            values = self.minimise(strength, values)
            yield values

    def values(self, weights: np.ndarray) -> np.ndarray:
        """(N, F, C) logits from weights (F, C, D + 1)."""
        folds, labels, width = weights.shape
        return (self.features @ weights.reshape(-1, width).T).reshape(-1, folds, labels)

    def penalty(self, strength: float) -> np.ndarray:
        """(F, 1, D + 1) factor of each weight in the gradient of the penalty."""
        factors = np.full((len(self.doubled), 1, self.features.shape[1]), strength)
        factors[..., -1] = 0
        return factors * self.doubled[:, None, None]

    def loss(self, values: np.ndarray, weights: np.ndarray, penalty: np.ndarray) -> np.ndarray:
        """(F,) what is minimised."""
        peaks = values.max(axis=-1)
        of_own = (values * self.wanted[:, None]).sum(axis=-1)
        logs = np.log(np.exp(values - peaks[..., None]).sum(axis=-1)) + peaks - of_own
        return (self.used * logs).sum(axis=0) + (penalty * weights**2).sum(axis=(1, 2)) / 2

    def gradient(self, values: np.ndarray, weights: np.ndarray, penalty: np.ndarray) -> np.ndarray:
        """(F, C, D + 1) its gradient."""
        errors = (softmax(values, axis=-1) - self.wanted[:, None]) * self.used[..., None]
        flat = self.features.T @ errors.reshape(len(errors), -1)
        return flat.T.reshape(weights.shape) + penalty * weights

    def minimise(self, strength: float, values: np.ndarray) -> np.ndarray:
        """(N, F, C) logits under a strength, from where the weights are, whose logits are `values`.

        Raises:
            RuntimeError: L-BFGS comes to no end.
        """
        penalty = self.penalty(strength)
        curvature = self.bound + penalty
        curvature[..., -1] = self.bound[-1]
        loss, gradient = (f(values, self.weights, penalty) for f in (self.loss, self.gradient))
        steps: list[tuple[np.ndarray, np.ndarray]] = []
        stalled = 0
        for _ in range(LIMIT):
            if np.abs(gradient).max() <= TOLERANCE or stalled == STALLED:
                return values
            direction = -quasi_newton(gradient, steps, curvature)
            along = self.values(direction)
            slope = (direction * gradient).sum(axis=(1, 2))
            length = np.ones((len(self.doubled), 1, 1))
            while True:
                found = self.loss(values + length[:, 0] * along, self.weights + length * direction, penalty)
                # What rounding adds to a loss of this size must not count as an increase.
                far = found > loss + SUFFICIENT * length[:, 0, 0] * slope + 1e-14 * np.abs(loss)
                if not far.any() or length.min() < 1e-10:
                    break
                length[far] /= 2
            stalled = 0 if (found < loss - 1e-14 * np.abs(loss)).any() else stalled + 1
            step = length * direction
            self.weights = self.weights + step
            values, loss, before = values + length[:, 0] * along, found, gradient
            gradient = self.gradient(values, self.weights, penalty)
            steps = [*steps[1 - REMEMBERED :], (step, gradient - before)]
        raise RuntimeError(f"logistic regression of {len(values)} rows: no minimum in {LIMIT} steps")


def quasi_newton(
    gradient: np.ndarray, steps: Sequence[tuple[np.ndarray, np.ndarray]], curvature: np.ndarray
) -> np.ndarray:
    """(F, C, W) the gradient times L-BFGS's estimate of the inverse of the second derivatives, problem by problem.

    Args:
        steps: (step, change of the gradient), oldest first, each (F, C, W).
        curvature: what the second derivatives are about, but for a factor, as a diagonal.
    """

    def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a * b).sum(axis=(1, 2))[:, None, None]

    found, shares = gradient, []
    # A problem that does not move any more has changes of nothing but rounding.
    known = [(step, change, np.where((c := product(step, change)) > 1e-300, c, np.inf)) for step, change in steps]
    for step, change, curved in reversed(known):
        share = product(step, found) / curved
        found = found - share * change
        shares.append(share)
    scale = np.ones((len(gradient), 1, 1))
    if known:
        _, change, curved = known[-1]
        scale = np.where(np.isfinite(curved), curved / np.maximum(product(change, change / curvature), 1e-300), 1.0)
    found = scale * found / curvature
    for (step, change, curved), share in zip(known, reversed(shares), strict=True):
        found = found + (share - product(change, found) / curved) * step
    return found
