"""Which rows form a batch, and the tensors they become."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from itertools import islice
from typing import Any

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


@dataclass
class Batch:
    """B rows of T word pieces, padded on the right. Where the texts of pairs are read apart, B rows are 2B sequences of
    T word pieces: all first texts, then all second ones.

    Not a frozen dataclass: Lightning sets the fields of a copy where it converts floats to another precision.

    Attributes:
        input_ids, attention_mask, token_type_ids: (B, T) or (2B, T), as transformers names them.
        special_tokens_mask: likewise, 1 at [CLS], [SEP] and padding.
        prediction_ids: numbers in the split of what is predicted: (B,) texts, or (B, W) words, -1 where a word is
            predicted in another row, or there is none.
        labels: of the shape of `prediction_ids`: label numbers, IGNORED where nothing is scored, or values, NaN there;
            None where they are not known.
        words: token tasks: (B, W, 2), positions of a word's first piece and of the one after its last; (0, 0) where a
            row has fewer words.
        labels_in_step: labels of the whole optimizer step, over all its micro-batches and ranks.
        tokens: word pieces of the optimizer step, in its last micro-batch; 0 in the others.
        states: (B, T, H) or (2B, T, H) by number of the hidden state, where they were computed before; see
            Encoder.forward.
    """

    input_ids: Tensor
    attention_mask: Tensor
    token_type_ids: Tensor
    special_tokens_mask: Tensor
    prediction_ids: Tensor
    labels: Tensor | None = None
    words: Tensor | None = None
    labels_in_step: int = 0
    tokens: int = 0
    states: Mapping[int, Tensor] | None = None

    @property
    def has_word(self) -> Tensor | None:
        """Token tasks: (B, W), True where there is a word."""
        return None if self.words is None else self.words[..., 1] > self.words[..., 0]

    def to(self, device: torch.device | str) -> Batch:
        """The batch with its tensors on a device. A GPU fetches them from pinned memory while other work goes on."""
        kind = torch.device(device)
        return self._each(lambda tensor: tensor.to(kind, non_blocking=kind.type not in ("cpu", "mps")))

    def pin_memory(self) -> Batch:
        """The batch in pinned memory; torch's loader calls this."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        def changed(value: Any) -> Any:
            if isinstance(value, Mapping):
                return {number: change(state) for number, state in value.items()}
            return change(value) if isinstance(value, Tensor) else value

        return replace(self, **{field.name: changed(getattr(self, field.name)) for field in fields(self)})


class TrainBatches:
    """Length-bucketed batches whose order is a pure function of seed and epoch: the same for every head.

    A batch is what one optimizer step sees. It is dealt out over ranks and accumulated micro-batches, so
    that a result does not depend on how it was cut. A share that would be empty gets one row, unlabelled.

    Args:
        lengths: (N,) word pieces that each row takes in a batch, see TokenizedRows.
        labels: (N,) number of labels of each row.
        pieces: (N,) word pieces of each row, to be counted; None for `lengths`.

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
        pieces: np.ndarray | None = None,
    ):
        self.lengths, self.labels = lengths, labels
        self.pieces = lengths if pieces is None else pieces
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
            labels, tokens = int(self.labels[batch].sum()), int(self.pieces[batch].sum())
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
    """A column of lists as one flat array: row i is `values[starts[i] : starts[i] + lengths[i]]`. Memory-mapped
    columns stay on disk, and so do some of their rows.

    Args:
        values: all of them; may hold more than the rows do.
        starts, lengths: (N,) of each row.
    """

    def __init__(self, values: np.ndarray, starts: np.ndarray, lengths: np.ndarray):
        self.values, self.starts, self.lengths = values, starts, lengths

    @classmethod
    def of(cls, dataset: Dataset, column: str) -> Ragged:
        """A dataset's column."""
        chunks = dataset.with_format("arrow")[:][column].combine_chunks()
        lengths = chunks.value_lengths().to_numpy(zero_copy_only=False).astype(np.int64)
        return cls(chunks.flatten().to_numpy(zero_copy_only=False), np.cumsum(lengths) - lengths, lengths)

    def select(self, rows: np.ndarray) -> Ragged:
        """Some of the rows; the values are not copied."""
        return Ragged(self.values, self.starts[rows], self.lengths[rows])

    def flat(self) -> np.ndarray:
        """The values of the rows, row after row."""
        return self.values[spans(self.starts, self.lengths)]

    def padded(self, rows: np.ndarray, fill: int) -> np.ndarray:
        """(len(rows), longest) with `fill` after each row's values."""
        lengths = self.lengths[rows]
        table = np.full((len(rows), int(lengths.max(initial=0))), fill, dtype=np.int64)
        for place, (start, length) in enumerate(zip(self.starts[rows], lengths, strict=True)):
            table[place, :length] = self.values[start : start + length]
        return table


def spans(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Positions starts[0], starts[0] + 1, ... of the first span, then those of the next.

    >>> spans(np.array([5, 0]), np.array([2, 3]))
    array([5, 6, 0, 1, 2])
    """
    return np.arange(lengths.sum()) + np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)


class TokenizedRows(torch.utils.data.Dataset):
    """Tokenized rows that hand out whole batches.

    Args:
        dataset: what `tokenize` made.
        kind: "sentence" or "token".
        pad: number of the padding word piece.
        texts: sequences of a row: 2 for pairs whose texts are read apart; in `dataset` stand all first ones, then all
            second ones.

    Attributes:
        pieces: (N,) word pieces of each row.
        lengths: (N,) what a row takes in a batch of its own, padding included: both texts of a pair are as long as the
            longer one. Batches are made of rows of like length.
    """

    def __init__(self, dataset: Dataset, kind: str, pad: int, texts: int = 1):
        self.kind, self.pad, self.texts = kind, pad, texts
        self.input_ids = Ragged.of(dataset, "input_ids")
        self.token_type_ids = Ragged.of(dataset, "token_type_ids")
        self.special_tokens_mask = Ragged.of(dataset, "special_tokens_mask")
        by_text = self.input_ids.lengths.reshape(texts, -1)
        self.pieces, self.lengths = by_text.sum(axis=0), texts * by_text.max(axis=0)
        self.words_lost = np.asarray(dataset["words_lost"][:]).reshape(texts, -1).sum(axis=0)
        if kind == "token":
            self.starts, self.ends, self.prediction_ids = (
                Ragged.of(dataset, name) for name in ("starts", "ends", "units")
            )
            self.labels = Ragged.of(dataset, "labels") if "labels" in dataset.column_names else None
            owned = np.concatenate(([0], np.cumsum(self.prediction_ids.values >= 0)))
            ends = np.cumsum(self.prediction_ids.lengths)
            self.label_counts = owned[ends] - owned[ends - self.prediction_ids.lengths]
        else:
            self.label = targets(dataset["label"][: len(self)]) if "label" in dataset.column_names else None
            self.label_counts = np.ones(len(self.lengths), dtype=np.int64)

    def select(self, rows: np.ndarray, shift: np.ndarray | None = None) -> TokenizedRows:
        """Some of the rows, as those of a split of their own; their word pieces are not copied.

        Args:
            shift: token tasks: (len(rows),) what is added to the numbers of each row's words.
        """
        chosen, texts = copy.copy(self), self.sequences(rows)
        for name, value in vars(self).items():
            if isinstance(value, Ragged):
                setattr(chosen, name, value.select(texts))
            elif isinstance(value, np.ndarray):
                setattr(chosen, name, value[rows])
        if shift is not None:
            numbers, lengths = chosen.prediction_ids.flat(), chosen.prediction_ids.lengths
            numbers = np.where(numbers >= 0, numbers + np.repeat(shift, lengths), -1)
            chosen.prediction_ids = Ragged(numbers, np.cumsum(lengths) - lengths, lengths)
        return chosen

    def __len__(self) -> int:
        return len(self.lengths)

    def sequences(self, rows: np.ndarray) -> np.ndarray:
        """Numbers of the sequences of some rows: (B,), or (2B,) where a row has two: all first ones, then all second
        ones."""
        return (len(self) * np.arange(self.texts)[:, None] + rows).ravel()

    def each_text(self) -> TokenizedRows:
        """Every sequence as a row of its own, without a label, under its number."""
        if self.texts == 1:
            return self
        single = copy.copy(self)
        single.texts, single.label = 1, None
        single.pieces = single.lengths = self.input_ids.lengths
        single.label_counts = np.ones(len(single.lengths), dtype=np.int64)
        return single

    def __getitems__(self, step: Step) -> Batch:
        """The batch of one micro-step; torch's loader hands over what the batch sampler yields. One row without labels
        for a step without rows."""
        empty = len(step.rows) == 0
        rows = np.zeros(1, dtype=np.int64) if empty else step.rows
        texts = self.sequences(rows)
        lengths = self.input_ids.lengths[texts]
        mask = np.arange(int(lengths.max())) < lengths[:, None]
        batch = Batch(
            tensor(self.input_ids.padded(texts, self.pad)),
            tensor(mask.astype(np.int64)),
            tensor(self.token_type_ids.padded(texts, 0)),
            tensor(self.special_tokens_mask.padded(texts, 1)),
            tensor(self.prediction_ids.padded(rows, -1) if self.kind == "token" else rows.astype(np.int64)),
            labels_in_step=step.labels_in_step,
            tokens=step.tokens,
        )
        labels = self._labels(rows)
        if labels is not None:
            unlabelled = np.nan if labels.dtype.kind == "f" else IGNORED
            batch.labels = tensor(np.full_like(labels, unlabelled) if empty else labels)
        if self.kind == "token":
            batch.words = tensor(np.stack([self.starts.padded(rows, 0), self.ends.padded(rows, 0)], axis=-1))
        return batch

    def _labels(self, rows: np.ndarray) -> np.ndarray | None:
        """(B,) labels of texts, or (B, W) of words; None where they are not known."""
        if self.kind == "token":
            return None if self.labels is None else self.labels.padded(rows, IGNORED)
        return None if self.label is None else self.label[rows]


def tensor(array: np.ndarray) -> Tensor:
    """The array as a tensor, without a copy where it is contiguous."""
    return torch.from_numpy(np.ascontiguousarray(array))


def targets(labels: list) -> np.ndarray:
    """(N,) label numbers, or float32 values: not every accelerator has float64."""
    array = np.asarray(labels)
    return array.astype(np.float32) if array.dtype.kind == "f" else array
