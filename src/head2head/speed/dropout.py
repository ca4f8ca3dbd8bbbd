"""Dropout whose masks cost less on a CPU: four elements share one random number.

torch draws a 64-bit number for each element there, which takes a tenth and more of a training step. Here each element
has 16 of its bits, so that probabilities are multiples of 1/65536: 0.1 becomes 0.10001.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, BertModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

STEPS = 1 << 16
ATTENTION = "sdpa_fast_dropout"  # its name among transformers' implementations


def kept(p: float) -> int:
    """In how many of 65536 cases an element is kept when it is dropped with probability p."""
    return round((1 - p) * STEPS)


class DroppedOut(torch.autograd.Function):
    """dropped_out, which keeps a byte an element for the backward pass where a product with a mask keeps four."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, p: float) -> Tensor:
        keep = drawn(values.shape, p)
        ctx.save_for_backward(keep)
        ctx.p = p
        return chosen(keep, values, p)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (keep,) = ctx.saved_tensors
        return chosen(keep, gradients[0], ctx.p), None


class DroppedOutProduct(torch.autograd.Function):
    """dropped_out(weights) @ values, which computes the former again in the backward pass: attention's weights are
    the largest tensors of a layer."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, values: Tensor, p: float) -> Tensor:
        keep = drawn(weights.shape, p)
        ctx.save_for_backward(weights, values, keep)
        ctx.p = p
        return chosen(keep, weights, p) @ values

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        weights, values, keep = ctx.saved_tensors
        of_weights = chosen(keep, gradients[0] @ values.transpose(-1, -2), ctx.p)
        return of_weights, chosen(keep, weights, ctx.p).transpose(-1, -2) @ gradients[0], None


def drawn(shape: torch.Size, p: float) -> Tensor:
    """Of that shape, int8: 1 where an element is kept. Draws from torch's CPU generator."""
    count = math.prod(shape)
    numbers = torch.empty(math.ceil(count / 4), dtype=torch.int64).random_(-(1 << 63), None)
    bits = numbers.view(torch.int16)[:count].view(shape)
    return bits.lt(kept(p) - STEPS // 2).view(torch.int8)  # products with bytes are quicker than with booleans


def chosen(keep: Tensor, values: Tensor, p: float) -> Tensor:
    """Values where `keep` is 1, divided by the probability that it is; else 0."""
    return (values * keep).mul_(STEPS / kept(p))


def dropped_out(values: Tensor, p: float) -> Tensor:
    """The values, each made 0 with probability p and divided by 1 - p otherwise. Draws from torch's CPU generator."""
    return DroppedOut.apply(values, p)


def applies(values: Tensor, p: float) -> bool:
    """Whether these are values on a CPU, and p neither 0 nor 1."""
    return values.device.type == "cpu" and values.dtype in (torch.float32, torch.float64) and 0 < kept(p) < STEPS


class FastDropout(nn.Dropout):
    """nn.Dropout with masks of its own where it runs on a CPU."""

    def forward(self, input: Tensor) -> Tensor:
        if self.training and applies(input, self.p):
            return dropped_out(input, self.p)
        return super().forward(input)


def attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None,
    dropout: float = 0.0, scaling: float | None = None, **others: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """BERT's attention; transformers' own, but where there is dropout on a CPU."""
    if not applies(query, dropout):
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **others)
    scores = (query * (scaling or query.shape[-1] ** -0.5)) @ key.transpose(-1, -2)
    if attention_mask is not None:
        bias = torch.zeros((), dtype=scores.dtype).masked_fill(~attention_mask, -math.inf)
        scores += bias  # in place, and with nothing to do in the backward pass
    context: Tensor = DroppedOutProduct.apply(scores.softmax(dim=-1), value, dropout)
    return context.transpose(1, 2).contiguous(), None


def use_fast_dropout(model: Any) -> None:
    """Let the dropout of a BertModel with SDPA attention draw so; leave other models as they are."""
    if type(model) is not BertModel or model.config._attn_implementation != "sdpa":
        return
    for module in model.modules():
        if type(module) is nn.Dropout:
            module.__class__ = FastDropout  # its hooks stay
    AttentionInterface.register(ATTENTION, attention)
    AttentionMaskInterface.register(ATTENTION, sdpa_mask)
    model.set_attn_implementation(ATTENTION)
