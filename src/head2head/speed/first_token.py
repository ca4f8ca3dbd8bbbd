"""BERT's last layer for heads that read one token of it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout


class FirstTokenLayer(nn.Module):
    """A BertLayer that computes one token of each text: its query, its attention's output and its feed-forward part.
    The parameters are the layer's own, under their own names.

    Keys and values of the other tokens are never made. With one query q in a head, its score for a token x is
    q (K x + k) = (q K) x + q k: K goes to the query, once a text. Likewise the weighted sum of values is V times the
    weighted sum of tokens, plus v times the sum of the weights, which dropout makes other than 1.

    Attribute `position` (B,) says which token; it is set before each batch.
    """

    position: Tensor

    def __init__(self, layer: Any):
        super().__init__()
        self.attention, self.intermediate, self.output = layer.attention, layer.intermediate, layer.output

    def forward(self, hidden_states: Tensor, attention_mask: Tensor | None = None, *_: Any, **__: Any) -> Tensor:
        """(B, 1, H) from (B, T, H) and a mask (B, 1, T or 1, T) or none; what else BertLayers take is for decoders."""
        token = self.position.view(-1, 1, 1).expand(-1, 1, hidden_states.shape[-1])
        first = hidden_states.gather(1, token)
        # Without causality all queries of a text have the same mask.
        mask = None if attention_mask is None else attention_mask[:, 0, :1]
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
