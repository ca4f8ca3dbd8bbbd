"""A BERT small enough for float64, and batches that show what padding and position do."""

import copy

import torch
from torch import Tensor
from transformers import BertConfig, BertModel

from head2head.model.encoder import Encoder
from head2head.model.output import EncoderOutput, Needs

SIZES = {
    "vocab_size": 60, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 40,
    "max_position_embeddings": 200, "initializer_range": 0.3,
}  # fmt: skip
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
NEEDS = {
    "last": Needs(frozenset({3})),
    "all": Needs(frozenset({0, 1, 2, 3})),
    "second to last": Needs(frozenset({2})),
    "pooler": Needs(frozenset({3}), pooler=True, first_only=True),
    "cls": Needs(frozenset({3}), first_only=True),
}
LENGTHS = {"padded": (7, 4, 0, 1), "full": (7, 7, 7, 7)}
IDS = torch.arange(5, 33).view(4, 7)


def mask_of(lengths: tuple[int, ...], side: str = "right") -> Tensor:
    """(4, 7): texts of these lengths, padded on one side."""
    mask = (torch.arange(7) < torch.tensor(lengths).unsqueeze(1)).long()
    return mask.flip(1) if side == "left" else mask


def two_encoders(needs: Needs, frozen: int = 0, **config: float) -> list[Encoder]:
    """The same encoder twice; without dropout unless it is given."""
    torch.manual_seed(0)
    model = BertModel(BertConfig(**SIZES | NO_DROPOUT | config))
    return [Encoder(copy.deepcopy(model), needs, frozen) for _ in range(2)]


def states(output: EncoderOutput) -> Tensor:
    """All that was asked for of real tokens."""
    real = output.attention_mask.bool()
    pooled = [] if output.pooled is None else [output.pooled[real.any(dim=1)].flatten()]
    return torch.cat([state[real].flatten() for state in output.hidden_states.values()] + pooled)
