"""Batches of features: the rows that a run's seed picks for a step, as in a run of its own."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from head2head.data.batching import IGNORED, EvaluationBatches, TrainBatches
from head2head.data.datamodule import Split
from head2head.frozen.features import Features, Places, padded, places_of
from head2head.frozen.head_parts import FeatureSpec, Unit


class Batches:
    """A split's features and labels.

    Args:
        features: of the split, or of the whole that it is a part of.
        batch_size: rows in a training step.
        tokens: word pieces in an evaluation batch.
    """

    def __init__(self, split: Split, features: Features, batch_size: int, tokens: int, device: torch.device):
        self.split, self.rows, self.features = split, split.rows, features
        self.batch_size, self.tokens, self.device = batch_size, tokens, device
        self._places = functools.cache(self._found)
        self.order = functools.lru_cache(maxsize=64)(self._order)  # runs with one seed share it

    @property
    def steps(self) -> int:
        """Number of an epoch's steps."""
        return len(TrainBatches(self.rows.lengths, self.rows.label_counts, self.batch_size, 0))

    def _found(self, unit: Unit) -> Places:
        """Where the rows' vectors stand in the arrays."""
        return places_of((self.split.whole or self.split).rows, unit, self.split.chosen)

    def _order(self, seed: int, epoch: int) -> list[np.ndarray]:
        """Rows of each of an epoch's steps."""
        batches = TrainBatches(self.rows.lengths, self.rows.label_counts, self.batch_size, seed)
        batches.set_epoch(epoch)
        return batches.order()

    def evaluation(self) -> list[np.ndarray]:
        """Every row once, in batches."""
        return EvaluationBatches(self.rows.lengths, self.tokens).batches

    def vectors(self, spec: FeatureSpec, rows: np.ndarray) -> Tensor:
        """(B, width) vectors of rows that have one each, or (2B, width) of first texts, then of second ones."""
        places = torch.from_numpy(self._places("row").starts[self.rows.sequences(rows)])
        return self.features.arrays[spec].index_select(0, places).to(self.device)

    def sequences(self, specs: Sequence[FeatureSpec], rows: np.ndarray) -> tuple[list[Tensor], Tensor, Tensor]:
        """(B, U, width) for each array of words or tokens, zeros after a row's last; (B, U), 1 where there is
        one; and (B, U), 1 at special tokens and after the last. Of 2B texts where those of pairs are read apart."""
        unit, texts = specs[0].unit, self.rows.sequences(rows)
        found = self._places(unit)
        lengths = found.lengths[texts]
        mask = torch.from_numpy(np.arange(lengths.max(initial=1)) < lengths[:, None])
        places = torch.from_numpy(found.of(texts))
        states = [padded(self.features.arrays[spec], mask, places).to(self.device) for spec in specs]
        special = self.rows.special_tokens_mask.padded(texts, 1) if unit == "token" else np.zeros(mask.shape, int)
        return states, mask.long().to(self.device), torch.from_numpy(special).to(self.device)

    def labels(self, unit: Unit, rows: np.ndarray) -> Tensor:
        """(B,) labels of rows, or (B, W) of their words; IGNORED, or NaN among values, where there is none."""
        if unit == "word":
            assert self.rows.labels is not None
            return torch.from_numpy(self.rows.labels.padded(rows, IGNORED)).to(self.device)
        assert self.rows.label is not None
        return torch.from_numpy(self.rows.label[rows]).to(self.device)

    def count(self, rows: np.ndarray) -> int:
        """Labels of rows, at least 1."""
        return max(int(self.rows.label_counts[rows].sum()), 1)

    def pieces(self, rows: np.ndarray) -> int:
        """Word pieces of rows."""
        return int(self.rows.pieces[rows].sum())

    def prediction_ids(self, unit: Unit, rows: np.ndarray) -> np.ndarray:
        """Numbers in the split of what is predicted for rows: (B,), or (B, W) with -1 where it is not."""
        return self.rows.prediction_ids.padded(rows, -1) if unit == "word" else rows
