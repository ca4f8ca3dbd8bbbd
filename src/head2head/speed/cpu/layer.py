"""A BERT layer as one function with a gradient of its own, computed by layer.c.

The texts of a batch stand row after row, without padding: (N, H) for N word pieces. What the gradient needs is kept
in one tensor: attention's weights and GELU's outputs are computed again, dropout's masks are drawn again.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from head2head.speed.cpu.library import library
from head2head.speed.dropout import STEPS, kept

UP = 10  # number of the first feed-forward layer's weight among a layer's parameters
MORE = 4  # times the length of a first batch that buffers have for longer ones; what is not written takes no memory
SEEDS = 3  # of dropout in a layer: attention's weights, attention's outputs, the feed-forward part's


class Buffers:
    """Memory for what gradients need, kept for the next batch: it takes longer to make some than to fill it."""

    def __init__(self) -> None:
        self.free: list[Tensor] = []

    def take(self, numbers: int, dtype: torch.dtype) -> Tensor:
        """A vector of at least so many numbers; of MORE times as many where there is none."""
        for place in reversed(range(len(self.free))):
            if self.free[place].dtype == dtype and len(self.free[place]) >= numbers:
                return self.free.pop(place)
        if self.free:
            self.free.pop()  # too short for this batch, and soon for others
        return torch.empty(MORE * numbers, dtype=dtype)

    def give_back(self, buffer: Tensor) -> None:
        """Let another batch have it."""
        self.free.append(buffer)


@dataclass(frozen=True)
class Layout:
    """Where the texts of a batch stand, and what all layers have in common.

    offsets: (B + 1,) int64: text b has the rows offsets[b] to offsets[b + 1].
    heads: attention heads.
    eps: of LayerNorm.
    buffers: of the encoder.
    """

    offsets: Tensor
    heads: int
    eps: float
    buffers: Buffers


class Sizes(ctypes.Structure):
    """As layer.c has it."""

    _fields_ = [
        *((name, ctypes.c_long) for name in ("rows", "hidden", "inner", "heads", "texts", "threads")),
        ("offsets", ctypes.c_void_p),
        ("eps", ctypes.c_double),
        ("seeds", ctypes.c_uint64 * SEEDS),
        ("keep", ctypes.c_long * SEEDS),
    ]


class BertLayerFunction(torch.autograd.Function):
    """(N, H) from (N, H). Parameters are those of transformers' BertLayer: weight and bias of query, key, value,
    attention's output, its LayerNorm, the two feed-forward layers, and their LayerNorm.

    Raises:
        MemoryError: there is none.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, layout: Layout, seeds: Sequence[int], p: Sequence[float], *own: Tensor) -> Tensor:
        x, *parameters = (tensor.contiguous() for tensor in (x, *own))
        code, sizes = library(x.dtype), sizes_of(x, layout, seeds, p, inner=len(parameters[UP]))
        block, out = layout.buffers.take(code.kept(ctypes.byref(sizes)), x.dtype), torch.empty_like(x)
        if code.forward(ctypes.byref(sizes), address(x), addresses(parameters), address(block), address(out)):
            raise MemoryError("a layer's output")
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(x, *parameters)
            ctx.sizes, ctx.layout, ctx.block = sizes, layout, block
        else:
            layout.buffers.give_back(block)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        block, ctx.block = ctx.block, None
        if block is None:
            raise RuntimeError("the gradient of a compiled layer was asked for twice; it keeps nothing for that")
        x, *own = ctx.saved_tensors
        given, of_x = gradients[0].contiguous(), torch.empty_like(x)
        whole, trained = ctx.needs_input_grad[0], any(ctx.needs_input_grad[4:])
        of_own = [torch.empty_like(parameter) for parameter in own] if trained else []
        if library(x.dtype).backward(
            ctypes.byref(ctx.sizes), address(x), addresses(own), address(block), address(given), address(of_x),
            int(whole), addresses(of_own) if trained else None,
        ):  # fmt: skip
            raise MemoryError("a layer's gradient")
        ctx.layout.buffers.give_back(block)
        return (of_x if whole else None, None, None, None, *(of_own if trained else [None] * len(own)))


def sizes_of(x: Tensor, layout: Layout, seeds: Sequence[int], p: Sequence[float], inner: int) -> Sizes:
    """Of a layer and its batch. The layout's offsets have to be kept as long as it is used.

    Args:
        x: (N, H), the layer's input.
        seeds: of the layer's three dropouts, numbers modulo 2^64.
        p: dropout of attention's weights, of the rest.
        inner: width of the feed-forward part.
    """
    keep = (STEPS if p[i > 0] == 0 else kept(p[i > 0]) for i in range(SEEDS))
    return Sizes(
        *x.shape, inner, layout.heads, len(layout.offsets) - 1, torch.get_num_threads(), layout.offsets.data_ptr(),
        layout.eps, (ctypes.c_uint64 * SEEDS)(*seeds), (ctypes.c_long * SEEDS)(*keep),
    )  # fmt: skip


def address(tensor: Tensor) -> ctypes.c_void_p:
    """Of its first number, as C takes it."""
    return ctypes.c_void_p(tensor.data_ptr())


def addresses(tensors: Sequence[Tensor]) -> ctypes.Array[ctypes.c_void_p]:
    """The same for several."""
    return (ctypes.c_void_p * len(tensors))(*(tensor.data_ptr() for tensor in tensors))
