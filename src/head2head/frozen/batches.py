"""Batches of features: the rows that a run's seed picks for a step, as in a run of its own."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from head2head.data.batching import IGNORED, EvaluationBatches, TrainBatches
from head2head.data.datamodule import Split
from head2head.frozen.features import Features, padded, positions, unit_lengths
from head2head.frozen.head_parts import Reading, Unit

NO_ROW = -1  # in the place of a row that a shorter batch does not have


class Batches:
    """A split's features and labels.

    Args:
        batch_size: rows in a training step.
        tokens: word pieces in an evaluation batch.
    """

    def __init__(self, split: Split, features: Features, batch_size: int, tokens: int, device: torch.device):
        self.rows, self.features = split.rows, features
        self.batch_size, self.tokens, self.device = batch_size, tokens, device
        self._offsets = functools.cache(lambda unit: np.concatenate(([0], np.cumsum(unit_lengths(self.rows, unit)))))
        self.order = functools.lru_cache(maxsize=64)(self._order)  # runs with one seed share it

    @property
    def steps(self) -> int:
        """Number of an epoch's steps."""
        return len(TrainBatches(self.rows.lengths, self.rows.label_counts, self.batch_size, 0))

    def _order(self, seed: int, epoch: int) -> np.ndarray:
        """(steps, batch_size) rows of an epoch's steps, NO_ROW behind those of a shorter one."""
        batches = TrainBatches(self.rows.lengths, self.rows.label_counts, self.batch_size, seed)
        batches.set_epoch(epoch)
        table = np.full((len(batches), self.batch_size), NO_ROW)
        for number, rows in enumerate(batches.order()):
            table[number, : len(rows)] = rows
        return table

    def evaluation(self) -> list[np.ndarray]:
        """Every row once, in batches."""
        return EvaluationBatches(self.rows.lengths, self.tokens).batches

    def vectors(self, reading: Reading, rows: np.ndarray) -> Tensor:
        """(..., width) vectors of rows (...) that have one each; of NO_ROW, those of some row."""
        flat = torch.from_numpy(rows.clip(min=0).reshape(-1))
        return self.features.arrays[reading].index_select(0, flat).view(*rows.shape, -1).to(self.device)

    def sequences(self, readings: Sequence[Reading], rows: np.ndarray) -> tuple[list[Tensor], Tensor, Tensor]:
        """(B, U, width) for each reading of words or tokens, zeros behind a row's last; (B, U), 1 where there is
        one; and (B, U), 1 at special tokens and behind the last."""
        unit = readings[0].unit
        offsets = self._offsets(unit)
        lengths = offsets[rows + 1] - offsets[rows]
        mask = torch.from_numpy(np.arange(lengths.max(initial=1)) < lengths[:, None])
        places = torch.from_numpy(positions(offsets, rows))
        found = [padded(self.features.arrays[reading], mask, places).to(self.device) for reading in readings]
        special = self.rows.special_tokens_mask.padded(rows, 1) if unit == "token" else np.zeros(mask.shape, int)
        return found, mask.long().to(self.device), torch.from_numpy(special).to(self.device)

    def labels(self, unit: Unit, rows: np.ndarray) -> Tensor:
        """Labels of rows: of one each (the shape of `rows`), or (B, W) of their words. IGNORED, or NaN among
        values, where there is none."""
        if unit == "word":
            assert self.rows.labels is not None
            return torch.from_numpy(self.rows.labels.padded(rows, IGNORED)).to(self.device)
        assert self.rows.label is not None
        found = self.rows.label[rows]
        found[rows == NO_ROW] = np.nan if found.dtype.kind == "f" else IGNORED
        return torch.from_numpy(found).to(self.device)

    def count(self, rows: np.ndarray) -> np.ndarray:
        """(...) labels in batches of rows (..., B), at least 1."""
        counts = self.rows.label_counts[rows] * (rows != NO_ROW)
        return counts.sum(axis=-1).clip(min=1)

    def pieces(self, rows: np.ndarray) -> np.ndarray:
        """(...) word pieces in batches of rows (..., B)."""
        return (self.rows.lengths[rows] * (rows != NO_ROW)).sum(axis=-1)

    def units(self, unit: Unit, rows: np.ndarray) -> np.ndarray:
        """Numbers in the split of what is predicted for rows: (B,), or (B, W) with -1 where it is not."""
        return self.rows.units.padded(rows, -1) if unit == "word" else rows
