"""How a sentence's tokens become one vector: (B, T, H) and a mask -> (B, D).

Sums run in float32 or wider whatever the dtype that comes in (512 values of 200 overflow float16), and a row
without any token gives zeros. No pool looks at masked positions, so none depends on padding.
"""

import torch
from torch import Tensor, nn

from head2head.model.encoder import first_token


class Pool(nn.Module):
    """Base of the pools.

    Args:
        size: width H of the tokens.
        special_tokens: pool [CLS] and [SEP] with the rest, as sentence-transformers does; False leaves
            them out. Pools that read one given token ignore it.

    Attributes:
        size: width D of what comes out.
        needs_pooler: it reads what the encoder's own pooler gives.
        first_only: it reads no token but the first unmasked one, so that no other need be computed.
        linear: it is a sum over the tokens, weighted by nothing but their mask.
            `first_only` and `linear` count only where a class declares them itself, see `declares`.
    """

    needs_pooler = False
    first_only = False
    linear = False

    def __init__(self, size: int, special_tokens: bool = True):
        super().__init__()
        self.size = size
        self.special_tokens = special_tokens

    def forward(self, tokens: Tensor, mask: Tensor, pooler_output: Tensor | None = None) -> Tensor:
        """(B, D) from tokens (B, T, H) and mask (B, T), 1 where there is a token to pool.

        pooler_output (B, H) is what the encoder's own pooler made of the sentence; only `Pooler` reads it.
        """
        raise NotImplementedError


class Pooler(Pool):
    """The encoder's own BertPooler: pooler_output = tanh(W h[CLS] + b), trained by next-sentence prediction.

    Its weights belong to the encoder: they are loaded, frozen and given a learning rate with it.
    """

    needs_pooler = True
    first_only = True

    def forward(self, tokens: Tensor, mask: Tensor, pooler_output: Tensor | None = None) -> Tensor:
        if pooler_output is None:
            raise LookupError("pooler_output was not asked for")
        return pooler_output


class Cls(Pool):
    """The hidden state of the first unmasked token; right under left padding too."""

    first_only = True
    linear = True

    def forward(self, tokens: Tensor, mask: Tensor, pooler_output: Tensor | None = None) -> Tensor:
        first = tokens[torch.arange(tokens.shape[0], device=tokens.device), first_token(mask)]
        return first.masked_fill(~mask.any(dim=1, keepdim=True), 0)


class Mean(Pool):
    """Sum over tokens / number of tokens (Reimers and Gurevych 2019)."""

    linear = True

    def forward(self, tokens: Tensor, mask: Tensor, pooler_output: Tensor | None = None) -> Tensor:
        return (masked_sum(tokens, mask) / lengths(mask)).to(tokens.dtype)


class LastToken(Pool):
    """The hidden state of the last unmasked token (sentence-transformers, `lasttoken`): for BERT [SEP], or with
    `special_tokens: false` the last word piece of the text."""

    linear = True

    def forward(self, tokens: Tensor, mask: Tensor, pooler_output: Tensor | None = None) -> Tensor:
        position = mask.shape[1] - 1 - first_token(mask.flip(1))
        last = tokens[torch.arange(tokens.shape[0], device=tokens.device), position]
        return last.masked_fill(~mask.any(dim=1, keepdim=True), 0)


class WeightedMean(Pool):
    """sum_i i h_i / sum_i i over the unmasked tokens i = 1, 2, ..., so that later ones count more (Muennighoff 2022,
    SGPT, eq. 2). sentence-transformers' `weightedmean` numbers padding on the left, too; on the right it does the same.
    """

    linear = True

    def forward(self, tokens: Tensor, mask: Tensor, pooler_output: Tensor | None = None) -> Tensor:
        keep, values = mask.bool(), wide(tokens)
        places = (keep.long().cumsum(dim=1) * keep).to(values.dtype)
        weights = places / places.sum(dim=1, keepdim=True).clamp(min=1)
        return masked_sum(weights.unsqueeze(-1) * values, mask).to(tokens.dtype)


class SqrtMean(Pool):
    """Sum over tokens / square root of their number (Cer et al. 2018, the universal sentence encoder)."""

    linear = True

    def forward(self, tokens: Tensor, mask: Tensor, pooler_output: Tensor | None = None) -> Tensor:
        return (masked_sum(tokens, mask) / lengths(mask).sqrt()).to(tokens.dtype)


class Max(Pool):
    """The largest value of each dimension over the tokens."""

    def forward(self, tokens: Tensor, mask: Tensor, pooler_output: Tensor | None = None) -> Tensor:
        keep = mask.bool().unsqueeze(-1)
        highest = tokens.masked_fill(~keep, torch.finfo(tokens.dtype).min).amax(dim=1)
        return highest.masked_fill(~keep.any(dim=1), 0)


class MeanMax(Pool):
    """Mean and max side by side: D = 2 H (concat pooling; Howard and Ruder 2018)."""

    def __init__(self, size: int, special_tokens: bool = True):
        super().__init__(2 * size, special_tokens)
        self.mean, self.max = Mean(size), Max(size)

    def forward(self, tokens: Tensor, mask: Tensor, pooler_output: Tensor | None = None) -> Tensor:
        return torch.cat([self.mean(tokens, mask), self.max(tokens, mask)], dim=-1)


class Attention(Pool):
    """sum_t softmax_t(v . tanh(W h_t + b)) h_t, with learned W, b, v (Yang et al. 2016, eq. 5 to 7)."""

    def __init__(self, size: int, special_tokens: bool = True):
        super().__init__(size, special_tokens)
        self.project = nn.Linear(size, size)
        self.query = nn.Linear(size, 1, bias=False)

    def weights(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """(B, T) what each token counts: 0 where it is masked, and 1 over each row that has a token."""
        scores = wide(self.query(torch.tanh(self.project(tokens))).squeeze(-1))
        keep = mask.bool()
        return scores.masked_fill(~keep, torch.finfo(scores.dtype).min).softmax(dim=1) * keep

    def forward(self, tokens: Tensor, mask: Tensor, pooler_output: Tensor | None = None) -> Tensor:
        weights = self.weights(tokens, mask)
        return masked_sum(weights.unsqueeze(-1) * wide(tokens), mask).to(tokens.dtype)


def wide(tensor: Tensor) -> Tensor:
    """The tensor in float32, or in float64 if it is that already."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def masked_sum(tokens: Tensor, mask: Tensor) -> Tensor:
    """(B, H) sum over the unmasked tokens, in float32 or wider."""
    return wide(tokens).masked_fill(~mask.bool().unsqueeze(-1), 0).sum(dim=1)


def lengths(mask: Tensor) -> Tensor:
    """(B, 1) number of unmasked tokens, at least 1 so that an empty row divides 0 by 1."""
    return mask.sum(dim=1, keepdim=True).clamp(min=1)
