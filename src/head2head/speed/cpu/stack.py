"""Some of a BertModel's layers over a batch whose padding is left out."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.models.bert.modeling_bert import BertLayer

from head2head.speed.cpu.layer import SEEDS, BertLayerFunction, Buffers, Layout
from head2head.speed.cpu.library import why_not
from head2head.speed.dropout import is_plain_bert, kept
from head2head.speed.packing import Packing

SLOWER = "torch computes the layers instead, more slowly and with other dropout masks"


def use_compiled_layers(encoder: Any, dtype: torch.dtype = torch.float32) -> str | None:
    """Let an Encoder's layers run as compiled code while they train on a CPU, where it has such layers. Returns why
    they do not, although it has.

    Args:
        dtype: what they will train in.
    """
    trained = encoder.frozen is not True and any(type(layer) is BertLayer for layer in encoder.layers)
    if not trained or not can_be_compiled(encoder.model):
        return None
    reason = why_not(dtype)
    if reason is None:
        encoder.packed_layers = CompiledLayers()
    return reason and f"compiled_layers: {reason}; {SLOWER}"


def can_be_compiled(model: Any) -> bool:
    """Whether the model's layers are those that layer.c computes: BERT's, with GELU by the normal distribution."""
    config = model.config
    return (
        is_plain_bert(model)
        and config.hidden_act == "gelu"
        and kept(max(config.hidden_dropout_prob, config.attention_probs_dropout_prob)) > 0
    )


def applies(state: Tensor, layer: Any) -> bool:
    """Whether compiled code can compute a layer of an encoder that trains: BERT's, on a CPU, in full precision."""
    return (
        type(layer) is BertLayer
        and state.device.type == "cpu"
        and state.dtype in (torch.float32, torch.float64)
        and state.dtype == layer.output.dense.weight.dtype
        and not torch.is_autocast_enabled("cpu")
    )


class CompiledLayers:
    """PackedLayers that are compiled code."""

    def __init__(self) -> None:
        self.buffers = Buffers()

    def packing(self, mask: Tensor) -> Packing:
        return Packing.of(mask)

    def __call__(
        self, layers: Sequence[Any], state: Tensor, packing: Packing, first: int, wanted: Collection[int]
    ) -> dict[int, Tensor]:
        layers = list(itertools.takewhile(lambda layer: applies(state, layer), layers))
        if not layers:
            return {}
        x = packing.packed(state)
        heads, eps = layers[0].attention.self.num_attention_heads, layers[0].output.LayerNorm.eps
        layout = Layout(packing.offsets, heads, eps, self.buffers)
        states = {}
        for index, layer in enumerate(layers):
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
