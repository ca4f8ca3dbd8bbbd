"""The word-embedding table while it trains: only the rows of the word pieces that occur in the data.

Word pieces that never occur have no gradient, yet AdamW, clipping and zero_grad go over their rows in every step,
and these are half of a small encoder.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook

from head2head.model.encoder import Encoder


class ReducedEmbedding(nn.Embedding):
    """Some rows of an embedding table, looked up by the numbers that they have in the whole one.

    Args:
        whole: the table to take them from; it is left as it is.
        ids: numbers of the rows, in any order; that of the padding is always taken.

    Looking up a number that was not taken raises an IndexError.

    Attributes:
        decay: what AdamW's weight decay has multiplied a row without gradient by: the product over the steps of
            1 - learning rate x weight decay (Loshchilov and Hutter 2019, algorithm 2). It is in the state dict.
    """

    def __init__(self, whole: nn.Embedding, ids: Tensor):
        padding = whole.padding_idx
        kept = ids.cpu() if padding is None else torch.cat([ids.cpu(), torch.tensor([padding])])
        kept = kept.unique()
        rows = torch.full((whole.num_embeddings,), -1)
        rows[kept] = torch.arange(len(kept))
        weight = whole.weight.detach()[kept]
        padding_row = None if padding is None else int(rows[padding])
        super().__init__(len(kept), whole.embedding_dim, padding_row, _weight=weight)
        self.kept = kept
        self.decay = 1.0
        self.rows = nn.Buffer(rows, persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(self.rows[input])

    def after_step(self, optimizer: Optimizer, _args: Any, _kwargs: Any) -> None:
        """Called behind each step of an optimizer, before the schedule moves on."""
        for group in optimizer.param_groups:
            if any(parameter is self.weight for parameter in group["params"]):
                self.decay *= 1 - group["lr"] * group["weight_decay"]

    # Not a buffer: that would be rounded with the weights under trainer.precision=bf16-true.
    def get_extra_state(self) -> dict[str, float]:
        return {"decay": self.decay}

    def set_extra_state(self, state: dict[str, float]) -> None:
        self.decay = state["decay"]


def can_be_reduced(table: Any) -> bool:
    """Whether it is a plain table, and trained: there is nothing to save on a frozen one."""
    return (
        type(table) is nn.Embedding
        and table.weight.requires_grad
        and table.max_norm is None
        and not table.scale_grad_by_freq
        and not table.sparse
    )


@contextmanager
def reduced_embeddings(encoder: Encoder, ids: Tensor) -> Iterator[None]:
    """Inside the block the encoder's word-embedding table has only the rows `ids`; behind it, all of them, as
    AdamW would have left them. Nothing else is changed: batches keep their numbers, parameters their names.

    The optimizer must be made inside the block. Tables that are frozen or of a kind of their own are left alone.
    """
    model = encoder.model
    whole = model.get_input_embeddings()
    if not can_be_reduced(whole):
        yield
        return
    part = ReducedEmbedding(whole, ids)
    model.set_input_embeddings(part)
    hook = register_optimizer_step_post_hook(part.after_step)
    try:
        yield
    finally:
        hook.remove()
        whole.to(part.weight)
        with torch.no_grad():
            whole.weight *= part.decay
            whole.weight[part.kept] = part.weight
        model.set_input_embeddings(whole)
