"""Convergence, told from made-up training losses under a learning rate that decays."""

import numpy as np
import pytest

from head2head.frozen.convergence import converged

EPOCHS = 20


def rates(epochs=EPOCHS, schedule="linear") -> np.ndarray:
    """Mean rate of each epoch."""
    x = (np.arange(epochs) + 0.5) / epochs
    return 1e-3 * {"linear": 1 - x, "cosine": (1 + np.cos(np.pi * x)) / 2, "constant": np.ones(epochs)}[schedule]


def curve(time_constant: float, noise=0.0, lifted=0.0, seed=0, epochs=EPOCHS, schedule="linear") -> np.ndarray:
    """A loss that falls from 0.7 to 0.4 exponentially by the sum of the rates (1 is the whole training).

    lifted: how much of the loss at the full rate is the noise of its steps, which goes as the rate does.
    """
    pace = rates(epochs, schedule)
    clock = (np.cumsum(pace) - pace / 2) / pace.sum()
    losses = 0.4 + 0.3 * np.exp(-clock / time_constant) + lifted * pace / pace.max()
    return losses + noise * np.random.default_rng(seed).normal(size=epochs)


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
def test_a_loss_that_still_falls_has_not_converged_though_it_is_flat_at_the_end(schedule):
    losses = curve(1.0, schedule=schedule)
    assert converged(losses, rates(schedule=schedule)) is False
    if schedule != "constant":
        assert losses[-2] - losses[-1] < 0.01 * (losses[0] - losses[-1])  # flat


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
def test_a_loss_that_fell_early_and_then_no_more_has_converged(schedule):
    assert converged(curve(0.05, schedule=schedule), rates(schedule=schedule)) is True


def test_a_fall_that_goes_with_the_rate_is_not_taken_for_progress():
    assert converged(curve(0.05, lifted=0.1), rates()) is True
    assert converged(curve(1.0, lifted=0.1), rates()) is False


def test_noise_alone_seldom_raises_the_alarm_and_seldom_hides_a_fall():
    flat = [converged(curve(0.02, noise=0.003, lifted=0.03, seed=seed), rates()) for seed in range(200)]
    falling = [converged(curve(1.0, noise=0.003, lifted=0.03, seed=seed), rates()) for seed in range(200)]
    assert np.mean([told is False for told in flat]) < 0.05
    assert np.mean([told is False for told in falling]) > 0.95


def test_a_loss_that_has_risen_or_is_no_number_has_not_converged():
    assert converged(curve(0.05)[::-1], rates()) is False
    assert converged([*curve(0.05)[:-1], float("nan")], rates()) is False


def test_a_few_epochs_tell_nothing():
    for epochs in (0, 1, 3, 7):
        assert converged(curve(1.0, epochs=epochs) if epochs else [], rates(epochs) if epochs else []) is None
    assert converged(curve(1.0), np.zeros(EPOCHS)) is None
