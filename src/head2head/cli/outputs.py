"""What an encoder gives out for one text: its four outputs by both of their names, and every pool of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from hydra.errors import InstantiationException
from rich.console import Console
from rich.table import Table
from torch import Tensor

from head2head.errors import UserError
from head2head.files import read_yaml
from head2head.model.checkpoint import Checkpoint, load_encoder
from head2head.model.encoder import Encoder, NoPooler
from head2head.model.heads.pooling import Pool
from head2head.model.output import EncoderOutput, EncoderSpec, Needs
from head2head.model.trusted import instantiate
from head2head.run.configuration import compose, description, options


def describe(text: str, pair: str | None, encoder_name: str) -> dict[str, Any]:
    """Word pieces, the encoder's outputs and pools of one text, as plain data.

    Args:
        encoder_name: a name under configs/encoder, a hub id or a folder.

    Raises:
        UserError: no such encoder, or the text is empty or too long for it.
    """
    if not text.strip():
        raise UserError("the text is empty")
    checkpoint = chosen(encoder_name)
    spec = checkpoint.spec()
    encoder, without_pooler = whole(checkpoint, spec)
    encoder.eval()
    tokenizer = checkpoint.tokenizer()
    encoded = tokenizer(text, pair, return_tensors="pt", return_special_tokens_mask=True, return_token_type_ids=True)
    length = encoded["input_ids"].shape[1]
    if length > encoder.max_length:
        raise UserError(f"the text has {length} word pieces; {checkpoint.name} reads at most {encoder.max_length}")
    with torch.no_grad():
        output = encoder(
            encoded["input_ids"], encoded["attention_mask"], encoded["token_type_ids"], encoded["special_tokens_mask"]
        )
        pooler = output.pooled
        pools = pooled(output, spec)
    ids = encoded["input_ids"][0].tolist()
    states = [output.hidden_state(i) for i in range(spec.num_layers + 1)]
    return {
        "encoder": checkpoint.name,
        "text": text,
        "pair": pair,
        "word_pieces": tokenizer.convert_ids_to_tokens(ids),
        "ids": ids,
        "outputs": {
            "last_hidden_state": summary(output.last_hidden_state)
            | {"tf_hub": "sequence_output", "what": "one vector a word piece, from the last layer; what NER reads"},
            "pooler_output": (summary(pooler) if pooler is not None else {"shape": None, "why": without_pooler})
            | {"tf_hub": "pooled_output, default", "what": "tanh(W h[CLS] + b); not the [CLS] hidden state"},
            "hidden_states": {
                "shapes": [list(state.shape) for state in states],
                "tf_hub": f"encoder_outputs (entries 1 to {spec.num_layers}: TF leaves the embeddings out)",
                "what": f"{len(states)}: the embedding output, then each of the {spec.num_layers} layers",
                "norms": [round(float(state.norm(dim=-1).mean()), 4) for state in states],
            },
            "attentions": {
                "shapes": [list(attention.shape) for attention in output.attentions],
                "tf_hub": "(not exported)",
                "what": f"{len(output.attentions)}, one a layer: (batch, heads, from, to); rows sum to 1",
            },
        },
        "pools": pools,
    }


def chosen(name: str) -> Checkpoint:
    """The checkpoint of an encoder's name, hub id or folder.

    Raises:
        UserError: no such encoder.
    """
    named = name in options("encoder")
    if not named and "/" not in name and not Path(name).is_dir():
        compose([f"encoder={name}"])  # says which names are near
    config = compose([f"encoder={name}"] if named else ["encoder=any", f"encoder.name='{name}'"])["encoder"]
    return Checkpoint(config["name"], config["revision"], config["config"])


def whole(checkpoint: Checkpoint, spec: EncoderSpec) -> tuple[Encoder, str | None]:
    """The encoder with all its outputs, and why it has no pooler_output, where it has none."""
    everything = Needs(frozenset(range(spec.num_layers + 1)), pooler=True, attentions=True)
    try:
        return load_encoder(checkpoint, everything, attention="eager"), None
    except NoPooler as error:
        needs = Needs(everything.layers, attentions=True)
        return load_encoder(checkpoint, needs, attention="eager"), f"none: {error}"


def pooled(output: EncoderOutput, spec: EncoderSpec) -> dict[str, Any]:
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
        found[name] = summary(pool(output.last_hidden_state, mask, output.pooled)) | {"what": what.strip()}
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
    numbered = "  ".join(f"{piece}·{number}" for piece, number in zip(pieces, ids, strict=True))
    console.print(f"  {numbered}", markup=False, highlight=False)
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
