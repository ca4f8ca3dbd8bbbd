"""A run of a bank."""

from __future__ import annotations

from dataclasses import dataclass, field

from head2head.frozen.head_parts import Rest
from head2head.model.finetuner import FineTuner
from head2head.model.optimizer import OptimizerSettings


@dataclass(frozen=True)
class Schedule:
    """How long a bank trains, and what is done to its gradients.

    epochs: None without limit.
    steps: optimizer steps of the whole training.
    epoch_steps: of an epoch.
    clip: largest norm of a run's gradient, or largest value; None does not clip.
    log_every: steps between two training losses that are kept.
    """

    epochs: int | None
    steps: int
    epoch_steps: int
    clip: float | None
    clip_by_value: bool
    log_every: int


@dataclass(eq=False)
class Member:
    """One run in a bank.

    model: the run's FineTuner. Its `history`, `logits` and `tokens_seen` are filled, its head is trained; its
        encoder, which all share, is not called.
    rest: what is trained of the head.
    losses: (step, epoch, training loss) as a run of its own would log them.
    failed: why it has ended without scores.
    seconds: of training and validation, the member's share of what was done for several at once.
    """

    model: FineTuner
    rest: Rest
    seed: int
    settings: OptimizerSettings
    losses: list[tuple[int, int, float]] = field(default_factory=list)
    failed: str | None = None
    seconds: dict[str, float] = field(default_factory=lambda: {"train": 0.0, "validation": 0.0})
