"""The training of one head on features."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from head2head.frozen.batches import Batches
from head2head.frozen.frozen_run import FrozenRun, Schedule
from head2head.model.optimizer import build_optimizer
from head2head.model.step import clip_gradients, seed_dropout


class SingleHead:
    """A head on features, with its optimizer."""

    def __init__(self, run: FrozenRun, schedule: Schedule):
        self.run, self.schedule, self.head = run, schedule, run.head
        self.parameters = [p for p in self.head.parameters() if p.requires_grad]
        self.optimizer, self.lr_schedule = build_optimizer(
            run.model.encoder, self.head, run.settings, schedule.steps, fused=True
        )

    def step(self, batches: Batches, epoch: int, number: int) -> Tensor:
        """Take one optimizer step; the same as one of FineTuner's. Returns the training loss."""
        rows = batches.order(self.run.seed, epoch)[number]
        seed_dropout(batches.device, self.run.seed, epoch, number)
        self.head.train()
        labels = batches.labels(self.head.specs[0].unit, rows)
        features, mask, special = self._inputs(batches, rows)
        loss = self.run.model.loss(self.head(features, mask, special), labels, mask) / float(batches.count(rows))
        self.optimizer.zero_grad()
        loss.backward()
        clip_gradients(self.parameters, self.schedule.clip, self.schedule.clip_by_value)
        self.optimizer.step()
        self.lr_schedule.step()
        return loss.detach()

    @torch.no_grad()
    def predict(self, batches: Batches, num_predictions: int) -> np.ndarray:
        """(N, C) float32 logits of a split, NaN for a word that has no word piece."""
        self.head.eval()
        unit, found = self.head.specs[0].unit, None
        for rows in batches.evaluation():
            logits = self.head(*self._inputs(batches, rows)).float().cpu().numpy()
            numbers = batches.prediction_ids(unit, rows)
            if found is None:
                found = np.full((num_predictions, logits.shape[-1]), np.nan, dtype=np.float32)
            if not np.isfinite(logits[numbers >= 0]).all():
                raise FloatingPointError
            found[numbers[numbers >= 0]] = logits[numbers >= 0]
        assert found is not None
        return found

    def _inputs(self, batches: Batches, rows: np.ndarray) -> tuple[list[Tensor], Tensor | None, Tensor | None]:
        """What the head reads of some rows: features, mask and special tokens."""
        if self.head.reads_rows:
            return [batches.vectors(spec, rows) for spec in self.head.specs], None, None
        return batches.sequences(self.head.specs, rows)
