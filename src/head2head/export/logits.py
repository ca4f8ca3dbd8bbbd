"""What a run computes, from word pieces to logits, in the shape that other libraries have for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from head2head.errors import UserError
from head2head.model.encoder import Encoder
from head2head.model.finetuner import FineTuner
from head2head.model.heads import Linear, Mlp, TokenHead
from head2head.model.heads.standardization import Standardization, Unchanged, folded

ONE_PIECE = ("first", "last")  # of TokenHead's `subword`: those for which one piece stands for a word
LENGTHS = (3, 17, 64)  # word pieces of the batches that an export is checked with, as far as the encoder reads them
BATCHES = (1, 7)


class Logits(nn.Module):
    """Encoder and head as one module over plain tensors.

    A token head gives logits for every word piece, as BertForTokenClassification does; those of a word are at its first
    piece, or its last, whichever stands for it in the head.
    """

    def __init__(self, model: FineTuner):
        super().__init__()
        self.encoder, self.head = model.encoder, model.head

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor | None = None,
        special_tokens_mask: Tensor | None = None,
    ) -> Tensor:
        """(B, C) logits of texts, or (B, T, C) of word pieces; every argument is (B, T)."""
        output = self.encoder(input_ids, attention_mask, token_type_ids, special_tokens_mask)
        if isinstance(self.head, TokenHead):
            return self.head.classify(self.head.layers(output), attention_mask.bool())
        return self.head(output)


def fold_standardization(head: Any) -> None:
    """Put what standardises the features, where something does, into the linear layer that reads them; in place. Other
    libraries have no module for it. A pool that learns keeps its own, see SentenceHead."""
    if not isinstance(head.standardize, Standardization):
        return
    classifier = head.classifier
    if type(classifier) is Linear:
        classifier.output = folded(head.standardize, classifier.output)
    elif type(classifier) is Mlp:
        classifier.dense = folded(head.standardize, classifier.dense)
    else:
        return
    head.standardize = Unchanged()


def samples(tokenizer: PreTrainedTokenizerBase, encoder: Encoder) -> Iterator[dict[str, Tensor]]:
    """Batches (B, T) of made-up texts, padded on the right, at several B and T: what an export is checked with."""
    generator = torch.Generator().manual_seed(0)
    special = {number for number in tokenizer.all_special_ids if number is not None}
    ordinary = torch.tensor([number for number in range(len(tokenizer)) if number not in special])
    segments = max(int(getattr(encoder.model.config, "type_vocab_size", 0) or 0), 1)
    for length in sorted({min(length, encoder.max_length) for length in LENGTHS}):
        for count in BATCHES:
            chosen = torch.randint(len(ordinary), (count, length), generator=generator)
            ends = torch.randint(3, length + 1, (count, 1), generator=generator)
            ends[0] = length
            place = torch.arange(length)
            ids = ordinary[chosen]
            ids[:, 0] = tokenizer.cls_token_id
            ids = ids.masked_fill(place == ends - 1, tokenizer.sep_token_id)
            ids = ids.masked_fill(place >= ends, tokenizer.pad_token_id or 0)
            yield {
                "input_ids": ids,
                "attention_mask": (place < ends).long(),
                "token_type_ids": ((place > ends // 2) & (place < ends)).long() * (segments > 1),
                "special_tokens_mask": ((place == 0) | (place >= ends - 1)).long(),
            }


def check_equal(ours: Tensor, theirs: Tensor, within: float, batch: Mapping[str, Tensor], what: str) -> None:
    """Check that an exported model gives the run's own numbers for a batch.

    Args:
        ours, theirs: (B, D), or (B, T, D), of which padding is left out.
        within: the largest difference, as a share of the largest number (or of 1, if all are smaller).

    Raises:
        UserError: it does not.
    """
    if ours.dim() == 3:
        keep = batch["attention_mask"].bool()
        ours, theirs = ours[keep], theirs[keep]
    most = float((ours - theirs).abs().max())
    # Written so that NaN fails, too.
    if not most <= within * max(1.0, float(ours.abs().max())):
        shape = " x ".join(map(str, batch["input_ids"].shape))
        raise UserError(
            f"the exported {what} differs from the run by {most:.1e} on a batch of {shape}; nothing is kept"
        )
