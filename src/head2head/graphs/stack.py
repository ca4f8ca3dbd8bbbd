"""Some of a BertModel's layers over a batch without padding, on a GPU.

Batches of short texts keep a GPU busy for less time than Python needs to tell it what to do. Rows are therefore filled
up to one of few lengths, and what the layers do with such a row is recorded when it comes for the second time.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Hashable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.bert.modeling_bert import BertLayer

from head2head.dropout import is_plain_bert
from head2head.errors import UserError
from head2head.graphs.attention import attention, refused
from head2head.graphs.recording import Memory, Recording
from head2head.packing import Packing, steps_to

BLOCK = 128  # tokens: bounds on a text's length are multiples of it, so that there are few of them
# Trainer precisions with kernels that leave padding out, and what they attend in.
PRECISIONS = {
    "32-true": torch.float32,
    "16-true": torch.float16,
    "16-mixed": torch.float16,
    "bf16-true": torch.bfloat16,
    "bf16-mixed": torch.bfloat16,
}


def use_cuda_graphs(encoder: Any, device: torch.device, precision: str) -> str | None:
    """Let an Encoder's layers train as CUDA graphs. Returns why they do not.

    Args:
        device: where they will train.
        precision: the Trainer's.
    """
    if device.type != "cuda" or torch.version.hip:
        return f"cuda_graphs: no effect on {device.type}: they are for NVIDIA's GPUs"
    if encoder.frozen is True or not any(type(layer) is BertLayer for layer in encoder.layers):
        return "cuda_graphs: no effect, since no layer of BERT is trained"
    config = encoder.model.config
    if not is_plain_bert(encoder.model):
        return f"cuda_graphs: no effect: attention={config._attn_implementation}; they are for BERT's layers with sdpa"
    if precision not in PRECISIONS:
        return f"cuda_graphs: no effect under trainer.precision={precision}; choose from: {', '.join(PRECISIONS)}"
    heads = config.num_attention_heads
    reason = refused(device, PRECISIONS[precision], heads, config.hidden_size // heads)
    if reason is None:
        encoder.packed_layers = GraphedLayers()
    return reason and f"cuda_graphs: no effect: this GPU does not attend without padding here ({reason})"


class Stack(nn.Module):
    """Layers over a row of texts.

    Args:
        layers: BertLayers.
        wanted: places in `layers` of those whose outputs are given.
        longest: no text has more tokens.
    """

    def __init__(self, layers: Sequence[nn.Module], wanted: tuple[int, ...], longest: int):
        super().__init__()
        self.layers, self.wanted, self.longest = nn.ModuleList(layers), wanted, longest
        self.weights = list(self.parameters())
        self.dropouts = [module for module in self.modules() if isinstance(module, nn.Dropout)]

    def forward(self, x: Tensor, offsets: Tensor) -> tuple[Tensor, ...]:
        """(N, H) each, from x (N, H) and offsets (texts + 1,)."""
        found = []
        for place, layer in enumerate(self.layers):
            x = computed(layer, x, offsets, self.longest)
            if place in self.wanted:
                found.append(x)
        return tuple(found)


def computed(layer: Any, x: Tensor, offsets: Tensor, longest: int) -> Tensor:
    """(N, H): a BertLayer's output for a row of texts."""
    own = layer.attention.self
    heads = (own.num_attention_heads, -1)
    query, key, value = (part(x).unflatten(-1, heads) for part in (own.query, own.key, own.value))
    context = attention(query, key, value, offsets, longest, probability(own.dropout), own.scaling)
    attended = layer.attention.output(context.flatten(1), x)
    return layer.output(layer.intermediate(attended), attended)


def probability(dropout: Any) -> float:
    """Of a dropout module as it stands."""
    return dropout.p if dropout.training else 0.0


class GraphedLayers:
    """PackedLayers that are recorded.

    Raises:
        UserError: when they are called: the GPU cannot record them, for want of memory perhaps. It may then be in a
            state in which no more can be done with it.
    """

    def __init__(self) -> None:
        self._stacks: dict[Hashable, Stack] = {}
        self._memory: dict[Hashable, Memory] = {}
        self._recordings: dict[Hashable, Recording] = {}
        self._met: set[Hashable] = set()

    def packing(self, mask: Tensor) -> Packing:
        return Packing.of(mask).filled()

    def __call__(
        self, layers: Sequence[Any], state: Tensor, packing: Packing, first: int, wanted: Collection[int]
    ) -> dict[int, Tensor]:
        layers = list(itertools.takewhile(lambda layer: type(layer) is BertLayer, layers))
        if not layers:
            return {}
        last = len(layers) - 1
        places = tuple(place for place in range(len(layers)) if first + place in wanted or place == last)
        # What the row is filled up with counts as a text. Kernels refuse bounds above the number of tokens.
        longest = -(-max(packing.shape[1], steps_to(packing.tokens)) // BLOCK) * BLOCK
        longest = min(longest, len(packing.places))
        kind = (first, last, places, longest)
        if kind not in self._stacks:
            self._stacks[kind] = Stack(layers, places, longest)
        outputs = self._outputs(self._stacks[kind], packing.packed(state), packing.offsets)
        return {first + place: packing.unpacked(x) for place, x in zip(places, outputs, strict=True)}

    def _outputs(self, stack: Stack, x: Tensor, offsets: Tensor) -> tuple[Tensor, ...]:
        weights = tuple((weight.data_ptr(), weight.requires_grad) for weight in stack.weights)
        if not torch.is_grad_enabled() or not any(trained for _, trained in weights):
            return stack(x, offsets)
        key = (weights, *circumstances(stack, x, offsets))
        if key not in self._met:  # not every size comes again
            self._met.add(key)
            return stack(x, offsets)
        if key not in self._recordings:
            try:
                if weights not in self._memory:
                    self._memory[weights] = Memory(stack)
                self._recordings[key] = Recording(stack, x, offsets, self._memory[weights])
            except RuntimeError as error:
                reason = str(error).partition("\n")[0]
                raise UserError(f"cuda_graphs: {len(x)} tokens cannot be recorded: {reason}; leave it out") from error
        return self._recordings[key](x, offsets)


def circumstances(stack: Stack, x: Tensor, offsets: Tensor) -> tuple[Hashable, ...]:
    """All that a recording holds for, but the weights."""
    device = x.device.type
    autocast = (torch.is_autocast_enabled(device), torch.get_autocast_dtype(device))
    dropout = tuple(probability(module) for module in stack.dropouts)
    return x.shape, x.dtype, x.requires_grad, offsets.shape, stack.longest, stack.wanted, autocast, dropout
