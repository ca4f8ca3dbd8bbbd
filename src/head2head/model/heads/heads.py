"""A head = layers x pool x classifier. Sentence and token heads are two classes, not a flag."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from head2head.errors import UserError
from head2head.model.heads.classifiers import Classifier
from head2head.model.heads.layers import Layer, Layers
from head2head.model.heads.pairs import Comparison, Cosine
from head2head.model.heads.pooling import Pool, wide
from head2head.model.heads.standardization import standardization
from head2head.model.output import EncoderOutput, EncoderSpec, Needs


def declares(part: nn.Module, capability: str) -> bool:
    """Whether a part of a head has a capability (`linear`, `first_only`). Its own class must say so: a subclass may
    compute something else, and what its parent can do is then not true of it."""
    return bool(vars(type(part)).get(capability, False))


class SentenceHead(nn.Module):
    """One prediction for a text or a pair of texts.

    Args:
        layers, pool, classifier: the parts, still to be given the encoder's sizes.
        compare: what is made of the vectors of a pair whose texts are read apart; not a setting of heads, since the
            task decides it.
        num_labels: number C of logits (1 for regression).
        dropout: of the classifier; null for the encoder's own.
        standardize: standardise what enters the classifier, and the tokens that a pool which learns reads, with
            statistics of the training rows (`standardization.fit`). Never before a
            cosine, which is of the vectors as they are.
    """

    kind = "sentence"

    def __init__(
        self,
        layers: Callable[..., Layers],
        pool: Callable[..., Pool],
        classifier: Callable[..., Classifier],
        encoder: EncoderSpec,
        num_labels: int,
        dropout: float | None = None,
        standardize: bool = False,
        compare: Callable[..., Comparison] = Comparison,
    ):
        super().__init__()
        self.layers = layers(encoder=encoder)
        self.pool = pool(size=self.layers.size)
        if self.pool.needs_pooler and self.layers.reads != [encoder.num_layers]:
            raise UserError(
                "head/pool=pooler reads the last layer: pooler_output is made from it; use head/layers=last"
            )
        self.compare = compare(size=self.pool.size)
        standardize = standardize and not isinstance(self.compare, Cosine)
        learns = any(True for _ in self.pool.parameters())
        self.standardize_tokens = standardization(self.layers.size, standardize and learns)
        self.standardize = standardization(self.compare.size, standardize)
        self.classifier = build_classifier(classifier, self.kind, self.compare.size, num_labels, encoder, dropout)
        initialize(self, encoder.initializer_range)

    @property
    def needs(self) -> Needs:
        """What the encoder has to compute for this head."""
        # Without the special tokens the first one is another.
        first = declares(self.pool, "first_only") and self.pool.special_tokens and type(self.layers) is Layer
        return Needs(frozenset(self.layers.reads), pooler=self.pool.needs_pooler, first_only=first)

    def forward(self, output: EncoderOutput) -> Tensor:
        """(B, C) logits, from B sequences, or from 2B where the texts of pairs are read apart: first texts, then second
        ones."""
        return self.classify(self.pooled(output, self.layers))

    def classify(self, vectors: Tensor) -> Tensor:
        """(B, C) logits from pooled layers (B, D) or (2B, D)."""
        return self.classifier(self.standardize(self.compare(vectors)))

    def pooled(self, output: EncoderOutput, layers: Layers) -> Tensor:
        """(B, D) or (2B, D): what the pool makes of some layers of each sequence."""
        mask = output.attention_mask if self.pool.special_tokens else output.text_mask
        pooler_output = output.pooler_output if self.pool.needs_pooler else None
        return self.pool(self.standardize_tokens(layers(output), mask), mask, pooler_output)


class TokenHead(nn.Module):
    """One prediction for each word, from the hidden states of its word pieces.

    Args:
        subword: which of a word's pieces stand for it: the "first" (BERT), the "last", their "mean", or "first_last",
            both side by side (as in flair).
    """

    kind = "token"

    def __init__(
        self,
        layers: Callable[..., Layers],
        classifier: Callable[..., Classifier],
        encoder: EncoderSpec,
        num_labels: int,
        subword: str = "first",
        dropout: float | None = None,
        standardize: bool = False,
    ):
        super().__init__()
        if subword not in SUBWORDS:
            raise UserError(f"head.subword={subword}: choose from: {', '.join(SUBWORDS)}")
        self.subword = subword
        self.layers = layers(encoder=encoder)
        size = self.layers.size * len(self.pieces)
        self.standardize = standardization(size, standardize)
        self.classifier = build_classifier(classifier, self.kind, size, num_labels, encoder, dropout)
        initialize(self, encoder.initializer_range)

    @property
    def needs(self) -> Needs:
        """What the encoder has to compute for this head."""
        return Needs(frozenset(self.layers.reads))

    @property
    def pieces(self) -> tuple[str, ...]:
        """The rules in PIECES whose vectors stand side by side for a word."""
        return SUBWORDS[self.subword]

    def forward(self, output: EncoderOutput, words: Tensor) -> Tensor:
        """(B, W, C) logits.

        words: (B, W, 2), positions of each word's first piece and of the one behind its last; (0, 0)
            where a row has fewer words.
        """
        tokens = self.layers(output)
        features = [PIECES[piece](tokens, words) for piece in self.pieces]
        return self.classify(torch.cat(features, dim=-1), words[..., 1] > words[..., 0])

    def classify(self, features: Tensor, mask: Tensor) -> Tensor:
        """(B, W, C) logits from the words' features (B, W, D), where mask (B, W) says that there is a word."""
        return self.classifier(self.standardize(features, mask).masked_fill(~mask.unsqueeze(-1), 0), mask)


def at(tokens: Tensor, positions: Tensor) -> Tensor:
    """(B, W, H): the tokens (B, T, H) at positions (B, W)."""
    return tokens.gather(1, positions.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))


def mean_piece(tokens: Tensor, words: Tensor) -> Tensor:
    """(B, W, H): each word's mean over its pieces, summed in float32 or wider."""
    position = torch.arange(tokens.shape[1], device=tokens.device)
    inside = (position >= words[..., :1]) & (position < words[..., 1:])  # (B, W, T)
    values = wide(tokens)
    share = inside.to(values.dtype) / inside.sum(dim=-1, keepdim=True).clamp(min=1)
    return (share @ values).to(tokens.dtype)


# The vectors (B, W, H) that a word's pieces give, of tokens (B, T, H) and words (B, W, 2).
PIECES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "first": lambda tokens, words: at(tokens, words[..., 0]),
    "last": lambda tokens, words: at(tokens, (words[..., 1] - 1).clamp(min=0)),
    "mean": mean_piece,
}
# For each choice of `subword` those that stand side by side for a word.
SUBWORDS = {"first": ("first",), "last": ("last",), "mean": ("mean",), "first_last": ("first", "last")}


def build_classifier(
    classifier: Callable[..., Classifier],
    kind: str,
    size: int,
    num_labels: int,
    encoder: EncoderSpec,
    dropout: float | None,
) -> Classifier:
    """The classifier for what the head's earlier parts give out.

    Raises:
        UserError: it cannot serve this kind of head.
    """
    built = classifier(size=size, num_labels=num_labels, dropout=encoder.dropout if dropout is None else dropout)
    if kind not in built.kinds:
        raise UserError(
            f"head/classifier: {type(built).__name__} reads a sequence of words; a sentence head has one vector"
        )
    return built


def initialize(head: nn.Module, std: float) -> None:
    """BERT's own initialisation for new linear layers: normal weights, zero biases. Draws from torch's
    global generator."""
    for module in head.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
