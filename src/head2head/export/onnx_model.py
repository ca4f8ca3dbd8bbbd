"""`--to onnx`: encoder and head as one graph, with the interface that optimum has for such models."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from head2head.errors import UserError
from head2head.export.classification import configuration
from head2head.export.logits import ONE_PIECE, Logits, check_equal, samples
from head2head.model.heads import BiLstm, TokenHead
from head2head.run.load import LoadedRun

WITHIN = 1e-4  # of the logits
OPSET = 18
FILE = "model.onnx"


def write(run: LoadedRun, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write model.onnx and config.json into a folder, and check that onnxruntime gives the same logits.

    Raises:
        UserError: the head cannot be a graph over plain tensors, or the libraries are missing.
    """
    try:
        import onnx  # noqa: F401 (torch writes the file with it)
        import onnxruntime
    except ImportError:
        raise UserError("--to onnx needs onnx and onnxruntime: pip install 'head2head[export]'") from None
    refuse(run)
    graph = Logits(run.model).eval()
    batches = list(samples(tokenizer, run.model.encoder))
    names = inputs_of(run)
    axes: dict[str, dict[int, str]] = {name: {0: "batch", 1: "sequence"} for name in names}
    axes["logits"] = {0: "batch", 1: "sequence"} if run.task.kind == "token" else {0: "batch"}
    example = {name: batches[-1][name] for name in names}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tracer, about what the check below answers
        # The exporter that traces: a second for a graph for which the one behind `dynamo=True` takes a minute.
        torch.onnx.export(
            graph, (example,), str(folder / FILE), input_names=names, output_names=["logits"], dynamic_axes=axes,
            opset_version=OPSET, dynamo=False,
        )  # fmt: skip
    configuration(run).save_pretrained(folder)
    session = onnxruntime.InferenceSession(str(folder / FILE), providers=["CPUExecutionProvider"])
    check(graph, session, batches, names)


def refuse(run: LoadedRun) -> None:
    """Refuse what is no graph over word pieces.

    Raises:
        UserError: it is not.
    """
    head, label = run.model.head, run.result.head
    if run.task.apart:
        raise UserError(
            f"--to onnx: task {run.task.name} reads the texts of a pair apart; take --to sentence-transformers, whose "
            "vectors are then compared"
        )
    if not isinstance(head, TokenHead):
        return
    if head.classifier.joint:
        raise UserError(
            f"--to onnx: {label}: a crf looks for a sentence's best labels together, which is no graph; use head2head "
            "predict, or train head=ner"
        )
    if isinstance(head.classifier, BiLstm):
        raise UserError(
            f"--to onnx: {label}: a bilstm reads the words one after another, and the graph has word pieces; use "
            "head2head predict, or train head=ner"
        )
    if head.subword not in ONE_PIECE:
        raise UserError(
            f"--to onnx: head.subword={head.subword}: several pieces stand for a word, and the graph has one logit a "
            f"piece; train with head.subword={' or '.join(ONE_PIECE)}"
        )


def inputs_of(run: LoadedRun) -> list[str]:
    """What the graph reads; a mask of the special tokens only where the head leaves these out."""
    names = ["input_ids", "attention_mask"]
    if run.model.encoder.family != "distilbert":
        names.append("token_type_ids")
    if not getattr(getattr(run.model.head, "pool", None), "special_tokens", True):
        names.append("special_tokens_mask")
    return names


@torch.no_grad()
def check(graph: Logits, session: Any, batches: list[dict[str, torch.Tensor]], names: list[str]) -> None:
    """Check what onnxruntime computes against the run.

    Raises:
        UserError: other logits.
    """
    for batch in batches:
        theirs = session.run(["logits"], {name: batch[name].numpy() for name in names})[0]
        check_equal(graph(**batch), torch.from_numpy(theirs), WITHIN, batch, "ONNX model")
