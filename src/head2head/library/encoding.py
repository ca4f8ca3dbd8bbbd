"""What an encoder gives out for one text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from head2head.errors import UserError, did_you_mean
from head2head.model.checkpoint import Checkpoint, load_encoder
from head2head.model.encoder import Encoder, NoPooler
from head2head.model.output import EncoderOutput, EncoderSpec, Needs
from head2head.run.configuration import compose, options


@dataclass(frozen=True)
class Encoded:
    """A text and what its encoder makes of it.

    ids: of its word pieces, (T,); pieces: their names; segments: their token_type_ids.
    without_pooler: why there is no pooler_output, where there is none.
    """

    checkpoint: Checkpoint
    spec: EncoderSpec
    ids: list[int]
    pieces: list[str]
    segments: list[int]
    output: EncoderOutput
    without_pooler: str | None


def encode(text: str, pair: str | None = None, encoder: str = "minilm") -> EncoderOutput:
    """All outputs of an encoder for a text, as a batch of one: `last_hidden_state` (1, T, H), `hidden_state(i)`,
    `pooler_output` (1, H), `attentions`.

    Args:
        pair: a second text, read as the second segment.
        encoder: a name under configs/encoder, a hub id or a folder.

    Raises:
        UserError: no such encoder, or the text is empty or too long for it.
    """
    return encoded(text, pair, encoder).output


def encoded(text: str, pair: str | None, encoder_name: str) -> Encoded:
    """As `encode`, with the word pieces.

    Raises:
        UserError: as there.
    """
    if not text.strip():
        raise UserError("the text is empty")
    checkpoint = chosen(encoder_name)
    spec = checkpoint.spec()
    encoder, without_pooler = whole(checkpoint, spec)
    encoder.eval()
    tokenizer = checkpoint.tokenizer()
    found = tokenizer(text, pair, return_tensors="pt", return_special_tokens_mask=True, return_token_type_ids=True)
    length = found["input_ids"].shape[1]
    if length > encoder.max_length:
        raise UserError(f"the text has {length} word pieces; {checkpoint.name} reads at most {encoder.max_length}")
    with torch.no_grad():
        output = encoder(
            found["input_ids"], found["attention_mask"], found["token_type_ids"], found["special_tokens_mask"]
        )
    ids, segments = (found[name][0].tolist() for name in ("input_ids", "token_type_ids"))
    pieces = tokenizer.convert_ids_to_tokens(ids)
    return Encoded(checkpoint, spec, ids, pieces, segments, output, without_pooler)


def overrides(encoder: str) -> list[str]:
    """What chooses an encoder by its name under configs/encoder, its hub id or its folder.

    Raises:
        UserError: it is none of these.
    """
    if encoder in (known := options("encoder")):
        return [f"encoder={encoder}"]
    if "/" not in encoder and not Path(encoder).is_dir():
        raise UserError(f"unknown encoder {encoder!r}; {did_you_mean(encoder, known)}")
    return ["encoder=any", f"encoder.name='{encoder}'"]


def chosen(name: str) -> Checkpoint:
    """The checkpoint of an encoder's name, hub id or folder.

    Raises:
        UserError: no such encoder.
    """
    config = compose(overrides(name))["encoder"]
    return Checkpoint(config["name"], config["revision"], config["config"])


def whole(checkpoint: Checkpoint, spec: EncoderSpec) -> tuple[Encoder, str | None]:
    """The encoder with all its outputs, and why it has no pooler_output, where it has none."""
    everything = Needs(frozenset(range(spec.num_layers + 1)), pooler=True, attentions=True)
    try:
        return load_encoder(checkpoint, everything, attention="eager"), None
    except NoPooler as error:
        needs = Needs(everything.layers, attentions=True)
        return load_encoder(checkpoint, needs, attention="eager"), f"none: {error}"
