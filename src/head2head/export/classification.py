"""`--to transformers`: the classes of transformers that compute exactly what a run computes."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoModelForTokenClassification,
    BertForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from head2head.errors import UserError
from head2head.export.logits import Logits, check_equal, samples
from head2head.model.heads import Cls, Layer, Linear, Mlp, Pooler, SentenceHead, TokenHead
from head2head.run.load import LoadedRun

WITHIN = 1e-5  # of the run's logits
# Families whose class for tokens is the encoder, dropout and one linear layer called `classifier`.
FOR_TOKENS = frozenset({"bert", "roberta", "xlm-roberta", "camembert", "electra", "distilbert"})


def write(run: LoadedRun, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Save the run's model into a folder, and check that what transformers loads from there gives the same logits.

    Raises:
        UserError: no class of transformers computes what this run computes.
    """
    model = run.model
    built = for_tokens(run, model.head) if isinstance(model.head, TokenHead) else for_sequences(run, model.head)
    built.eval().save_pretrained(folder)
    check(run, tokenizer, type(built), folder)


def for_sequences(run: LoadedRun, head: SentenceHead) -> PreTrainedModel:
    """BertForSequenceClassification: a dense layer and tanh on the first token, then a linear layer. That is `pooler`,
    and it is `cls` with the mlp classifier, whose dense layer then stands in the pooler's place.

    Raises:
        UserError: the head is another.
    """
    label, encoder = run.result.head, run.model.encoder
    if encoder.family != "bert":
        raise UserError(
            f"--to transformers: {encoder.family} encoders have another classifier in transformers than head2head's; "
            "take --to onnx, or --to sentence-transformers for the vectors"
        )
    classifier: Any = head.classifier
    if run.task.apart or type(head.layers) is not Layer:
        raise UserError(_refusal(label, run))
    if type(head.pool) is Pooler and type(classifier) is Linear:
        dense = encoder.pooler.dense
    elif type(head.pool) is Cls and type(classifier) is Mlp and classifier.dense.out_features == head.layers.size:
        dense = classifier.dense
    else:
        raise UserError(_refusal(label, run))
    built = BertForSequenceClassification(configuration(run))
    state = encoder.model.state_dict() | {f"pooler.dense.{name}": value for name, value in dense.state_dict().items()}
    built.bert.load_state_dict(state)
    built.classifier.load_state_dict(classifier.output.state_dict())
    return built


def for_tokens(run: LoadedRun, head: TokenHead) -> PreTrainedModel:
    """The family's class for token classification: a linear layer on a hidden state of each word piece. A word's label
    is that of its first piece (`aggregation_strategy="first"` in a pipeline).

    Raises:
        UserError: the head is another.
    """
    encoder = run.model.encoder
    if type(head.classifier) is not Linear or type(head.layers) is not Layer or head.subword != "first":
        raise UserError(_refusal(run.result.head, run))
    if encoder.family not in FOR_TOKENS:
        raise UserError(f"--to transformers: not known of {encoder.family} encoders; take --to onnx")
    built: Any = AutoModelForTokenClassification.from_config(configuration(run))
    getattr(built, built.base_model_prefix).load_state_dict(encoder.model.state_dict())
    classifier: Any = head.classifier
    built.classifier.load_state_dict(classifier.output.state_dict())
    return built


def configuration(run: LoadedRun) -> Any:
    """The encoder's configuration with as many layers as the run computes, and the names of its labels."""
    encoder = run.model.encoder
    config = copy.deepcopy(encoder.model.config)
    if encoder.layers or encoder.depth == 0:
        config.num_hidden_layers = encoder.depth
    labels = list(run.task.labels) or ["value"]
    config.num_labels = len(labels)
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: number for number, label in config.id2label.items()}
    if run.task.kind == "sentence":
        config.problem_type = "regression" if run.task.regression else "single_label_classification"
    return config


def _refusal(label: str, run: LoadedRun) -> str:
    """Why a head is none of transformers', and what to take instead."""
    if run.task.kind == "token":
        return (
            f"--to transformers: {label}: BertForTokenClassification is a linear layer on one hidden state, that of a "
            "word's first piece (head=ner); take --to onnx where the classifier is linear or mlp, or keep the run and "
            "use head2head predict"
        )
    return (
        f"--to transformers: {label}: BertForSequenceClassification reads pooler_output (head=pooler, or head=cls "
        "head/classifier=mlp), texts of a pair together; take --to onnx, or --to sentence-transformers for the vectors"
    )


@torch.no_grad()
def check(run: LoadedRun, tokenizer: PreTrainedTokenizerBase, kind: type[nn.Module], folder: Path) -> None:
    """Check what transformers loads from the folder against the run.

    Raises:
        UserError: it gives other logits.
    """
    loaded: Any = kind.from_pretrained(folder, dtype=torch.float32)  # type: ignore[attr-defined]
    loaded.eval()
    ours = Logits(run.model).eval()
    for batch in samples(tokenizer, run.model.encoder):
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
        if run.model.encoder.family != "distilbert":
            inputs["token_type_ids"] = batch["token_type_ids"]
        check_equal(ours(**batch), loaded(**inputs).logits, WITHIN, batch, kind.__name__)
