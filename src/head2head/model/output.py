"""What an encoder gives out, under names; and what a head has to know and to say of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from head2head.model.depth import hidden_state_number


@dataclass(frozen=True)
class EncoderSpec:
    """What a head has to know of an encoder to be built.

    hidden_size: width H of every hidden state.
    num_layers: number L of transformer layers (the hidden states are numbered 0, the embeddings, to L).
    dropout: the encoder's `classifier_dropout`, else its `hidden_dropout_prob`.
    initializer_range: standard deviation of a new weight.
    """

    hidden_size: int
    num_layers: int
    dropout: float = 0.1
    initializer_range: float = 0.02

    def layer(self, index: int) -> int:
        """The hidden state's number in 0..L; a negative one counts from the last.

        Raises:
            UserError: there is no such hidden state.
        """
        return hidden_state_number(index, self.num_layers)


@dataclass(frozen=True)
class Needs:
    """What a head reads of the encoder; nothing else is computed or kept.

    layers: numbers of the hidden states (0 = embeddings).
    first_only: no token but the first one is read, and no layer but one. An encoder that can do so then
        computes only that token in this layer.
    """

    layers: frozenset[int]
    pooler: bool = False
    attentions: bool = False
    first_only: bool = False


@dataclass(frozen=True)
class EncoderOutput:
    """The encoder's outputs for a batch of B sequences of T word pieces; where only the first token of each was
    computed, T is 1, in the masks too.

    attention_mask: (B, T), 1 where there is a token.
    special_tokens_mask: (B, T), 1 at [CLS], [SEP] and their kin.
    """

    num_layers: int
    attention_mask: Tensor
    special_tokens_mask: Tensor | None = None
    hidden_states: Mapping[int, Tensor] = field(default_factory=dict)
    pooled: Tensor | None = None
    attention_weights: tuple[Tensor, ...] | None = None

    @property
    def embeddings(self) -> Tensor:
        """(B, T, H): the embedding output, `hidden_states[0]` in transformers."""
        return self.hidden_state(0)

    @property
    def last_hidden_state(self) -> Tensor:
        """(B, T, H): the output of the last layer; TF Hub's `sequence_output`."""
        return self.hidden_state(self.num_layers)

    def hidden_state(self, layer: int) -> Tensor:
        """(B, T, H): the output of one layer; 0 is the embedding output, L the last layer.

        Raises:
            IndexError: not in 0..L (there is no counting from the end here).
            LookupError: in range, but it was not asked for when the encoder ran.
        """
        if not 0 <= layer <= self.num_layers:
            raise IndexError(f"hidden state {layer} of an encoder with hidden states 0 to {self.num_layers}")
        if layer not in self.hidden_states:
            raise LookupError(f"hidden state {layer} was not asked for; computed: {sorted(self.hidden_states)}")
        return self.hidden_states[layer]

    @property
    def pooler_output(self) -> Tensor:
        """(B, H): tanh(W h + b) of the first token's last hidden state h; TF Hub's `pooled_output`.

        Raises:
            LookupError: the encoder ran without its pooler.
        """
        if self.pooled is None:
            raise LookupError("pooler_output was not asked for")
        return self.pooled

    @property
    def attentions(self) -> tuple[Tensor, ...]:
        """L tensors (B, A, T, T), rows summing to 1.

        Raises:
            LookupError: attentions were not asked for.
        """
        if self.attention_weights is None:
            raise LookupError("attentions were not asked for")
        return self.attention_weights

    @property
    def text_mask(self) -> Tensor:
        """(B, T): the attention mask without the special tokens.

        Raises:
            LookupError: the batch came without a special tokens mask.
        """
        if self.special_tokens_mask is None:
            raise LookupError("pooling without special tokens needs a special_tokens_mask in the batch")
        return self.attention_mask * (1 - self.special_tokens_mask)
