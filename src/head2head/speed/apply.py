"""The seam: all that makes a run faster goes in here, and nothing else knows of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from head2head.model.encoder import Encoder
from head2head.speed.allocator import keep_freed_memory
from head2head.speed.cpu.stack import use_compiled_layers
from head2head.speed.dropout import use_fast_dropout
from head2head.speed.embeddings import reduced_embeddings
from head2head.speed.linear import use_fast_linear

# Precisions in which BERT's layers are computed by compiled code.
COMPILED = {"32-true": torch.float32, "64-true": torch.float64}


def apply(encoder: Encoder, device: torch.device, precision: str, fast: bool) -> list[str]:
    """Make an encoder train faster. Returns what there is to say of it.

    Args:
        device, precision: where and how it will train.
    """
    if not fast:
        return []
    use_fast_dropout(encoder.model)
    use_fast_linear(encoder.model)
    dtype = COMPILED.get(precision)
    note = use_compiled_layers(encoder, dtype) if device.type == "cpu" and dtype else None
    return [note] if note else []


@contextmanager
def training(encoder: Encoder, word_pieces: torch.Tensor, device: torch.device) -> Iterator[None]:
    """Around a run's training.

    Args:
        word_pieces: numbers of those that occur in its data.
    """
    if device.type == "cpu":
        keep_freed_memory()
    with reduced_embeddings(encoder, word_pieces):
        yield
