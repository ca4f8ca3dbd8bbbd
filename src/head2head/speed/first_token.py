"""BERT's last layer for heads that read one token of it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout

from head2head.model.encoder import Encoder, first_token, layer_stack
from head2head.speed.plain import is_plain_bert, is_plain_layer


class FirstTokenLayer(nn.Module):
    """A BertLayer that computes the first unmasked token of each text alone: its query, its attention's output and its
    feed-forward part.
    The parameters are the layer's own, under their own names.

    Keys and values of the other tokens are never made. With one query q in a head, its score for a token x is
    q (K x + k) = (q K) x + q k: K goes to the query, once a text. Likewise the weighted sum of values is V times the
    weighted sum of tokens, plus v times the sum of the weights, which dropout makes other than 1.

    Dropout is drawn for one token of each text: its masks in this layer are not those of the whole layer.
    """

    def __init__(self, layer: Any):
        super().__init__()
        self.training = layer.training
        self.attention, self.intermediate, self.output = layer.attention, layer.intermediate, layer.output

    def forward(self, hidden_states: Tensor, attention_mask: Tensor | None = None, *_: Any, **__: Any) -> Tensor:
        """(B, 1, H) from (B, T, H) and a mask (B, 1, T or 1, T) or none; what else BertLayers take is for decoders."""
        # Without causality all queries of a text have the same mask. There is none where no text is padded.
        mask = None if attention_mask is None else attention_mask[:, 0, :1]
        first = hidden_states[:, :1]
        if mask is not None:
            position = first_token(mask.squeeze(1))
            first = hidden_states.gather(1, position.view(-1, 1, 1).expand_as(first))
        attended = self.attention.output(self._context(first, hidden_states, mask), first)
        return self.output(self.intermediate(attended), attended)

    def _context(self, first: Tensor, tokens: Tensor, mask: Tensor | None) -> Tensor:
        """(B, 1, H): attention's output for the first tokens (B, 1, H)."""
        own = self.attention.self
        query, key, value = own.query, own.key, own.value

        def by_head(values: Tensor) -> Tensor:
            """(A, ..., H / A) of (..., H)."""
            return values.unflatten(-1, (own.num_attention_heads, -1)).movedim(-2, 0)

        q = by_head(query(first.squeeze(1)) * own.scaling)  # (A, B, d)
        to_tokens = (q @ by_head(key.weight.t()).transpose(1, 2)).transpose(0, 1)  # (B, A, H)
        scores = to_tokens @ tokens.transpose(1, 2)
        scores = scores + (q * by_head(key.bias).unsqueeze(1)).sum(-1).t().unsqueeze(2)
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf)
        weights = dropout(scores.softmax(-1), own.dropout.p, self.training)  # (B, A, T)
        summed = (weights @ tokens).transpose(0, 1)  # (A, B, H)
        found = summed @ by_head(value.weight.t())  # (A, B, d)
        found = found + weights.sum(-1).t().unsqueeze(2) * by_head(value.bias).unsqueeze(1)
        return found.transpose(0, 1).flatten(1).unsqueeze(1)


def use_first_token_layer(encoder: Encoder) -> bool:
    """Let the last layer of a plain BERT compute the first token alone, where the head reads no other. Returns whether
    it now does."""
    model = encoder.model
    if not (encoder.needs.first_only and encoder.depth and is_plain_bert(model)):
        return False
    stack = layer_stack(model)
    if not is_plain_layer(stack[-1]):
        return False
    stack[-1] = FirstTokenLayer(stack[-1])
    return True
