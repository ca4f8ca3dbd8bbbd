"""A batch without its padding: all tokens in one row, text behind text."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class Packing:
    """Where the tokens of a batch (B, T) stand in such a row.

    shape: B and T.
    tokens: number N of tokens.
    places: (N,) number of each token in the flattened batch; more than N once the row is filled up.
    offsets: (B + 1,) number in the row of each text's first token, and N; one more once the row is filled up, and then
        of 32 bits, as a GPU's kernels take them.
    """

    shape: tuple[int, int]
    tokens: int
    places: Tensor
    offsets: Tensor

    @classmethod
    def of(cls, mask: Tensor) -> Packing:
        """That of a mask (B, T), true where there is a token. A mask on a GPU has to be waited for."""
        mask = mask.bool()
        places = mask.flatten().nonzero().squeeze(1)
        ends = mask.sum(dim=1).cumsum(0)
        return cls((mask.shape[0], mask.shape[1]), len(places), places, torch.cat([ends.new_zeros(1), ends]))

    def filled(self) -> Packing:
        """The same with a text of no meaning at its end, which makes the row as long as one of few lengths: a multiple
        of 128, and from 2048 tokens on one of eight between a power of two and the next. It repeats the batch's first
        place."""
        rest = self.places.new_zeros(rounded(self.tokens) - self.tokens)
        places = torch.cat([self.places, rest])
        offsets = torch.cat([self.offsets, self.offsets.new_full((1,), len(places))])
        return replace(self, places=places, offsets=offsets.int())

    def packed(self, states: Tensor) -> Tensor:
        """(N, H) of states (B, T, H); as many rows as there are places."""
        row = states.flatten(0, 1)
        return row if self._everything else row.index_select(0, self.places)

    def unpacked(self, row: Tensor) -> Tensor:
        """(B, T, H) of a row (N, H); zeros where there is no token, and nothing of what the row was filled up with."""
        (texts, length), width = self.shape, row.shape[1]
        if self._everything:
            return row.view(texts, length, width)
        places = self.places
        if len(places) > self.tokens:
            places, row = places[: self.tokens], row[: self.tokens]
        return row.new_zeros(texts * length, width).index_copy(0, places, row).view(texts, length, width)

    @property
    def _everything(self) -> bool:
        """Whether the row is the flattened batch."""
        return len(self.places) == self.tokens == self.shape[0] * self.shape[1]

    def to(self, device: torch.device | str) -> Packing:
        """On another device; without waiting for it, from memory that is pinned."""
        places, offsets = (part.to(device, non_blocking=True) for part in (self.places, self.offsets))
        return replace(self, places=places, offsets=offsets)

    def pin_memory(self) -> Packing:
        """In memory from which a GPU fetches by itself."""
        return replace(self, places=self.places.pin_memory(), offsets=self.offsets.pin_memory())


def rounded(count: int) -> int:
    """The length that `Packing.filled` gives a row of so many tokens.

    >>> [rounded(count) for count in (0, 128, 129, 1000, 2049, 4096)]
    [128, 128, 256, 1024, 2304, 4096]
    """
    grain = steps_to(count)
    return max(-(-count // grain) * grain, grain)


def steps_to(count: int) -> int:
    """Distance of the lengths around a number of tokens: a row is filled up with fewer. For a short row a GPU takes as
    long as for one a little longer, and each length takes a recording, as long as some steps."""
    return max(128, 1 << max(0, (count - 1).bit_length() - 4))


class PackedLayers(Protocol):
    """What computes layers of an encoder over such rows while they train, in place of their own forward()."""

    def packing(self, mask: Tensor) -> Packing:
        """What it takes of a batch whose mask is (B, T)."""
        ...

    def __call__(
        self, layers: Sequence[Any], state: Tensor, packing: Packing, first: int, wanted: Collection[int]
    ) -> dict[int, Tensor]:
        """Hidden states (B, T, H) of those that are wanted and of the last one computed, by number; zeros where there
        is no token. Of the layers given, those are computed that can be, up to the first that cannot.

        Args:
            layers: an encoder's, from the one on that reads `state`.
            state: (B, T, H), what they start from.
            first: number of the first layer's output.
            wanted: numbers of the outputs that are read.
        """
        ...
