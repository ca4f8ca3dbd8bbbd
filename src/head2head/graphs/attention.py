"""Attention within each of some texts that stand in one row, text behind text.

torch has kernels for that, without a public function that takes dropout (torch.nn.attention.varlen_attn takes none).
They are called by the operators under it, which are also those under scaled_dot_product_attention.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

FLASH = (8, 0)  # compute capability (Ampere) from which on FlashAttention runs
NO_MASK = 0  # custom_mask_type of the memory-efficient kernel


def attention(
    query: Tensor, key: Tensor, value: Tensor, offsets: Tensor, longest: int, p: float, scale: float
) -> Tensor:
    """(N, A, d) from query, key and value (N, A, d) of N tokens: softmax(scale q k) v over the tokens of a text.

    Args:
        offsets: (texts + 1,) int32: number of each text's first token, and N.
        longest: no text has more tokens.
        p: probability of dropout of the weights.
    """
    arguments = (query, key, value, offsets, longest, p, scale)
    if query.device.type == "cuda" and query.dtype in (torch.float16, torch.bfloat16):
        flash = torch.cuda.get_device_capability(query.device) >= FLASH
        return flash_attention(*arguments) if flash else memory_efficient_attention(*arguments)
    if query.device.type == "cuda" and query.dtype == torch.float32:
        return memory_efficient_attention(*arguments)
    return masked_attention(query, key, value, offsets, p, scale)


def refused(device: torch.device, dtype: torch.dtype, heads: int, size: int) -> str | None:
    """Why a device does not attend in heads of some size, forward or backward; None if it does."""
    row = torch.zeros(128, heads, size, dtype=dtype, device=device, requires_grad=True)
    offsets = torch.tensor([0, 28, 128], dtype=torch.int32, device=device)
    try:
        attention(row, row, row, offsets, len(row), 0.1, 1.0).sum().backward()
    except RuntimeError as error:
        return str(error).partition("\n")[0]
    return None


def flash_attention(
    query: Tensor, key: Tensor, value: Tensor, offsets: Tensor, longest: int, p: float, scale: float
) -> Tensor:
    """By FlashAttention 2 (Dao 2023): float16 and bfloat16."""
    return torch.ops.aten._flash_attention_forward(
        query, key, value, offsets, offsets, longest, longest, p, False, False, scale=scale
    )[0]


def memory_efficient_attention(
    query: Tensor, key: Tensor, value: Tensor, offsets: Tensor, longest: int, p: float, scale: float
) -> Tensor:
    """By the kernels of Rabe and Staats 2021 as xFormers has them: float32 too, and older GPUs."""
    found = torch.ops.aten._efficient_attention_forward(
        query.unsqueeze(0), key.unsqueeze(0), value.unsqueeze(0), None, offsets, offsets, longest, longest, p,
        NO_MASK, True, scale=scale,
    )  # fmt: skip
    return found[0].squeeze(0)


def masked_attention(query: Tensor, key: Tensor, value: Tensor, offsets: Tensor, p: float, scale: float) -> Tensor:
    """By a mask (N, N): anywhere and in any precision, for short rows."""
    number = torch.arange(len(query), dtype=offsets.dtype, device=query.device)
    text = torch.bucketize(number, offsets[1:], right=True)
    same = text.unsqueeze(1) == text
    q, k, v = (part.transpose(0, 1) for part in (query, key, value))
    return scaled_dot_product_attention(q, k, v, attn_mask=same, dropout_p=p, scale=scale).transpose(0, 1)
