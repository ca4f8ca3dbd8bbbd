"""The training of one head on features."""

from __future__ import annotations

from torch import Tensor

from head2head.frozen.batches import Batches
from head2head.frozen.frozen_run import FrozenRun, Schedule
from head2head.frozen.predicting import logits_of
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
        loss = self.run.model.loss(logits_of(self.head, batches, rows), labels) / float(batches.count(rows))
        self.optimizer.zero_grad()
        loss.backward()
        clip_gradients(self.parameters, self.schedule.clip, self.schedule.clip_by_value)
        self.optimizer.step()
        self.lr_schedule.step()
        return loss.detach()
