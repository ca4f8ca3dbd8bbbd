"""A run of a bank that trains by itself: its head reads words or tokens, or cannot be stacked."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from head2head.frozen.batches import NO_ROW, Batches
from head2head.frozen.member import Member, Schedule
from head2head.model.optimizer import build_optimizer
from head2head.seeds import derive


class Alone:
    """One run. It has the interface of Stacked, with one member."""

    def __init__(self, member: Member, schedule: Schedule):
        self.members = [member]
        self.member, self.schedule = member, schedule
        self.rest = member.rest
        self.parameters = [p for p in self.rest.parameters() if p.requires_grad]
        self.optimizer, self.lr_schedule = build_optimizer(
            member.model.encoder, self.rest, member.settings, schedule.steps, fused=True
        )

    def step(self, batches: Batches, epoch: int, number: int) -> Tensor:
        """(1,) training loss of a step."""
        rows = batches.order(self.member.seed, epoch)[number]
        rows = rows[rows != NO_ROW]
        # The stream that the run's dropout has when it trains alone.
        seed = derive(self.member.seed, "dropout", epoch, number, 0)
        if batches.device.type == "cpu":
            torch.default_generator.manual_seed(seed)
        else:
            torch.manual_seed(seed)
        self.rest.train()
        logits = self._logits(batches, rows)
        labels = batches.labels(self.rest.readings[0].unit, rows)
        loss = self.member.model.loss(logits, labels) / float(batches.count(rows))
        self.optimizer.zero_grad()
        loss.backward()
        if self.schedule.clip is not None:
            if self.schedule.clip_by_value:
                clip_grad_value_(self.parameters, self.schedule.clip)
            else:
                clip_grad_norm_(self.parameters, self.schedule.clip)
        self.optimizer.step()
        self.lr_schedule.step()
        return loss.detach().unsqueeze(0)

    def _logits(self, batches: Batches, rows: np.ndarray) -> Tensor:
        if self.rest.fixed_size:
            return self.rest([batches.vectors(reading, rows) for reading in self.rest.readings], None, None)
        return self.rest(*batches.sequences(self.rest.readings, rows))

    @torch.no_grad()
    def predict(self, batches: Batches, units: int) -> tuple[np.ndarray, np.ndarray]:
        """(1, N, C) float32 logits, NaN for a word that has no word piece; and (1,) whether the others are finite."""
        self.rest.eval()
        unit, found, finite = self.rest.readings[0].unit, None, True
        for rows in batches.evaluation():
            logits = self._logits(batches, rows).float().cpu().numpy()
            numbers = batches.units(unit, rows)
            if found is None:
                found = np.full((units, logits.shape[-1]), np.nan, dtype=np.float32)
            found[numbers[numbers >= 0]] = logits[numbers >= 0]
            finite &= bool(np.isfinite(logits[numbers >= 0]).all())
        assert found is not None
        return found[None], np.array([finite])

    def finish(self) -> None:
        """The head has its trained weights already."""
