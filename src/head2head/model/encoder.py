"""BertModel, or another AutoModel encoder, behind one dataclass with named accessors."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers.masking_utils import create_bidirectional_mask

from head2head.errors import UserError
from head2head.model.output import EncoderOutput, EncoderSpec, Needs

# Families whose layers are a plain stack in `encoder.layer` or `transformer.layer`: layers above
# the highest one that is read can be dropped without changing those below.
STACKED = {"bert", "roberta", "xlm-roberta", "camembert", "electra", "distilbert"}

# Families that number positions from behind the padding index, so that the first ones are never used.
OFFSET_POSITIONS = {"roberta", "xlm-roberta", "camembert"}


class NoPooler(UserError):
    """The encoder has no pooler, or none with trained weights, and a pooler was asked for."""


def first_token(mask: Tensor) -> Tensor:
    """(B,): position of the first unmasked token of each row; 0 where there is none."""
    return mask.to(torch.uint8).argmax(dim=1)


def cut_to(position: Tensor, mask: Tensor) -> Tensor:
    """(B, 1): a mask (B, T) at one position (B,) of each row."""
    return mask.gather(1, position.unsqueeze(1))


def spec_of(config: Any) -> EncoderSpec:
    """Sizes from a transformers configuration, under the names its family uses.

    Raises:
        UserError: it is not an encoder with absolute positions, or its configuration is not complete.
    """
    family = getattr(config, "model_type", None) or "such"
    sizes = ("hidden_size", "num_hidden_layers", "max_position_embeddings")
    missing = [name for name in sizes if (getattr(config, name, None) or 0) < 1]  # XLNet's "no limit" is -1
    if missing:
        raise UserError(
            f"encoder: {family} models cannot be used: the configuration has no {' and no '.join(missing)}; "
            "take a BERT-like encoder"
        )
    if getattr(config, "is_encoder_decoder", False):
        raise UserError(f"encoder: {family} models are encoder-decoders; take a BERT-like encoder")
    dropout: Any = getattr(config, "classifier_dropout", None)
    if dropout is None:
        dropout = getattr(config, "hidden_dropout_prob", getattr(config, "dropout", 0.1))
    return EncoderSpec(
        config.hidden_size, config.num_hidden_layers, dropout, getattr(config, "initializer_range", 0.02)
    )


class LayerRunner(Protocol):
    """What computes some of an encoder's layers in place of their own forward()."""

    def __call__(
        self, layers: Sequence[nn.Module], state: Tensor, attention_mask: Tensor, first: int, wanted: Collection[int]
    ) -> dict[int, Tensor]:
        """Hidden states (B, T, H) by number: those in `wanted` and that of the last layer it has computed, which is the
        last one given or one below; the layers above run as usual. Empty where it computes none.

        Args:
            layers: the encoder's, beginning with the one that reads `state`.
            state: (B, T, H).
            attention_mask: (B, T). What stands at padding is not read.
            first: number of the first layer's output.
            wanted: numbers of the hidden states that are read.
        """
        ...


class Encoder(nn.Module):
    """An encoder that computes and keeps only what it was asked for.

    Layers above the highest one that is read are dropped; the pooler is loaded only for a head that
    reads `pooler_output`, since an unused one breaks distributed training. The pooler stands beside
    the model and is applied to the first *unmasked* token, so that left padding gives the same result.

    Two things may be exchanged from outside: `runner`, and the last layer for one that computes the first unmasked
    token alone, (B, 1, H) from (B, T, H), where the head reads no other; the output's masks are then of that token.

    Args:
        model: a transformers encoder, float32.
        needs: what forward() has to return.
        frozen: True freezes everything; k > 0 the embeddings and the first k layers; False or 0 nothing.
            Frozen parts stay in eval mode (no dropout) and get no gradient.

    Attributes:
        checkpoint_sha256: hash of the weights as they were loaded, whatever is kept of them.
        runner: what is asked to compute layers while the encoder trains, from the bottom or from known states on.
    """

    checkpoint_sha256 = ""
    runner: LayerRunner | None = None

    def __init__(self, model: Any, needs: Needs, frozen: bool | int = False):
        super().__init__()
        self.spec = spec_of(model.config)
        self.needs = needs
        self.family: str = model.config.model_type
        self.max_length: int = model.config.max_position_embeddings
        if self.family in OFFSET_POSITIONS:
            self.max_length -= model.config.pad_token_id + 1
        # Number of layers that are computed.
        self.depth = self.spec.num_layers
        self.pooler: Any = getattr(model, "pooler", None)
        if hasattr(model, "pooler"):
            model.pooler = None
        if needs.pooler:
            if not hasattr(self.pooler, "dense"):  # none, or not BERT's: ALBERT's lacks the tanh
                raise NoPooler(f"head: {self.family} encoders have no pooler like BERT's; choose another pool")
        else:
            self.pooler = None
            if self.family in STACKED and not needs.attentions:
                self.depth = max(needs.layers, default=0)
                del layer_stack(model)[self.depth :]
        self.model = model
        self.frozen = frozen
        self._freeze()
        self.train()  # checkpoints come in eval mode, and Lightning keeps the mode that it finds

    def _frozen_parts(self) -> list[nn.Module]:
        if self.frozen is True:
            return [self]
        if not self.frozen:
            return []
        if self.family not in STACKED:
            raise UserError(f"encoder.frozen={self.frozen}: {self.family} encoders can only be frozen whole (true)")
        if not isinstance(self.frozen, int) or not 0 < self.frozen <= self.spec.num_layers:
            raise UserError(f"encoder.frozen={self.frozen}: true, false, or a layer from 1 to {self.spec.num_layers}")
        return [*self.embedding_parts, *layer_stack(self.model)[: self.frozen]]

    def _freeze(self) -> None:
        for part in self._frozen_parts():
            part.requires_grad_(False)

    def train(self, mode: bool = True) -> "Encoder":
        """Frozen parts stay in eval mode: features do not flicker, whatever the trainer asks for."""
        super().train(mode)
        for part in self._frozen_parts():
            for module in part.modules():
                module.training = False
        return self

    @property
    def embedding_parts(self) -> list[nn.Module]:
        """What lies below the first layer of a stacked encoder: the embeddings, and ELECTRA's projection of them."""
        names = ("embeddings", "embeddings_project")
        return [getattr(self.model, name) for name in names if hasattr(self.model, name)]

    @property
    def layers(self) -> list[nn.Module]:
        """The transformer layers from the bottom, those that are computed."""
        return list(layer_stack(self.model)) if self.family in STACKED else []

    @property
    def settled(self) -> frozenset[int]:
        """Numbers of the hidden states that no training changes and from which all the rest can be computed: the one
        that the encoder is frozen up to (the highest one computed, if that is lower), and those under it that are read.
        Empty where it is not frozen up to a layer, and where attentions are read, for which every layer has to run."""
        if isinstance(self.frozen, bool) or not self.frozen or self.needs.attentions:
            return frozenset()
        if getattr(self.model.config, "is_decoder", False):  # its masks are others than `_above` makes
            return frozenset()
        top = min(self.frozen, self.depth)
        return frozenset({top, *(layer for layer in self.needs.layers if layer < top)})

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor | None = None,
        special_tokens_mask: Tensor | None = None,
        known: Mapping[int, Tensor] | None = None,
    ) -> EncoderOutput:
        """Encode a batch; every argument is (B, T).

        Padding may stand on either side. Rows without any token are allowed.

        Args:
            known: (B, T, H) for each number in `settled`, from an earlier pass: the layers that give them are not run.
                What stands at padding is not read.
        """
        # Attention over no token at all is NaN; a row without tokens attends to its padding, which no head reads.
        empty = ~attention_mask.any(dim=1, keepdim=True)
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask.masked_fill(empty, 1)}
        if self.family != "distilbert" and token_type_ids is not None:
            inputs["token_type_ids"] = token_type_ids
        if self.family in {"bert", "electra"}:
            # The library counts positions from the left edge, which is wrong under left padding.
            inputs["position_ids"] = (attention_mask.long().cumsum(dim=1) - 1).clamp(min=0)
        runner = self.runner if self.training else None
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.frozen is not True):
            if runner is not None and not known:
                known = {0: self._embedded(inputs)}
            if known:
                states = dict(known)
                if runner is not None:
                    start = max(known)
                    states |= runner(self.layers[start:], known[start], attention_mask, start + 1, self.needs.layers)
                states, attentions = self._above(states, inputs["attention_mask"]), None
            else:
                states, attentions = self._whole(inputs)
            top, first = states[self.depth], first_token(attention_mask)
            if top.shape[1] < attention_mask.shape[1]:  # the last layer has computed the first token alone
                attention_mask = cut_to(first, attention_mask)
                if special_tokens_mask is not None:
                    special_tokens_mask = cut_to(first, special_tokens_mask)
                first = torch.zeros_like(first)
            pooled = None
            if self.pooler is not None:
                pooled = self.pooler(top[torch.arange(top.shape[0], device=top.device), first].unsqueeze(1))
        states = {i: states[i] for i in self.needs.layers}
        return EncoderOutput(self.spec.num_layers, attention_mask, special_tokens_mask, states, pooled, attentions)

    def _embedded(self, inputs: Mapping[str, Any]) -> Tensor:
        """(B, T, H): what a BertModel's first layer reads."""
        return self.model.embeddings(**{name: value for name, value in inputs.items() if name != "attention_mask"})

    def _whole(self, inputs: Mapping[str, Tensor]) -> tuple[dict[int, Tensor], tuple[Tensor, ...] | None]:
        """The hidden states that are read and the last one; and the attentions, where they are read."""
        # Given as numbers, the other states are let go as soon as the next layer has read them.
        several = sorted(self.needs.layers) if self.needs.layers != {self.depth} else False
        output = self.model(
            **inputs, output_hidden_states=several, output_attentions=self.needs.attentions, return_dict=True
        )
        states = {i: output.hidden_states[i] for i in self.needs.layers} if several else {}
        states[self.depth] = output.last_hidden_state
        if not self.needs.attentions:
            return states, None
        attentions = tuple(output.attentions or ())
        if len(attentions) != self.spec.num_layers:
            raise LookupError('no attentions came back: load the encoder with attention="eager"')
        return states, attentions

    def _above(self, known: Mapping[int, Tensor], attention_mask: Tensor) -> dict[int, Tensor]:
        """The known hidden states, those above them that are read, and the last one."""
        start, states = max(known), dict(known)
        state, layers = states[start], self.layers[start:]
        mask = create_bidirectional_mask(self.model.config, state, attention_mask) if layers else None
        for number, layer in enumerate(layers, start + 1):
            state = layer(state, mask)
            if number in self.needs.layers or number == self.depth:
                states[number] = state
        return states


def layer_stack(model: Any) -> nn.ModuleList:
    """The list of transformer layers of a BERT-like model."""
    return (model.transformer if model.config.model_type == "distilbert" else model.encoder).layer
