"""An encoder that is frozen up to a layer: what lies below runs once over a task, and training starts above it.

The embeddings and the frozen layers have no dropout, no gradient, and weights that stay: what they give out is the same
in every epoch, and in every run that freezes as many. They draw no random numbers, so that dropout above is the same
with and without them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from head2head.data.batching import Batch, Step, TokenizedRows
from head2head.data.datamodule import DataModule, Split
from head2head.frozen.features import Places, Store, padded, places_of
from head2head.frozen.head_parts import token_state
from head2head.model.build import checkpoint_of
from head2head.model.checkpoint import Checkpoint, load_encoder
from head2head.model.encoder import Encoder
from head2head.model.finetuner import FineTuner
from head2head.model.output import Needs

# Trainer precisions under which hidden states are kept, and as what. Under the others (16 and bf16, mixed or true) the
# layers run in every step: what autocast makes of a state is not what a file of numpy's would hold.
KEPT = {"32-true": torch.float32, "64-true": torch.float64}


class RowsWithStates(TokenizedRows):
    """Tokenized rows whose batches have `states`, too, padded by 0.

    Args:
        rows: those without.
        states: by number (n, H), a vector for each word piece; may be memory-mapped.
        places: where those of each row stand.
    """

    def __init__(self, rows: TokenizedRows, states: Mapping[int, Tensor], places: Places):
        vars(self).update(vars(rows))
        self.states, self.places = dict(states), places

    def __getitems__(self, step: Step) -> Batch:
        batch = super().__getitems__(step)
        rows = step.rows if len(step.rows) else np.zeros(1, dtype=np.int64)  # that of an empty share
        mask = batch.attention_mask.bool()
        places = torch.from_numpy(self.places.of(self.sequences(rows)))
        return replace(batch, states={number: padded(array, mask, places) for number, array in self.states.items()})


class CachedLayers(pl.Callback):
    """While a run trains or is scored, its batches bring what the encoder's frozen layers make of them, from files in
    the cache folder that are written where they are missing; the encoder then starts above. Afterwards, batches are
    what they were. The encoder itself is not changed: checkpoints are those of a run that does without.

    Does nothing where the encoder is not frozen up to a layer, or under a precision that is not in KEPT.

    Args:
        checkpoint: what the run's encoder was loaded from.
    """

    def __init__(self, checkpoint: Checkpoint):
        self.checkpoint = checkpoint
        self._whole: dict[str, Split] | None = None  # splits to be put back
        self._cached: dict[str, Split] | None = None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Exchange the data module's splits.

        Raises:
            UserError: the cache folder cannot be written, or the disk is full.
        """
        data: DataModule = trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(pl_module, FineTuner)
        settled, dtype = pl_module.encoder.settled, KEPT.get(str(trainer.precision))
        if not settled or dtype is None:
            return
        if self._cached is None:
            # Loaded anew, as for an encoder that is frozen whole: with that one's files, and all tokens of each layer.
            lower = load_encoder(self.checkpoint, Needs(settled), frozen=True)
            lower = lower.to(trainer.strategy.root_device, dtype)
            self._cached = {
                name: with_states(split, f"{data.task.name} {name}", lower, data) for name, split in data.splits.items()
            }
        self._whole, data.splits = dict(data.splits), self._cached

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._put_back(trainer)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._put_back(trainer)

    def _put_back(self, trainer: pl.Trainer) -> None:
        if self._whole is not None:
            trainer.datamodule.splits, self._whole = self._whole, None  # type: ignore[attr-defined]


def cached_layers(config: dict[str, Any]) -> list[pl.Callback]:
    """The callback that a run takes whose encoder is frozen up to a layer; none for others, or where it is switched
    off."""
    frozen = config["encoder"]["frozen"]
    if config["speed"] != "fast" or isinstance(frozen, bool) or not frozen:
        return []
    return [CachedLayers(checkpoint_of(config))]


def with_states(split: Split, name: str, lower: Encoder, data: DataModule) -> Split:
    """A split whose batches have the hidden states that an encoder gives out.

    Args:
        name: of task and split, for the progress bar.

    Raises:
        UserError: the cache folder cannot be written, or the disk is full.
    """
    wanted = {number: token_state(lower.spec, number) for number in sorted(lower.needs.layers)}
    features = Store(data.cache_dir, lower, split, name, data.evaluation_tokens).open(dict(wanted.values()))
    states = {number: features.arrays[spec] for number, (spec, _) in wanted.items()}
    places = places_of((split.whole or split).rows, "token", split.chosen)
    return replace(split, rows=RowsWithStates(split.rows, states, places))
