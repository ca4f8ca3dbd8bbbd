"""On a GPU: fine-tuning an encoder of BERT base's sizes, beside the Trainer as it is fastest there."""

import json
from collections.abc import Collection
from pathlib import Path

import contestants
from finetuning import rotated
from machine import Units, gflops, say
from sizes import ENCODER, MAX_LENGTH, MODEL, Size

NONE = "none"  # the piece that says that there is no GPU


def speed(size: Size, scratch: Path, done: Collection[str]) -> Units:
    """A round: the GPU's matrix products, then on short texts and on long ones every contestant, each time another one
    first. Where there is no GPU that is said, and nothing is measured.

    Raises:
        RuntimeError: contestants did not see the same real tokens.
    """
    import torch

    gpu = torch.cuda.is_available()
    if not gpu and not size.gpu_encoder:
        yield NONE, {}
        return
    device = "cuda" if gpu else "cpu"
    encoder(size, scratch)
    for number in range(size.rounds):
        if f"products/{number}" not in done:
            squares = {f"{n}x{n}x{n}": gflops(n, n, n, device=device, dtype=torch.bfloat16) for n in size.gpu_squares}
            yield f"products/{number}", squares | {"gpu": torch.cuda.get_device_name() if gpu else "no GPU"}
        for kind in contestants.TEXTS:
            if f"{kind}/{number}" in done:
                continue
            found = {}
            for name in rotated(list(contestants.ON_GPU), number):
                say(f"gpu: {kind}, round {number + 1} of {size.rounds}, {name}")
                path = texts(kind, size, scratch)
                found[name] = contestants.apart(name, kind, size.gpu_rows, path, number, scratch, size.limit)
            if len({one["tokens"] for one in found.values()}) != 1:
                raise RuntimeError(f"{kind}: contestants saw different tokens: {found}")
            yield f"{kind}/{number}", found


def encoder(size: Size, scratch: Path) -> None:
    """A checkpoint of random weights, with the default encoder's tokenizer: what is learned does not matter here."""
    import ours
    import torch
    from transformers import BertConfig, BertModel

    folder = scratch / ENCODER
    if folder.exists():
        return
    tokenizer = ours.Checkpoint(MODEL).tokenizer(words=False)
    torch.manual_seed(0)
    model = BertModel(BertConfig(vocab_size=len(tokenizer), **size.gpu_encoder))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def texts(kind: str, size: Size, scratch: Path) -> Path:
    """CoLA's texts, as they are or as many behind each other as fill MAX_LENGTH word pieces: a file for the Trainer,
    and beside it those of a `table` task."""
    import ours

    path = scratch / f"{kind}.json"
    if path.exists():
        return path
    sentences = json.loads(ours.write_rows("cola", size.gpu_rows, scratch).read_text())
    rows = {"text": sentences["text"], "label": sentences["label"]}
    if kind == "long":
        count = len(rows["text"])
        rows["text"] = [" ".join(rows["text"][(i + j) % count] for j in range(MAX_LENGTH)) for i in range(count)]
    lines = [json.dumps({"text": text, "label": label}) for text, label in zip(*rows.values(), strict=True)]
    (scratch / f"{kind}.jsonl").write_text("\n".join(lines) + "\n")
    (scratch / f"{kind}-dev.jsonl").write_text("\n".join(lines[:64]) + "\n")
    path.write_text(json.dumps(rows))
    return path
