"""Which rows form a batch, and the tensors they become."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor

from head2head.seeds import derive

POOL = 64  # batches that are sorted by length together, at most: more saves padding, fewer mixes better
POOLS = 4  # of them in an epoch, at least: in a single pool the same rows would always meet
IGNORED = -100  # a label that no loss and no metric counts


@dataclass(frozen=True)
class Step:
    """Rows of one micro-batch.

    labels_in_step: labels of its optimizer step, over all micro-batches and ranks.
    tokens: word pieces of its optimizer step; only the step's last micro-batch has the number, so that it counts once.
    """

    rows: np.ndarray
    labels_in_step: int
    tokens: int = 0


class TrainBatches:
    """Length-bucketed batches whose order is a pure function of seed and epoch: the same for every head.

    A batch is what one optimizer step sees. It is dealt out over ranks and accumulated micro-batches, so
    that a result does not depend on how it was cut. A share that would be empty gets one row, unlabelled.

    Args:
        lengths: (N,) word pieces of each row.
        labels: (N,) number of labels of each row.

    Attributes:
        seen: micro-batches that the next iteration leaves out, since the run had them before it was killed.
    """

    def __init__(
        self,
        lengths: np.ndarray,
        labels: np.ndarray,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        accumulate: int = 1,
    ):
        self.lengths, self.labels = lengths, labels
        self.batch_size, self.seed = batch_size, seed
        self.rank, self.world_size, self.accumulate = rank, world_size, accumulate
        self.epoch = 0
        self.seen = 0

    @property
    def sampler(self) -> TrainBatches:
        """Itself: Lightning tells the epoch to what stands under this name, and to nothing else of a batch sampler."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size) * self.accumulate

    def order(self) -> list[np.ndarray]:
        """The epoch's batches: shuffled, sorted by length within a pool, cut, shuffled again."""
        rng = np.random.default_rng(derive(self.seed, "order", self.epoch))
        rows = rng.permutation(len(self.lengths))
        size = self.batch_size * max(1, min(POOL, len(rows) // (POOLS * self.batch_size)))
        pools = [rows[i : i + size] for i in range(0, len(rows), size)]
        pools = [pool[np.argsort(self.lengths[pool], kind="stable")] for pool in pools]
        batches = [pool[i : i + self.batch_size] for pool in pools for i in range(0, len(pool), self.batch_size)]
        return [batches[i] for i in rng.permutation(len(batches))]

    def __iter__(self) -> Iterator[Step]:
        seen, self.seen = self.seen, 0
        yield from islice(self._steps(), seen, None)

    def _steps(self) -> Iterator[Step]:
        shares = self.world_size * self.accumulate
        for batch in self.order():
            labels, tokens = int(self.labels[batch].sum()), int(self.lengths[batch].sum())
            for micro in range(self.accumulate):
                last = micro == self.accumulate - 1
                yield Step(batch[micro * self.world_size + self.rank :: shares], labels, tokens if last else 0)


class EvaluationBatches:
    """Every row once, longest first, cut so that a batch holds at most `tokens` word pieces, padding included."""

    def __init__(self, lengths: np.ndarray, tokens: int, rank: int = 0, world_size: int = 1):
        order = np.argsort(-lengths, kind="stable")[rank::world_size]
        batches, start = [], 0
        while start < len(order):
            size = max(1, tokens // int(lengths[order[start]]))
            batches.append(order[start : start + size])
            start += size
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Step]:
        return (Step(batch, 0) for batch in self.batches)


class Ragged:
    """A column of lists as one flat array: row i is `values[offsets[i]:offsets[i + 1]]`. Memory-mapped
    columns stay on disk."""

    def __init__(self, dataset: Dataset, column: str):
        chunks = dataset.with_format("arrow")[:][column].combine_chunks()
        self.values: np.ndarray = chunks.flatten().to_numpy(zero_copy_only=False)
        self.offsets = np.concatenate(([0], np.cumsum(chunks.value_lengths().to_numpy(zero_copy_only=False))))

    @property
    def lengths(self) -> np.ndarray:
        """(N,) length of each row."""
        return np.diff(self.offsets)

    def padded(self, rows: np.ndarray, fill: int) -> np.ndarray:
        """(len(rows), longest) with `fill` after each row's values."""
        lengths = self.lengths_of(rows)
        table = np.full((len(rows), int(lengths.max(initial=0))), fill, dtype=np.int64)
        for place, (row, length) in enumerate(zip(rows, lengths, strict=True)):
            table[place, :length] = self.values[self.offsets[row] : self.offsets[row] + length]
        return table

    def lengths_of(self, rows: np.ndarray) -> np.ndarray:
        """Length of the given rows."""
        return self.offsets[rows + 1] - self.offsets[rows]


class TokenizedRows(torch.utils.data.Dataset):
    """Tokenized rows that hand out whole padded batches (padding on the right).

    A batch is a dict: `input_ids`, `attention_mask`, `token_type_ids`, `special_tokens_mask` (B, T);
    `units`, the number of each prediction in the split, and `labels`, -100 (values: NaN) where nothing is scored: (B,)
    for sentence tasks, (B, W) for token tasks; `words` (B, W, 2), pieces of each word; `labels_in_step`.

    Args:
        dataset: what `tokenize` made.
        kind: "sentence" or "token".
        pad: number of the padding word piece.
    """

    def __init__(self, dataset: Dataset, kind: str, pad: int):
        self.kind, self.pad = kind, pad
        self.input_ids = Ragged(dataset, "input_ids")
        self.token_type_ids = Ragged(dataset, "token_type_ids")
        self.special_tokens_mask = Ragged(dataset, "special_tokens_mask")
        self.words_lost = np.asarray(dataset["words_lost"][:])
        self.lengths = self.input_ids.lengths
        if kind == "token":
            self.starts, self.ends, self.units = (Ragged(dataset, name) for name in ("starts", "ends", "units"))
            self.labels = Ragged(dataset, "labels") if "labels" in dataset.column_names else None
            owned = np.concatenate(([0], np.cumsum(self.units.values >= 0)))
            self.label_counts = owned[self.units.offsets[1:]] - owned[self.units.offsets[:-1]]
        else:
            self.label = targets(dataset["label"][:]) if "label" in dataset.column_names else None
            self.label_counts = np.ones(len(dataset), dtype=np.int64)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitems__(self, step: Step) -> dict[str, Tensor | int]:
        """The batch of one micro-step; torch's loader hands over what the batch sampler yields."""
        rows, empty = step.rows, len(step.rows) == 0
        if empty:
            rows = np.zeros(1, dtype=np.int64)
        lengths = self.input_ids.lengths_of(rows)
        mask = np.arange(int(lengths.max())) < lengths[:, None]
        arrays = {
            "input_ids": self.input_ids.padded(rows, self.pad),
            "attention_mask": mask.astype(np.int64),
            "token_type_ids": self.token_type_ids.padded(rows, 0),
            "special_tokens_mask": self.special_tokens_mask.padded(rows, 1),
        }
        if self.kind == "token":
            arrays["words"] = np.stack([self.starts.padded(rows, 0), self.ends.padded(rows, 0)], axis=-1)
            arrays["units"] = self.units.padded(rows, -1)
            if self.labels is not None:
                arrays["labels"] = self.labels.padded(rows, IGNORED)
        else:
            arrays["units"] = rows.astype(np.int64)
            if self.label is not None:
                arrays["labels"] = self.label[rows]
        if empty:
            unlabelled = np.nan if arrays["labels"].dtype.kind == "f" else IGNORED
            arrays["labels"] = np.full_like(arrays["labels"], unlabelled)
        batch: dict[str, Tensor | int] = {name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in arrays.items()}
        batch["labels_in_step"], batch["tokens"] = step.labels_in_step, step.tokens
        return batch


def targets(labels: list) -> np.ndarray:
    """(N,) label numbers, or float32 values: not every accelerator has float64."""
    array = np.asarray(labels)
    return array.astype(np.float32) if array.dtype.kind == "f" else array
