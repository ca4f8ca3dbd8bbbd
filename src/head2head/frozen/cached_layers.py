"""An encoder that is frozen up to a layer: what lies below runs once over a task, and training starts above it.

The embeddings and the frozen layers have no dropout, no gradient, and weights that stay: what they give out is the same
in every epoch, and in every run that freezes as many. They draw no random numbers, so that dropout above is the same
with and without them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from head2head.data.batching import Step, TokenizedRows
from head2head.data.datamodule import DataModule, Split
from head2head.frozen.features import Store, padded, positions
from head2head.frozen.head_parts import token_reading
from head2head.model.checkpoint import Checkpoint, load_encoder
from head2head.model.encoder import Encoder
from head2head.model.output import Needs
from head2head.run.record import Parts

# Trainer precisions under which hidden states are kept, and as what. Under the others (16 and bf16, mixed or true) the
# layers run in every step: what autocast makes of a state is not what a file of numpy's would hold.
KEPT = {"32-true": torch.float32, "64-true": torch.float64}


class RowsWithStates(TokenizedRows):
    """Tokenized rows whose batches have one more entry, `states`: by number of the hidden state (B, T, H), padded by 0.

    Args:
        rows: those without.
        states: by number (n, H), for the n word pieces of all rows, row after row; may be memory-mapped.
    """

    def __init__(self, rows: TokenizedRows, states: Mapping[int, Tensor]):
        vars(self).update(vars(rows))
        self.states = dict(states)

    def __getitems__(self, step: Step) -> dict[str, Any]:
        batch: dict[str, Any] = super().__getitems__(step)
        rows = step.rows if len(step.rows) else np.zeros(1, dtype=np.int64)  # that of an empty share
        mask = batch["attention_mask"].bool()
        places = torch.from_numpy(positions(self.input_ids.offsets, rows))
        batch["states"] = {number: padded(array, mask, places) for number, array in self.states.items()}
        return batch


@contextmanager
def lower_layers_once(parts: Parts, checkpoint: Checkpoint, trainer: pl.Trainer) -> Iterator[None]:
    """Inside the block the batches of a run bring what the encoder's frozen layers make of them, from files in the
    cache folder that are written where they are missing; the encoder then starts above. Behind it, batches are what
    they were. The encoder itself is not changed: checkpoints within the block are those of a run that does without.

    Does nothing where the encoder is not frozen up to a layer, or under a precision that is not in KEPT.

    Args:
        checkpoint: what the run's encoder was loaded from.

    Raises:
        UserError: the cache folder cannot be written, or the disk is full.
    """
    settled, dtype = parts.model.encoder.settled, KEPT.get(trainer.precision)
    if not settled or dtype is None:
        yield
        return
    data = parts.data
    # Loaded anew, as for an encoder that is frozen whole: with that one's files, and with all tokens of each layer.
    lower = load_encoder(checkpoint, Needs(settled), frozen=True).to(trainer.strategy.root_device, dtype)
    splits = dict(data.splits)
    data.splits = {name: with_states(split, f"{parts.task.name} {name}", lower, data) for name, split in splits.items()}
    del lower
    try:
        yield
    finally:
        data.splits = splits


def with_states(split: Split, name: str, lower: Encoder, data: DataModule) -> Split:
    """A split whose batches have the hidden states that an encoder gives out.

    Args:
        name: of task and split, for the progress bar.

    Raises:
        UserError: the cache folder cannot be written, or the disk is full.
    """
    wanted = {number: token_reading(lower.spec, number) for number in sorted(lower.needs.layers)}
    features = Store(data.cache_dir, lower, split, name, data.evaluation_tokens).open(dict(wanted.values()))
    states = {number: features.arrays[reading] for number, (reading, _) in wanted.items()}
    return replace(split, rows=RowsWithStates(split.rows, states))
