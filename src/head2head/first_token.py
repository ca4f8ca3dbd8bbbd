"""BERT's last layer for heads that read one token of it."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import BertModel


class FirstTokenLayer(nn.Module):
    """A BertLayer that computes one token of each text: its query, its attention's output and its feed-forward part.
    Keys and values are those of all tokens. The parameters are the layer's own, under their own names.

    Attribute `position` (B,) says which token; it is set before each batch.
    """

    position: Tensor

    def __init__(self, layer: Any):
        super().__init__()
        self.attention, self.intermediate, self.output = layer.attention, layer.intermediate, layer.output

    def forward(self, hidden_states: Tensor, attention_mask: Tensor | None = None, *_: Any, **__: Any) -> Tensor:
        """(B, 1, H) from (B, T, H) and a mask (B, 1, T or 1, T) or none; what else BertLayers take is for decoders."""
        own = self.attention.self
        token = self.position.view(-1, 1, 1).expand(-1, 1, hidden_states.shape[-1])
        first = hidden_states.gather(1, token)
        query, key, value = (
            part(states).unflatten(-1, (own.num_attention_heads, -1)).transpose(1, 2)
            for part, states in ((own.query, first), (own.key, hidden_states), (own.value, hidden_states))
        )
        # Without causality all queries of a text have the same mask.
        mask = None if attention_mask is None else attention_mask[:, :, :1]
        dropout = own.dropout.p if self.training else 0.0
        context = scaled_dot_product_attention(query, key, value, mask, dropout, scale=own.scaling)
        attended = self.attention.output(context.transpose(1, 2).flatten(2), first)
        return self.output(self.intermediate(attended), attended)


def can_read_first_token(model: Any) -> bool:
    """Whether the model's layers are BERT's, with the attention that FirstTokenLayer computes."""
    config = model.config
    return type(model) is BertModel and config._attn_implementation == "sdpa" and not config.is_decoder
