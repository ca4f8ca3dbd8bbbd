"""Whether a head on a frozen encoder was trained to the end, told from its training losses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

LEAST = 6  # epochs in the later half of the learning, without which nothing can be told
SHARE = 0.05  # of the whole fall, that the same training once more may bring a head that has converged
ERRORS = 2.0  # standard errors by which it has to be surpassed, so that noise alone raises no alarm


def converged(losses: Sequence[float], rates: Sequence[float]) -> bool | None:
    """Whether training once more as long would lower the training loss by less than a twentieth of its whole fall.

    Learning rates fall to zero, and a loss is flat at the end whether or not it has come to its end. So the clock is
    the sum of the rates, s from 0 to 1, not the epoch: under linear decay the last quarter of the epochs is a sixteenth
    of it. Over the later half of s the losses are fitted by least squares as a - b s + c r. The rate r is there because
    the noise of the steps lifts a loss in proportion to it: what falls with the rate alone would not fall further. What
    is left, b, is the fall that another training of the same length promises at the pace of this one. It must exceed
    SHARE of the whole fall by ERRORS of its standard errors to be taken for real. A loss that ends above where it began
    has not converged either.

    Args:
        losses: mean training loss of each epoch.
        rates: mean learning rate of each epoch.

    Returns:
        None where there are too few epochs, or no learning.
    """
    values, paces = np.asarray(losses, dtype=float), np.asarray(rates, dtype=float)
    if not np.isfinite(values).all():
        return False
    if len(values) == 0 or paces.sum() <= 0:
        return None
    clock = (np.cumsum(paces) - paces / 2) / paces.sum()  # at the middle of each epoch
    late = clock >= 0.5
    if late.sum() < LEAST:
        return None
    fall = values[0] - values[-1]
    pace, error = slope(values[late], clock[late], paces[late] / paces.max())
    noise = error * float(np.ptp(clock))
    if fall < -ERRORS * noise:
        return False
    return bool(pace - ERRORS * error <= SHARE * max(fall, 0.0))


def slope(losses: np.ndarray, clock: np.ndarray, rates: np.ndarray) -> tuple[float, float]:
    """The fall of losses by the clock beside what goes with the rate, and its standard error."""
    columns = [np.ones_like(clock), -clock]
    if np.ptp(rates) > 0.01:  # else a constant rate, which the first column stands for
        columns.append(rates)
    design = np.stack(columns, axis=1)
    found, *_ = np.linalg.lstsq(design, losses, rcond=None)
    variance = ((losses - design @ found) ** 2).sum() / (len(losses) - len(columns))
    return float(found[1]), float(np.sqrt(variance * np.linalg.inv(design.T @ design)[1, 1]))
