"""A batch without its padding: all tokens in one row, text after text."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Packing:
    """Where the tokens of a batch (B, T) stand in such a row.

    shape: B and T.
    places: (N,) position of each of the N tokens in the flattened batch.
    offsets: (B + 1,) position in the row of each text's first token, and N.
    """

    shape: tuple[int, int]
    places: Tensor
    offsets: Tensor

    @classmethod
    def of(cls, mask: Tensor) -> Packing:
        """That of a mask (B, T), nonzero where there is a token."""
        mask = mask.bool()
        ends = mask.sum(dim=1).cumsum(0)
        places = mask.flatten().nonzero().squeeze(1)
        return cls((mask.shape[0], mask.shape[1]), places, torch.cat([ends.new_zeros(1), ends]))

    def packed(self, states: Tensor) -> Tensor:
        """(N, H) of states (B, T, H)."""
        row = states.flatten(0, 1)
        return row if self._unpadded else row.index_select(0, self.places)

    def unpacked(self, row: Tensor) -> Tensor:
        """(B, T, H) of a row (N, H); zeros where there is no token."""
        (texts, length), width = self.shape, row.shape[1]
        if self._unpadded:
            return row.view(texts, length, width)
        return row.new_zeros(texts * length, width).index_copy(0, self.places, row).view(texts, length, width)

    @property
    def _unpadded(self) -> bool:
        """Whether the row is the flattened batch."""
        return len(self.places) == self.shape[0] * self.shape[1]
