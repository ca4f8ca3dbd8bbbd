"""Whether a model is made of the library's own parts and nothing else, so that other code may compute it."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import BertModel
from transformers.models.bert.modeling_bert import (
    BertAttention,
    BertEncoder,
    BertIntermediate,
    BertLayer,
    BertOutput,
    BertSelfAttention,
    BertSelfOutput,
)

from head2head.speed.dropout import ATTENTION, FastDropout

LINEAR, DROPOUT = (nn.Linear,), (nn.Dropout, FastDropout)

# All modules of a BertLayer, by name, and what each may be. Any activation may stand in the feed-forward part.
LAYER: dict[str, tuple[type, ...]] = {
    "": (BertLayer,),
    "attention": (BertAttention,),
    "attention.self": (BertSelfAttention,),
    "attention.self.query": LINEAR,
    "attention.self.key": LINEAR,
    "attention.self.value": LINEAR,
    "attention.self.dropout": DROPOUT,
    "attention.output": (BertSelfOutput,),
    "attention.output.dense": LINEAR,
    "attention.output.LayerNorm": (nn.LayerNorm,),
    "attention.output.dropout": DROPOUT,
    "intermediate": (BertIntermediate,),
    "intermediate.dense": LINEAR,
    "output": (BertOutput,),
    "output.dense": LINEAR,
    "output.LayerNorm": (nn.LayerNorm,),
    "output.dropout": DROPOUT,
}
ACTIVATION = "intermediate.intermediate_act_fn"
WEIGHTED = [name for name, kinds in LAYER.items() if kinds == LINEAR or nn.LayerNorm in kinds]
PARAMETERS = {f"{name}.{part}" for name in WEIGHTED for part in ("weight", "bias")}


# Where transformers defines the hooks that collect hidden states when they are asked for. It leaves them on the layers.
COLLECTING = "transformers.utils.output_capturing"


def is_plain(module: nn.Module, *kinds: type) -> bool:
    """Whether a module is of exactly one of these classes, runs that class's forward(), and has no hooks but those of
    the library, which only look. A parametrized module is of a class of its own."""
    return (
        type(module) in kinds
        and "forward" not in vars(module)
        and all(getattr(hook, "__module__", None) == COLLECTING for hook in module._forward_hooks.values())
        and not module._forward_pre_hooks
        and not module._backward_hooks
        and not module._backward_pre_hooks
    )


def is_plain_layer(layer: nn.Module) -> bool:
    """Whether a layer is BERT's with the library's own parts: no adapter, no hook, no parameter more or fewer, one
    dropout probability beside that of attention's weights, and one epsilon."""
    if type(layer) is not BertLayer:
        return False
    modules: dict[str, Any] = dict(layer.named_modules(remove_duplicate=False))
    activation = modules.pop(ACTIVATION, None)
    return (
        modules.keys() == LAYER.keys()
        and all(is_plain(module, *LAYER[name]) for name, module in modules.items())
        and (activation is None or is_plain(activation, type(activation)))
        and {name for name, _ in layer.named_parameters(remove_duplicate=False)} == PARAMETERS
        and all(type(parameter) is nn.Parameter for parameter in layer.parameters())
        and modules["output.dropout"].p == modules["attention.output.dropout"].p
        and modules["output.LayerNorm"].eps == modules["attention.output.LayerNorm"].eps
    )


def is_plain_bert(model: Any) -> bool:
    """Whether a model is a BertModel whose tokens attend to all others by SDPA, the library's or speed.dropout's. Its
    layers may still be of other kinds."""
    config = model.config
    return (
        is_plain(model, BertModel)
        and is_plain(model.encoder, BertEncoder)
        and not config.is_decoder
        and config._attn_implementation in ("sdpa", ATTENTION)
    )
