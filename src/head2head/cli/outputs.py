"""What an encoder gives out for one text: its four outputs by both of their names, and every pool of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.errors import InstantiationException
from rich.console import Console
from rich.table import Table
from rich.text import Text
from safetensors.torch import save
from torch import Tensor

from head2head.cli.output_figures import Looked, figures
from head2head.errors import UserError
from head2head.files import read_yaml, write_atomically
from head2head.library.encoding import encoded
from head2head.model.checkpoint import Checkpoint
from head2head.model.heads.pooling import Attention, Pool
from head2head.model.output import EncoderOutput, EncoderSpec
from head2head.model.trusted import instantiate
from head2head.run.configuration import description, options

# What one has to know of an encoder's outputs that their shapes do not say.
CAVEATS = {
    "sentence-transformers/all-MiniLM-L6-v2": (
        "its pooler was not trained by its last objective: all-MiniLM-L6-v2 was distilled, then tuned with mean "
        "pooling on single texts, which pooler_output had no part in; pairs read together are new to it"
    )
}


@dataclass(frozen=True)
class Pooled:
    """What a pool makes of the last layer: (1, D); a pool that learns is as before training."""

    pool: Pool
    mask: Tensor
    vector: Tensor
    what: str


@dataclass(frozen=True)
class Reading:
    """One text, read by an encoder with all its outputs.

    segments, pieces, ids: of each of the T word pieces its token_type_id, itself, and its number.
    without_pooler: why the encoder has no pooler_output, where it has none.
    """

    checkpoint: Checkpoint
    spec: EncoderSpec
    text: str
    pair: str | None
    pieces: list[str]
    ids: list[int]
    segments: list[int]
    output: EncoderOutput
    without_pooler: str | None
    pools: dict[str, Pooled]

    @property
    def states(self) -> list[Tensor]:
        """L + 1 hidden states (1, T, H), the embeddings first."""
        return [self.output.hidden_state(i) for i in range(self.spec.num_layers + 1)]


def read(text: str, pair: str | None, encoder_name: str) -> Reading:
    """Let an encoder read a text.

    Args:
        encoder_name: a name under configs/encoder, a hub id or a folder.

    Raises:
        UserError: no such encoder, or the text is empty or too long for it.
    """
    found = encoded(text, pair, encoder_name)
    with torch.no_grad():
        pools = pooled(found.output, found.spec)
    return Reading(
        found.checkpoint, found.spec, text, pair, found.pieces, found.ids, found.segments, found.output,
        found.without_pooler, pools,
    )  # fmt: skip


def describe(text: str, pair: str | None, encoder_name: str) -> dict[str, Any]:
    """`described` of what an encoder reads. Raises as `read`."""
    return described(read(text, pair, encoder_name))


def described(reading: Reading) -> dict[str, Any]:
    """Word pieces, the encoder's outputs and pools of one text, as plain data."""
    output, states, layers = reading.output, reading.states, reading.spec.num_layers
    pooler = output.pooled
    names, cosines = cosines_of(reading)
    return {
        "encoder": reading.checkpoint.name,
        "text": reading.text,
        "pair": reading.pair,
        "word_pieces": reading.pieces,
        "ids": reading.ids,
        "segments": reading.segments,
        "outputs": {
            "last_hidden_state": summary(output.last_hidden_state)
            | {"tf_hub": "sequence_output", "what": "one vector a word piece, from the last layer; what NER reads"},
            "pooler_output": (summary(pooler) if pooler is not None else {"shape": None, "why": reading.without_pooler})
            | {"tf_hub": "pooled_output, default", "what": "tanh(W h[CLS] + b); not the [CLS] hidden state"},
            "hidden_states": {
                "shapes": [list(state.shape) for state in states],
                "tf_hub": f"encoder_outputs (entries 1 to {layers}: TF leaves the embeddings out)",
                "what": f"{len(states)}: the embedding output, then each of the {layers} layers",
                "norms": [round(float(state.norm(dim=-1).mean()), 4) for state in states],
            },
            "attentions": {
                "shapes": [list(attention.shape) for attention in output.attentions],
                "tf_hub": "(not exported)",
                "what": f"{len(output.attentions)}, one a layer: (batch, heads, from, to); rows sum to 1",
            },
        },
        "notes": [CAVEATS[reading.checkpoint.name]] if reading.checkpoint.name in CAVEATS else [],
        "pools": {name: summary(found.vector) | {"what": found.what} for name, found in reading.pools.items()},
        "max_taken_from": maxima(reading).round(4).tolist(),
        "attention_pool_weights": attention_weights(reading).round(4).tolist(),
        "cosines": {"pools": names, "values": cosines.round(4).tolist()},
    }


def maxima(reading: Reading) -> np.ndarray:
    """(T,) of each word piece the share of the last layer's dimensions that are largest in it: what `max` takes."""
    states, mask = reading.output.last_hidden_state[0], reading.pools["max"].mask[0].bool()
    winners = states.masked_fill(~mask.unsqueeze(-1), torch.finfo(states.dtype).min).argmax(dim=0)
    return (torch.bincount(winners, minlength=len(states)).double() / states.shape[1]).numpy()


def attention_weights(reading: Reading) -> np.ndarray:
    """(T,) what the attention pool weighs each word piece, before training."""
    found = reading.pools["attention"]
    assert isinstance(found.pool, Attention)
    with torch.no_grad():
        return found.pool.weights(reading.output.last_hidden_state, found.mask)[0].double().numpy()


def cosines_of(reading: Reading) -> tuple[list[str], np.ndarray]:
    """The pools whose vectors are as wide as a hidden state, and the (P, P) cosines between them."""
    names = [name for name, found in reading.pools.items() if found.vector.shape[-1] == reading.spec.hidden_size]
    vectors = torch.nn.functional.normalize(torch.cat([reading.pools[name].vector for name in names]).double(), dim=-1)
    return names, (vectors @ vectors.T).numpy()


def draw(reading: Reading, folder: Path) -> list[Path]:
    """Draw what was read into a folder; returns the files, .svg and .png.

    Raises:
        UserError: the folder cannot be written.
    """
    names, cosines = cosines_of(reading)
    looked = Looked(
        reading.checkpoint.name,
        reading.pieces,
        torch.stack(reading.states)[:, 0].double().numpy(),
        torch.stack(reading.output.attentions)[:, 0].double().numpy(),
        maxima(reading),
        attention_weights(reading),
        names,
        cosines,
    )
    found = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for plot in figures(looked):
            for path, content in ((folder / f"{plot.name}.svg", plot.svg()), (folder / f"{plot.name}.png", plot.png())):
                write_atomically(path, content)
                found.append(path)
    except OSError as error:
        raise UserError(f"--plot {folder}: cannot be written: {error.strerror}") from None
    return found


def write_tensors(reading: Reading, path: Path) -> None:
    """Write the word pieces' numbers, the four outputs and the pools' vectors as safetensors: `hidden_states.0` (the
    embeddings) to `hidden_states.L`, `attentions.0` to `attentions.L-1` (of layer 1 to L), `pools.NAME`.

    Raises:
        UserError: it cannot be written.
    """
    output = reading.output
    tensors = {
        "input_ids": torch.tensor([reading.ids]),
        "token_type_ids": torch.tensor([reading.segments]),
        "attention_mask": output.attention_mask,
        "last_hidden_state": output.last_hidden_state,
        **{f"hidden_states.{number}": state for number, state in enumerate(reading.states)},
        **{f"attentions.{number}": attention for number, attention in enumerate(output.attentions)},
        **{f"pools.{name}": found.vector for name, found in reading.pools.items()},
    }
    for name, tensor in (("special_tokens_mask", output.special_tokens_mask), ("pooler_output", output.pooled)):
        if tensor is not None:
            tensors[name] = tensor
    metadata = {"encoder": reading.checkpoint.name, "text": reading.text, "pair": reading.pair or ""}
    own_memory = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
    try:
        write_atomically(path, save(own_memory, metadata))
    except OSError as error:
        raise UserError(f"--tensors {path}: cannot be written: {error.strerror}") from None


def pooled(output: EncoderOutput, spec: EncoderSpec) -> dict[str, Pooled]:
    """What every pool under configs/head/pool, the user's own included, makes of the last layer.

    Raises:
        UserError: a pool's file does not describe one.
    """
    found = {}
    for name, path in options("head/pool").items():
        pool = build_pool(path, spec.hidden_size)
        if pool.needs_pooler and output.pooled is None:
            continue
        mask = output.attention_mask if pool.special_tokens else output.text_mask
        learned = any(True for _ in pool.parameters())
        what = f"{description(path)} (learned; here before training)" if learned else description(path)
        found[name] = Pooled(pool, mask, pool(output.last_hidden_state, mask, output.pooled), what.strip())
    return found


def build_pool(path: Path, size: int) -> Pool:
    """The pool that a file describes, in eval mode; what is learned in it is drawn from seed 0.

    Raises:
        UserError: it cannot be built.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            pool = instantiate(read_yaml(path), _convert_="all")(size=size)
        except (InstantiationException, UserError, TypeError, ValueError) as error:
            raise UserError(f"{path}: not a pool: {' '.join(str(error).split())}") from error
    if not isinstance(pool, Pool):
        raise UserError(
            f"{path}: not a pool: {type(pool).__name__} is no subclass of head2head.model.heads.pooling.Pool"
        )
    return pool.eval()


def summary(tensor: Tensor) -> dict[str, Any]:
    """Shape, norm of the first row and its first values."""
    row = tensor.reshape(-1, tensor.shape[-1])[0]
    return {
        "shape": list(tensor.shape),
        "norm": round(float(row.norm()), 4),
        "first_values": [round(float(v), 4) for v in row[:4]],
    }


def show(description: dict[str, Any], as_json: bool) -> None:
    """Print a description, for people or as JSON."""
    if as_json:
        print(json.dumps(description, ensure_ascii=False, indent=2))
        return
    console = Console()
    pieces, ids, found = description["word_pieces"], description["ids"], description["outputs"]
    console.print(f"[bold]{description['encoder']}[/bold]: {len(pieces)} word pieces", highlight=False)
    for segment in sorted(set(description["segments"])):
        numbered = "  ".join(
            f"{piece}·{number}"
            for piece, number, of in zip(pieces, ids, description["segments"], strict=True)
            if of == segment
        )
        console.print(f"  segment {segment}:  {numbered}", markup=False, highlight=False)
    table = Table("output", "shape", "TF Hub name", "what it is", title="\nThe encoder's outputs", title_justify="left")
    for name, output in found.items():
        if "shapes" in output:
            shapes = [f"({', '.join(map(str, shape))})" for shape in output["shapes"]]
            shape = f"{len(shapes)} x {shapes[0]}"
        else:
            shape = f"({', '.join(map(str, output['shape']))})" if output["shape"] else output["why"]
        table.add_row(name, shape, output["tf_hub"], output["what"])
    console.print(table)
    listed = Table("hidden state", "shape", "mean norm", title="\nHidden states", title_justify="left")
    states = found["hidden_states"]
    for i, (shape, norm) in enumerate(zip(states["shapes"], states["norms"], strict=True)):
        listed.add_row(f"{i} {'(embeddings)' if i == 0 else ''}", f"({', '.join(map(str, shape))})", f"{norm:.2f}")
    console.print(listed)
    pools = Table("pool", "shape", "norm", "first values", "what it is", title="\nPools", title_justify="left")
    for name, pool in description["pools"].items():
        values = " ".join(f"{v:+.3f}" for v in pool["first_values"])
        pools.add_row(name, f"({', '.join(map(str, pool['shape']))})", f"{pool['norm']:.2f}", values, pool["what"])
    console.print(pools)
    shares = Table("word piece", "max", "attention", title="\nWhat pools take of each word piece", title_justify="left")
    taken = zip(pieces, description["max_taken_from"], description["attention_pool_weights"], strict=True)
    for piece, share, weight in taken:
        shares.add_row(Text(piece), f"{100 * share:.1f} %", f"{100 * weight:.1f} %")
    console.print(shares)
    console.print(
        "max: dimensions whose largest value is there; attention: its weight, before training", highlight=False
    )
    for note in description["notes"]:
        console.print(f"{description['encoder']}: {note}", markup=False, highlight=False)
