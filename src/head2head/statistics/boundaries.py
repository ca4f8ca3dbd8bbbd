"""Bounds for looking at a mean again and again: group-sequential boundaries by a spending function.

Of an error `alpha`, alpha t^rho is spent when the share t of all that there is to see has been seen (Lan and DeMets
1983, Biometrika 70; the power family of Kim and DeMets 1987, Biometrika 74). The statistics of K looks, standardised,
are taken to be normal with the correlation sqrt(t_j / t_k), as those of sums of independent parts are; the boundary of
each look is the one that spends what is due, given that no earlier one was crossed (Armitage, McPherson and Rowe
1969, JRSS A 132).
"""

from __future__ import annotations

import functools
import math

import numpy as np
from scipy import optimize, special, stats

STEPS = 400  # of the grid that the density is kept on, in standard deviations from LOWEST up to the boundary
LOWEST = -8.0


@functools.cache
def levels(times: tuple[float, ...], alpha: float, power: float) -> tuple[float, ...]:
    """One-sided level of each look: the chance that its statistic alone exceeds the boundary, under no difference.

    Args:
        times: shares t of all that there is to see, ascending; the last may be below 1.
        alpha: what is spent by t = 1.
        power: rho.
    """
    spent = [alpha * t**power for t in times]
    found = [spent[0]]
    density = stats.norm.pdf
    before, boundary = times[0], float(special.ndtri(1 - spent[0]))
    for number in range(1, len(times)):
        grid = np.linspace(LOWEST, boundary, STEPS + 1)
        weights = density(grid) * _simpson(grid)
        ratio = times[number] / before
        boundary, density = _next(grid, weights, ratio, spent[number] - spent[number - 1])
        found.append(float(special.ndtr(-boundary)))
        before = times[number]
    return tuple(found)


def _next(grid: np.ndarray, weights: np.ndarray, ratio: float, due: float):  # type: ignore[no-untyped-def]
    """The boundary that spends what is due, and the density of the statistic where no boundary was crossed before.

    With t_k = ratio t_(k-1), the statistic of look k is (Z_(k-1) + sqrt(ratio - 1) increment) / sqrt(ratio).
    """
    spread, scale = math.sqrt(ratio - 1), math.sqrt(ratio)

    def crossed(z: float) -> float:
        return float(weights @ special.ndtr(-(z * scale - grid) / spread))

    def density(z: np.ndarray) -> np.ndarray:
        return stats.norm.pdf((z[:, None] * scale - grid) / spread) @ weights * scale / spread

    return float(optimize.brentq(lambda z: crossed(z) - due, 0, 10)), density


def _simpson(grid: np.ndarray) -> np.ndarray:
    """Weights of Simpson's rule."""
    weights = np.full(len(grid), 2.0)
    weights[1::2], weights[0], weights[-1] = 4, 1, 1
    return weights * (grid[1] - grid[0]) / 3
