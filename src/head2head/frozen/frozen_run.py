"""A run on features, and how long it trains."""

from __future__ import annotations

from dataclasses import dataclass, field

from head2head.frozen.head_parts import TrainableHead
from head2head.model.exact import ExactSettings, Solution
from head2head.model.finetuner import FineTuner
from head2head.model.optimizer import OptimizerSettings


@dataclass(frozen=True)
class Schedule:
    """How long the runs of a group train, and what is done to their gradients.

    epochs: None without limit.
    steps: optimizer steps of the whole training.
    epoch_steps: of an epoch.
    clip: largest norm of a gradient, or its largest element; None does not clip.
    log_every: steps between two training losses that are kept.
    """

    epochs: int | None
    steps: int
    epoch_steps: int
    clip: float | None
    clip_by_value: bool
    log_every: int


@dataclass(eq=False)
class FrozenRun:
    """One run of a group.

    model: the run's FineTuner. Its `history`, `logits` and `tokens_seen` are filled, its head is trained; its
        encoder, which all runs of the group share, is not called.
    head: what is trained of the model's head.
    points: (step, values by name) as a run by Lightning logs them while it trains.
    failed: why it has ended without scores.
    solution: of a run whose classifier is solved.
    rates: mean learning rate of each epoch.
    converged: whether it was trained to the end; None where nobody knows.
    seconds: of training and validation.
    """

    model: FineTuner
    head: TrainableHead
    seed: int
    settings: OptimizerSettings | ExactSettings
    points: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    failed: str | None = None
    solution: Solution | None = None
    rates: list[float] = field(default_factory=list)
    converged: bool | None = None
    seconds: dict[str, float] = field(default_factory=lambda: {"train": 0.0, "validation": 0.0})
