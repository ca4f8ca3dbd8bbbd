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
from head2head.library.encoding import encoded
from head2head.model.heads.pooling import Pool
from head2head.model.output import EncoderOutput, EncoderSpec
from head2head.model.trusted import instantiate
from head2head.run.configuration import description, options


def describe(text: str, pair: str | None, encoder_name: str) -> dict[str, Any]:
    """Word pieces, the encoder's outputs and pools of one text, as plain data.

    Args:
        encoder_name: a name under configs/encoder, a hub id or a folder.

    Raises:
        UserError: no such encoder, or the text is empty or too long for it.
    """
    found = encoded(text, pair, encoder_name)
    checkpoint, spec, output, ids = found.checkpoint, found.spec, found.output, found.ids
    pooler = output.pooled
    with torch.no_grad():
        pools = pooled(output, spec)
    states = [output.hidden_state(i) for i in range(spec.num_layers + 1)]
    return {
        "encoder": checkpoint.name,
        "text": text,
        "pair": pair,
        "word_pieces": found.pieces,
        "ids": ids,
        "outputs": {
            "last_hidden_state": summary(output.last_hidden_state)
            | {"tf_hub": "sequence_output", "what": "one vector a word piece, from the last layer; what NER reads"},
            "pooler_output": (summary(pooler) if pooler is not None else {"shape": None, "why": found.without_pooler})
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
