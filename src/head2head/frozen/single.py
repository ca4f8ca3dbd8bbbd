"""The training of one head on features."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from head2head.frozen.batches import Batches
from head2head.frozen.frozen_run import FrozenRun, Schedule
from head2head.frozen.head_parts import TrainableHead
from head2head.model.heads import standardization
from head2head.model.optimizer import OptimizerSettings, build_optimizer
from head2head.model.step import clip_gradients, seed_dropout


class SingleHead:
    """A head on features, with its optimizer."""

    def __init__(self, run: FrozenRun, schedule: Schedule):
        assert isinstance(run.settings, OptimizerSettings)
        self.run, self.schedule, self.head, self.settings = run, schedule, run.head, run.settings
        self.parameters = [p for p in self.head.parameters() if p.requires_grad]
        self.optimizer, self.lr_schedule = build_optimizer(
            run.model.encoder, self.head, run.settings, schedule.steps, fused=True
        )

    def step(self, batches: Batches, epoch: int, number: int) -> tuple[Tensor, int]:
        """Take one optimizer step; the same as one of FineTuner's. Returns the training loss, a mean over labels, and
        their number."""
        rows = batches.order(self.run.seed, epoch)[number]
        seed_dropout(batches.device, self.run.seed, epoch, number)
        self.head.train()
        labels, count = batches.labels(self.head.specs[0].unit, rows), batches.count(rows)
        features, mask, special = inputs_of(self.head, batches, rows)
        loss = self.run.model.loss(self.head(features, mask, special), labels, mask) / float(count)
        self.optimizer.zero_grad()
        loss.backward()
        clip_gradients(self.parameters, self.schedule.clip, self.schedule.clip_by_value)
        self.optimizer.step()
        self.lr_schedule.step()
        return loss.detach(), count


def logits_of(head: TrainableHead, batches: Batches, rows: np.ndarray) -> Tensor:
    """(B, C) logits of rows, or (B, W, C) of their words."""
    return head(*inputs_of(head, batches, rows))


def inputs_of(
    head: TrainableHead, batches: Batches, rows: np.ndarray
) -> tuple[list[Tensor], Tensor | None, Tensor | None]:
    """What a head reads of rows: features, mask and special tokens (see TrainableHead.forward)."""
    if head.reads_rows:
        return [batches.vectors(spec, rows) for spec in head.specs], None, None
    return batches.sequences(head.specs, rows)


def standardize(head: TrainableHead, batches: Batches) -> None:
    """Give a head that standardises the mean and scale of the training rows."""
    head.eval()
    standardization.fit(head, batches.evaluation, lambda rows: logits_of(head, batches, rows))


@torch.no_grad()
def predict(head: TrainableHead, batches: Batches, num_predictions: int) -> np.ndarray:
    """(N, C) float32 logits of a split, NaN for a word that has no word piece.

    Raises:
        FloatingPointError: they are not finite.
    """
    head.eval()
    unit, found = head.specs[0].unit, None
    for rows in batches.evaluation():
        logits = logits_of(head, batches, rows).float().cpu().numpy()
        numbers = batches.prediction_ids(unit, rows)
        if not np.isfinite(logits[numbers >= 0]).all():
            raise FloatingPointError
        found = scattered(found, logits, numbers, num_predictions)
    assert found is not None
    return found


def entering(head: TrainableHead, module: nn.Module, batches: Batches, num_predictions: int) -> np.ndarray:
    """(N, D) float64 of what a part of a head reads of a split, NaN for a word that has no word piece."""
    head.eval()
    unit, every = head.specs[0].unit, batches.evaluation()
    found, left = None, iter(every)

    def keep(features: Tensor) -> None:
        nonlocal found
        numbers = batches.prediction_ids(unit, next(left))
        found = scattered(found, features.to("cpu", torch.float64).numpy(), numbers, num_predictions)

    standardization.reaching(module, every, lambda rows: logits_of(head, batches, rows), keep)
    assert found is not None
    return found


def scattered(found: np.ndarray | None, values: np.ndarray, numbers: np.ndarray, count: int) -> np.ndarray:
    """An array (count, D) with a batch's values (..., D) put where their numbers (...) say, -1 for nowhere.

    Args:
        found: the array so far; None for one of NaN.
    """
    if found is None:
        found = np.full((count, values.shape[-1]), np.nan, dtype=values.dtype)
    found[numbers[numbers >= 0]] = values[numbers >= 0]
    return found
