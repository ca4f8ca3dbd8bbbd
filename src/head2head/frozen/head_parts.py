"""What a head reads of a frozen encoder, cut where training begins.

What stands before the first learned weight gives the same numbers in every epoch: it is computed once, and the rest
of the head is trained on it. Where only layers are mixed (scalar mix) or set side by side and the pool is a sum over
tokens, pooling first is the same, and much less: sum_t c_t sum_i w_i h_it = sum_i w_i sum_t c_t h_it.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from head2head.data.batching import Batch
from head2head.model.encoder import Encoder
from head2head.model.heads import Layer, SentenceHead, TokenHead
from head2head.model.heads.heads import PIECES, declares
from head2head.model.heads.layers import Layers
from head2head.model.output import EncoderOutput, EncoderSpec

Unit = Literal["row", "word", "token"]
Make = Callable[[EncoderOutput, Batch], Tensor]


@dataclass(frozen=True)
class FeatureSpec:
    """One array of features.

    layers: numbers of the hidden states that it is made of.
    unit: whether there is a vector for each row, each of its words, or each of its tokens.
    width: of a vector.
    pooler: it is made of the encoder's pooler_output.
    rule: what is computed, with the code that computes it: part of the cache's key.
    """

    layers: frozenset[int]
    unit: Unit
    width: int
    rule: str
    pooler: bool = False


class TrainableHead(nn.Module):
    """What is trained of a head: features -> logits. Its parts are the head's own.

    Attributes:
        specs: the arrays that it reads, in the order of forward's features.
        makers: for each of them the function that makes it of a batch: (B, width) for rows, (n, width) for
            the n words or tokens of the batch, row after row.
        reads_rows: a row has one vector of each array.
    """

    specs: Sequence[FeatureSpec]
    makers: Sequence[Make]
    reads_rows = True

    def forward(self, features: Sequence[Tensor], mask: Tensor | None, special: Tensor | None) -> Tensor:
        """(B, C) logits, or (B, W, C).

        Args:
            features: (B, D) each, or (B, U, D) with padding after them, for U words or tokens; with 2B in place of B
                where the texts of pairs are read apart.
            mask: (B, U), 1 where there is a word or token; None for rows.
            special: (B, U), 1 at special tokens; None where no tokens are read.
        """
        raise NotImplementedError


class PooledClassifier(TrainableHead):
    """The classifier, after a pool and layers that learn nothing."""

    def __init__(self, head: SentenceHead, encoder: Encoder):
        super().__init__()
        self.compare, self.standardize, self.classifier = head.compare, head.standardize, head.classifier
        width = head.pool.size
        rule: list[Any] = [described(head.layers), described(head.pool)]
        if head.pool.needs_pooler:
            rule.append(weights_hash(encoder.pooler))
        reads = frozenset(head.layers.reads)
        self.specs = [FeatureSpec(reads, "row", width, json.dumps(rule), head.pool.needs_pooler)]
        self.makers = [functools.partial(pooled, head, head.layers)]

    def forward(self, features: Sequence[Tensor], mask: Tensor | None, special: Tensor | None) -> Tensor:
        return self.classifier(self.standardize(self.compare(features[0])))


class MixedClassifier(TrainableHead):
    """Layers and classifier, after a pool that is a sum over tokens."""

    def __init__(self, head: SentenceHead, spec: EncoderSpec):
        super().__init__()
        self.layers, self.compare, self.spec = head.layers, head.compare, spec
        self.standardize, self.classifier = head.standardize, head.classifier
        pool = described(head.pool)
        self.specs = [
            FeatureSpec(frozenset({i}), "row", spec.hidden_size, json.dumps([described(Layer(spec, i)), pool]))
            for i in head.layers.reads
        ]
        self.makers = [functools.partial(pooled, head, Layer(spec, i)) for i in head.layers.reads]

    def forward(self, features: Sequence[Tensor], mask: Tensor | None, special: Tensor | None) -> Tensor:
        states = {i: state.unsqueeze(1) for i, state in zip(self.layers.reads, features, strict=True)}
        vectors = self.layers(as_output(self.spec, states))[:, 0]
        return self.classifier(self.standardize(self.compare(vectors)))


class WordHead(TrainableHead):
    """Layers and classifier of a token head, after the rules that make one vector each of a word's pieces."""

    reads_rows = False

    def __init__(self, head: TokenHead, spec: EncoderSpec):
        super().__init__()
        self.head, self.spec = head, spec
        source, wanted = source_hash(TokenHead), [(piece, i) for piece in head.pieces for i in head.layers.reads]
        self.specs = [
            FeatureSpec(frozenset({i}), "word", spec.hidden_size, json.dumps([i, piece, source])) for piece, i in wanted
        ]
        self.makers = [functools.partial(words, piece, i) for piece, i in wanted]

    def forward(self, features: Sequence[Tensor], mask: Tensor | None, special: Tensor | None) -> Tensor:
        assert mask is not None
        reads, mixed = self.head.layers.reads, []
        for start in range(0, len(features), len(reads)):  # the layers of one piece after another
            states = dict(zip(reads, features[start : start + len(reads)], strict=True))
            mixed.append(self.head.layers(as_output(self.spec, states)))
        return self.head.classify(torch.cat(mixed, dim=-1), mask.bool())


class WholeHead(TrainableHead):
    """A whole sentence head, for pools that learn something."""

    reads_rows = False

    def __init__(self, head: SentenceHead, spec: EncoderSpec):
        super().__init__()
        self.head, self.spec = head, spec
        self.specs, self.makers = zip(*(token_state(spec, i) for i in head.layers.reads), strict=True)

    def forward(self, features: Sequence[Tensor], mask: Tensor | None, special: Tensor | None) -> Tensor:
        states = dict(zip(self.head.layers.reads, features, strict=True))
        return self.head(as_output(self.spec, states, mask, special))


def token_state(spec: EncoderSpec, layer: int) -> tuple[FeatureSpec, Make]:
    """A hidden state as it is, and what makes it of a batch."""
    return FeatureSpec(frozenset({layer}), "token", spec.hidden_size, json.dumps(layer)), functools.partial(
        tokens, layer
    )


def pooled(head: SentenceHead, layers: Layers, output: EncoderOutput, _batch: Batch) -> Tensor:
    """(B, D): some layers, pooled."""
    return head.pooled(output, layers)


def words(piece: str, layer: int, output: EncoderOutput, batch: Batch) -> Tensor:
    """(n, H): a vector for each word of a batch, row after row, made of its pieces by the rule of that name."""
    assert batch.words is not None
    assert batch.has_word is not None
    return PIECES[piece](output.hidden_state(layer), batch.words)[batch.has_word]


def tokens(layer: int, output: EncoderOutput, _batch: Batch) -> Tensor:
    """(n, H): a vector for each token of a batch, row after row."""
    return output.hidden_state(layer)[output.attention_mask.bool()]


def trainable_head(head: SentenceHead | TokenHead, encoder: Encoder) -> TrainableHead | None:
    """What is trained of a head on a frozen encoder; None for a head that cannot be cut.

    Args:
        encoder: its pooler and sizes are looked at, nothing is computed.
    """
    learns = {name: any(True for _ in part.parameters()) for name, part in head.named_children()}
    if isinstance(head, TokenHead):
        return WordHead(head, encoder.spec) if declares(head.layers, "linear") else None
    fixed = not learns["pool"] and known(head.pool)
    sums = declares(head.pool, "linear") and declares(head.layers, "linear")
    if fixed and sums and len(head.layers.reads) > 1:
        return MixedClassifier(head, encoder.spec)
    if fixed and not learns["layers"] and known(head.layers):
        return PooledClassifier(head, encoder)
    return None if head.pool.needs_pooler else WholeHead(head, encoder.spec)


def as_output(
    spec: EncoderSpec, states: Mapping[int, Tensor], mask: Tensor | None = None, special: Tensor | None = None
) -> EncoderOutput:
    """Features (B, U, H) by number of the hidden state, as an encoder gives them."""
    if mask is None:
        mask = next(iter(states.values())).new_ones(())  # of vectors that are pooled: nobody asks
    return EncoderOutput(spec.num_layers, mask, special, states)


def described(module: Any) -> list[Any]:
    """A part of a head that learns nothing: its class, the code of it, and its settings. Its children, too."""
    settings = {name: repr(value) for name, value in sorted(vars(module).items()) if not name.startswith("_")}
    settings.pop("training", None)
    children = {name: described(child) for name, child in module.named_children()}
    return [type(module).__qualname__, source_hash(type(module)), settings, children]


def known(module: Any) -> bool:
    """Whether the code of a part can be told apart from its next version: its source is there to be hashed."""
    try:
        return all(source_hash(type(part)) != "" for part in module.modules())
    except (OSError, TypeError):
        return False


def source_hash(kind: type) -> str:
    """Hash of the file that defines a class.

    Raises:
        OSError, TypeError: there is no such file.
    """
    path = inspect.getsourcefile(kind)
    if path is None:
        raise OSError(f"no source of {kind}")
    return _file_hash(path)


@functools.cache
def _file_hash(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]


def weights_hash(module: nn.Module) -> str:
    """Hash of a module's weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]
