"""Some of a BertModel's layers over a batch whose padding is left out."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.activations import GELUActivation

from head2head.model.encoder import Encoder
from head2head.speed.cpu.layer import SEEDS, BertLayerFunction, Buffers, Layout
from head2head.speed.cpu.library import why_not
from head2head.speed.dropout import kept
from head2head.speed.packing import Packing
from head2head.speed.plain import is_plain_bert, is_plain_layer

SLOWER = "torch computes the layers instead, more slowly and with other dropout masks"


def use_compiled_layers(encoder: Encoder, dtype: torch.dtype = torch.float32) -> str | None:
    """Let an encoder's layers run as compiled code while they train on a CPU, where it has such layers. Returns why
    they do not, although it has.

    Args:
        dtype: what they will train in.
    """
    if encoder.frozen is True or not is_plain_bert(encoder.model) or not compiled_from_the_bottom(encoder.layers):
        return None
    reason = why_not(dtype)
    if reason is None:
        encoder.runner = CompiledLayers()
    return reason and f"compiled layers: {reason}; {SLOWER}"


def can_be_compiled(layer: Any) -> bool:
    """Whether a layer is what layer.c computes: a plain one of BERT's, with GELU by the normal distribution."""
    if not is_plain_layer(layer):
        return False
    activation = layer.intermediate.intermediate_act_fn
    return (
        type(activation) is GELUActivation
        and activation.act is torch.nn.functional.gelu
        and kept(max(layer.output.dropout.p, layer.attention.self.dropout.p)) > 0
    )


def compiled_from_the_bottom(layers: Sequence[Any]) -> list[Any]:
    """Those that compiled code can compute, up to the first that it cannot."""
    return list(itertools.takewhile(can_be_compiled, layers))


def applies(state: Tensor, layer: Any) -> bool:
    """Whether compiled code can compute a layer of an encoder that trains, as the layer is now: on a CPU, in full
    precision."""
    return (
        state.device.type == "cpu"
        and state.dtype in (torch.float32, torch.float64)
        and can_be_compiled(layer)
        and state.dtype == layer.output.dense.weight.dtype
        and not torch.is_autocast_enabled("cpu")
    )


class CompiledLayers:
    """An encoder's runner that is compiled code."""

    def __init__(self) -> None:
        self.buffers = Buffers()

    def __call__(
        self, layers: Sequence[Any], state: Tensor, attention_mask: Tensor, first: int, wanted: Collection[int]
    ) -> dict[int, Tensor]:
        """As model.encoder.LayerRunner. States are 0 at padding."""
        layers = list(itertools.takewhile(lambda layer: applies(state, layer), layers))
        if not layers:
            return {}
        packing = Packing.of(attention_mask)
        x = packing.packed(state)
        states = {}
        for index, layer in enumerate(layers):
            own = layer.attention.self
            layout = Layout(packing.offsets, own.num_attention_heads, layer.output.LayerNorm.eps, self.buffers)
            p = probabilities(layer)
            x = BertLayerFunction.apply(x, layout, seeds_of(p), p, *parameters(layer))
            number = first + index
            if number in wanted or index == len(layers) - 1:
                states[number] = packing.unpacked(x)
        return states


def probabilities(layer: Any) -> tuple[float, float]:
    """Of dropout of attention's weights, and of the rest; 0 where the layer is frozen."""
    attention = layer.attention
    weights, rest = (d.p if d.training else 0.0 for d in (attention.self.dropout, layer.output.dropout))
    return weights, rest


def seeds_of(p: tuple[float, float]) -> list[int]:
    """Of a layer's dropouts, from torch's generator, so that they follow from a run's seed and step. A layer without
    dropout draws none: those above have the same masks whether it runs or its output is known."""
    if p == (0, 0):
        return [0] * SEEDS
    return torch.empty(SEEDS, dtype=torch.int64).random_(-(1 << 63), None).tolist()


def parameters(layer: Any) -> list[Tensor]:
    """A BertLayer's, in the order that BertLayerFunction takes them."""
    own, output = layer.attention.self, layer.attention.output
    parts = (own.query, own.key, own.value, output.dense, output.LayerNorm, layer.intermediate.dense,
             layer.output.dense, layer.output.LayerNorm)  # fmt: skip
    return [tensor for part in parts for tensor in (part.weight, part.bias)]
