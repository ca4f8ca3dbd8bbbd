"""A BERT layer as one function with a gradient of its own: torch multiplies, layer.c does the rest.

The texts of a batch stand row after row, without padding: (N, H) for N word pieces. What the gradient needs is kept
in as few tensors as can be: attention's weights and GELU's outputs are computed again, dropout's masks are drawn
again.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.autograd.profiler import record_function

from head2head.compiled.library import library
from head2head.dropout import STEPS, kept
from head2head.linear import at_hand, multiplied

SEEDS = 3  # of dropout in a layer: attention's weights, attention's outputs, the feed-forward part's


@dataclass(frozen=True)
class Layout:
    """Where the texts of a batch stand, and what all layers have in common.

    offsets: (B + 1,) int64: text b has the rows offsets[b] to offsets[b + 1].
    heads: attention heads.
    eps: of LayerNorm.
    """

    offsets: Tensor
    heads: int
    eps: float


class BertLayerFunction(torch.autograd.Function):
    """(N, H) from (N, H), N at least 1. Parameters are those of transformers' BertLayer: weight and bias of query, key,
    value, attention's output, its LayerNorm, the two feed-forward layers, and their LayerNorm."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layout: Layout, seeds: Sequence[int], p: Sequence[float], *own: Tensor) -> Tensor:
        x = x.contiguous()
        qkv_weight, qkv_bias = torch.cat(own[0:6:2]), torch.cat(own[1:6:2])
        out_weight, out_bias, norm1, shift1, up, up_bias, down, down_bias, norm2, shift2 = own[6:]
        code = LayerCode(x, layout, seeds, p)
        qkv = product(x, qkv_weight, qkv_bias)
        context, softmax = code.attention(qkv)
        standard1 = product(context, out_weight, out_bias)
        middle, rstd1 = code.add_norm(standard1, x, norm1, shift1, 1)
        inner = product(middle, up, up_bias)
        standard2 = product(code.gelu(inner), down, down_bias)
        out, rstd2 = code.add_norm(standard2, middle, norm2, shift2, 2)
        ctx.save_for_backward(
            x, qkv, context, softmax, standard1, rstd1, middle, inner, standard2, rstd2,
            qkv_weight, out_weight, norm1, up, down, norm2,
        )  # fmt: skip
        ctx.code, ctx.spent = code, False
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        if ctx.spent:
            raise RuntimeError("the gradient of a compiled layer was asked for twice; it keeps nothing for that")
        ctx.spent = True
        x, qkv, context, softmax, standard1, rstd1, middle, inner, standard2, rstd2, *weights = ctx.saved_tensors
        qkv_weight, out_weight, norm1, up, down, norm2 = weights
        code: LayerCode = ctx.code
        trained = any(ctx.needs_input_grad[4:])

        def of_weight(gradient: Tensor, inputs: Tensor) -> Tensor | None:
            return code.of_weight(gradient, inputs) if trained else None

        of_middle, of_y, (of_norm2, of_shift2, of_down_bias) = code.add_norm_gradient(
            gradients[0].contiguous(), None, standard2, rstd2, norm2, 2
        )
        of_inner = product(of_y, down.t(), None)
        of_up_bias = code.gelu_gradient(inner, of_inner)  # inner is now GELU's output
        of_down = of_weight(of_y, inner)
        of_up = of_weight(of_inner, middle)
        of_x, of_y, (of_norm1, of_shift1, of_out_bias) = code.add_norm_gradient(
            of_middle, product(of_inner, up.t(), None), standard1, rstd1, norm1, 1
        )
        of_out = of_weight(of_y, context)
        of_qkv = code.attention_gradient(qkv, context, product(of_y, out_weight.t(), None), softmax)
        of_qkv_weight, of_qkv_bias = of_weight(of_qkv, x), of_qkv.sum(0)
        if ctx.needs_input_grad[0]:
            of_x.add_(product(of_qkv, qkv_weight.t(), None))
        if of_qkv_weight is None:
            return (of_x, *[None] * (len(ctx.needs_input_grad) - 1))
        qkv_parts = [part for pair in zip(of_qkv_weight.chunk(3), of_qkv_bias.chunk(3), strict=True) for part in pair]
        return (
            of_x, None, None, None, *qkv_parts, of_out, of_out_bias, of_norm1, of_shift1, of_up, of_up_bias,
            of_down, of_down_bias, of_norm2, of_shift2,
        )  # fmt: skip


def product(input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """input @ weight.T + bias, by the quicker of torch's libraries (see head2head.linear)."""
    if input.dtype == torch.float32 and at_hand():
        return multiplied(input, weight, bias)
    return torch.nn.functional.linear(input, weight, bias)


class LayerCode:
    """The functions of layer.c on tensors, for one layer and batch.

    Args:
        x: a tensor of the type and width of the hidden states.
        seeds: of the layer's three dropouts.
        p: dropout of attention's weights, of the rest.
    """

    def __init__(self, x: Tensor, layout: Layout, seeds: Sequence[int], p: Sequence[float]):
        self.library = library(x.dtype)
        self.real = ctypes.c_float if x.dtype == torch.float32 else ctypes.c_double
        self.rows, self.hidden = x.shape
        self.layout, self.threads = layout, torch.get_num_threads()
        self.dropout = [(seeds[i], STEPS if p[i > 0] == 0 else kept(p[i > 0])) for i in range(SEEDS)]

    def attention(self, qkv: Tensor) -> tuple[Tensor, Tensor]:
        """(N, H) context, and (N, heads, 2) what softmax has found of each row of scores, from (N, 3 H)."""
        context, softmax = qkv.new_empty(self.rows, self.hidden), qkv.new_empty(self.rows, self.layout.heads, 2)
        self._call("attention", qkv, *self._texts(), context, softmax)
        return context, softmax

    def attention_gradient(self, qkv: Tensor, context: Tensor, of_context: Tensor, softmax: Tensor) -> Tensor:
        """(N, 3 H)."""
        of_qkv = torch.empty_like(qkv)
        self._call("attention_gradient", qkv, context, of_context, softmax, *self._texts(), of_qkv)
        return of_qkv

    def add_norm(self, y: Tensor, residual: Tensor, weight: Tensor, bias: Tensor, which: int) -> tuple[Tensor, Tensor]:
        """LayerNorm(residual + dropout(y)), and (N,) reciprocals of standard deviations. y is overwritten with what
        the gradient needs."""
        out, rstd = torch.empty_like(residual), y.new_empty(self.rows)
        self._call(
            "add_norm", y, residual, weight, bias, self.real(self.layout.eps), self.rows, self.hidden,
            *self.dropout[which], out, rstd,
        )  # fmt: skip
        return out, rstd

    def add_norm_gradient(
        self, of_out: Tensor, more: Tensor | None, standard: Tensor, rstd: Tensor, weight: Tensor, which: int
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Gradients of residual and y, and of weight, bias and the bias that was added to y."""
        of_residual, of_y = torch.empty_like(of_out), torch.empty_like(of_out)
        sums = of_out.new_empty(self.threads, 3, self.hidden)
        self._call(
            "add_norm_gradient", of_out, more, standard, rstd, weight, self.rows, self.hidden,
            *self.dropout[which], of_residual, of_y, sums,
        )  # fmt: skip
        return of_residual, of_y, list(sums.sum(0))

    def gelu(self, inner: Tensor) -> Tensor:
        """Of that shape."""
        out = torch.empty_like(inner)
        self._call("gelu", inner, out, inner.numel())
        return out

    def gelu_gradient(self, inner: Tensor, gradient: Tensor) -> Tensor:
        """The gradient of the bias. `gradient` becomes that of GELU's input, and `inner` GELU's output."""
        sums = inner.new_empty(self.threads, inner.shape[1])
        self._call("gelu_gradient", inner, gradient, *inner.shape, sums)
        return sums.sum(0)

    def of_weight(self, gradient: Tensor, inputs: Tensor) -> Tensor:
        """gradient.T @ inputs: (G, I) from (N, G) and (N, I).

        oneDNN does that as fast as other products if its first factor lies row after row, a tenth faster than it or
        MKL otherwise: the smaller of the two is turned, and what comes of it turned back if that was not the first.
        """
        if gradient.numel() <= inputs.numel() + gradient.shape[1] * inputs.shape[1]:
            return product(self.turned(gradient), inputs.t(), None)
        return self.turned(product(self.turned(inputs), gradient.t(), None))

    def turned(self, matrix: Tensor) -> Tensor:
        """(W, N) from (N, W)."""
        out = matrix.new_empty(matrix.shape[1], matrix.shape[0])
        self._call("turned", matrix, *matrix.shape, out)
        return out

    def _texts(self) -> tuple[Any, ...]:
        offsets, heads = self.layout.offsets, self.layout.heads
        return offsets, len(offsets) - 1, heads, self.hidden // heads, *self.dropout[0]

    def _call(self, name: str, *arguments: Any) -> None:
        with record_function(f"compiled::{name}"):
            if getattr(self.library, name)(*map(passed, arguments), passed(self.threads)):
                raise MemoryError(f"{name}: no memory")


def passed(argument: Any) -> Any:
    """As C takes it. A seed is a number modulo 2^64."""
    if isinstance(argument, Tensor):
        return ctypes.c_void_p(argument.data_ptr())
    return ctypes.c_long(argument) if isinstance(argument, int) else argument
