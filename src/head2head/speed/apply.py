"""The one door to what makes training faster: nothing else changes an encoder, and an encoder knows nothing of it.

A stream names the arithmetic and the random masks of a run. It is the type of the device, and then, in this order, what
of the following is in use while the encoder trains:

torch         transformers' own layers compute layers
compiled      layer.c computes layers, without padding, and draws its own dropout masks, 16 bits an element
dropout16     torch modules draw 16 bits of a random number for each element of a dropout mask, in place of 64
first_token   the last layer computes the first token of each text alone, with masks for that token alone; in validation
              too
reduced       the word-embedding table has only the rows that occur: other rounding where gradients are clipped

`cpu features` is a head trained on what a frozen encoder gave out beforehand (head2head.frozen). ` x2` at the end: each
batch was shared by two devices, with masks of their own.

`cpu torch` is speed=exact on a CPU. Key, stream and number of threads being equal, so are the bits of two results from
one machine.

What dropout does to a comparison of heads: seed, epoch and batch give the state of the random generator at the start of
each batch, whatever the head. Heads of one stream with equally many layers have equal masks in the embeddings and in
all layers. `first_token` changes the last layer's: pooler and cls then have other masks there than mean or max, and
the same as these in all layers below.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from enum import Enum

import torch

from head2head.model.encoder import Encoder
from head2head.speed.allocator import keep_freed_memory
from head2head.speed.cpu.stack import compiled_from_the_bottom, use_compiled_layers
from head2head.speed.dropout import STEPS, FastDropout, kept, use_fast_dropout
from head2head.speed.embeddings import can_be_reduced, reduced_embeddings
from head2head.speed.first_token import FirstTokenLayer, use_first_token_layer

# Precisions in which BERT's layers are computed by compiled code.
COMPILED = {"32-true": torch.float32, "64-true": torch.float64}
HALF = {"bf16-true", "16-true"}  # in which torch's own dropout is used


class Trick(Enum):
    """One of the things that make training faster."""

    COMPILED = "compiled layers"
    FIRST_TOKEN = "one-token last layer"
    DROPOUT = "cheaper dropout"
    EMBEDDINGS = "reduced embeddings"
    ALLOCATOR = "freed memory is kept"


ALL = frozenset(Trick)


@dataclass(frozen=True)
class Applied:
    """What has been done to an encoder.

    stream: the arithmetic and the random masks that are used; see above.
    notes: what the user should be told, a line each.
    """

    stream: str
    notes: tuple[str, ...] = ()


def apply(encoder: Encoder, device: torch.device, precision: str, fast: bool = True, only: Set[Trick] = ALL) -> Applied:
    """Make an encoder train faster.

    Args:
        device, precision: where and how it will train; the latter as Lightning's Trainer has it.
        fast: False changes nothing.
        only: what of it, for the benchmark, which measures what each trick alone brings.
    """
    tricks = only if fast else frozenset()
    on_cpu = device.type == "cpu"
    note = None
    if Trick.FIRST_TOKEN in tricks:
        use_first_token_layer(encoder)
    if Trick.DROPOUT in tricks and on_cpu and precision not in HALF:
        use_fast_dropout(encoder.model)
    if Trick.COMPILED in tricks and on_cpu and precision in COMPILED:
        note = use_compiled_layers(encoder, COMPILED[precision])
    reduced = Trick.EMBEDDINGS in tricks and can_be_reduced(encoder.model.get_input_embeddings())
    return Applied(
        " ".join([device.type, *stream(encoder), *(["reduced"] if reduced else [])]), (note,) if note else ()
    )


def stream(encoder: Encoder) -> list[str]:
    """The words of the encoder's stream that tell what computes its layers."""
    layers = encoder.layers
    compiled = compiled_from_the_bottom(layers) if encoder.runner is not None else []
    for_one = [layer for layer in layers if isinstance(layer, FirstTokenLayer)]
    not_run = {module for layer in compiled for module in layer.modules()}
    training = [module for module in encoder.model.modules() if module.training and module not in not_run]
    used = {
        "torch": not compiled or len(compiled) + len(for_one) < len(layers),
        "compiled": bool(compiled),
        "dropout16": any(type(m) is FastDropout and kept(m.p) < STEPS for m in training),
        "first_token": bool(for_one),
    }
    return [word for word, is_used in used.items() if is_used]


@contextmanager
def training(
    encoder: Encoder,
    word_pieces: torch.Tensor,
    device: torch.device,
    fast: bool = True,
    own_process: bool = False,
    only: Set[Trick] = ALL,
) -> Iterator[None]:
    """Around a run's training, once the encoder has gone through `apply`.

    Args:
        word_pieces: numbers of those that occur in its data.
        fast, only: as for `apply`.
        own_process: the process is head2head's alone, as it is behind the command line: its allocator may keep freed
            memory until the process ends. Never in a notebook, nor in anybody's program that calls this one.
    """
    tricks = only if fast else frozenset()
    if Trick.ALLOCATOR in tricks and own_process and device.type == "cpu":
        keep_freed_memory()
    with reduced_embeddings(encoder, word_pieces) if Trick.EMBEDDINGS in tricks else nullcontext():
        yield
