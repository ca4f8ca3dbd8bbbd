"""A finished run's model at work: examples in, predictions out, as many at a time as memory is meant to hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from datasets import Dataset

from head2head.data.batching import EvaluationBatches, TokenizedRows
from head2head.data.tokenization import tokenize_some
from head2head.errors import UserError
from head2head.model.build import checkpoint_of
from head2head.model.heads import TokenHead
from head2head.predict.examples import Example
from head2head.predict.predictions import Prediction, SentencePrediction, predictions
from head2head.run.load import LoadedRun
from head2head.run.run import ONE_DEVICE, build_trainer
from head2head.speed import apply as speed

# Of a window, in which rows of like length share batches: examples and characters, at the most.
EXAMPLES = 2048
CHARACTERS = 1 << 22


class Predictor:
    """Predicts with a finished run as `evaluate` does: on one device, in the arithmetic and precision of the run.

    Args:
        run: its model is the predictor's from here on.
    """

    def __init__(self, run: LoadedRun):
        self.run, self.task = run, run.task
        trainer = build_trainer(run.config["trainer"] | ONE_DEVICE | {"enable_progress_bar": False})
        self.device, self.precision = trainer.strategy.root_device, trainer.precision_plugin
        speed.apply(run.model.encoder, self.device, trainer.precision, fast=run.config["speed"] == "fast")
        self.model = run.model
        self.precision.convert_module(self.model).to(self.device).eval()
        self.tokenizer = checkpoint_of(run.config).tokenizer(words=self.task.kind == "token")
        self.context: str = getattr(self.task, "context", "sentence")

    @property
    def joint(self) -> bool:
        """Whether the labels of a sentence are predicted together."""
        head = self.model.head
        return isinstance(head, TokenHead) and bool(head.classifier.joint)

    def predict(self, examples: Iterable[Example]) -> Iterator[Prediction | SentencePrediction]:
        """A prediction for each example, in order, window after window.

        Raises:
            UserError: an example cannot be read, or the model's outputs are not finite.
        """
        for window in windows(examples, whole_documents=self.context == "document"):
            yield from predictions(window, self.logits(window), self.task, self.joint)

    @torch.inference_mode()
    def logits(self, examples: Sequence[Example]) -> np.ndarray:
        """(N, C) float32 of N texts, or of all words of the sentences; NaN for a word that has no word piece.

        Raises:
            UserError: they are not finite.
        """
        words = self.task.kind == "token"
        count = sum(len(example.places) for example in examples) if words else len(examples)
        logits = np.full((count, self.task.num_outputs), np.nan, dtype=np.float32)
        tokenized = tokenize_some(
            self._dataset(examples), self.task.kind, self.tokenizer, self.task.max_length, self.context, self.task.apart
        )
        if not len(tokenized):
            return logits
        rows = TokenizedRows(tokenized, self.task.kind, self.tokenizer.pad_token_id, texts=2 if self.task.apart else 1)
        for step in EvaluationBatches(rows.lengths, self.run.config["evaluation_tokens"]):
            batch = self.precision.convert_input(rows.__getitems__(step)).to(self.device)
            with self.precision.val_step_context():
                found = self.model(batch).float()
            kept = batch.prediction_ids >= 0
            values = found[kept].cpu().numpy()
            if not np.isfinite(values).all():
                raise UserError(f"{self.run.folder}: the model's outputs are not finite; it has not been trained well")
            logits[batch.prediction_ids[kept].cpu().numpy()] = values
        return logits

    def _dataset(self, examples: Sequence[Example]) -> Dataset:
        if self.task.kind == "token":
            return Dataset.from_dict(
                {"tokens": [example.words for example in examples], "document": [e.document for e in examples]}
            )
        columns: dict[str, list] = {"text": [example.text for example in examples]}
        if self.task.has_pairs:
            columns["text_pair"] = [example.text_pair for example in examples]
        return Dataset.from_dict(columns)


def windows(examples: Iterable[Example], whole_documents: bool = False) -> Iterator[list[Example]]:
    """Examples in lists of at most EXAMPLES and about CHARACTERS.

    Args:
        whole_documents: a document's sentences are read together; a longer document is a longer list.
    """
    window: list[Example] = []
    characters = 0
    for example in examples:
        full = len(window) >= EXAMPLES or characters >= CHARACTERS
        if full and not (whole_documents and example.document == window[-1].document):
            yield window
            window, characters = [], 0
        window.append(example)
        characters += len(example.text) + len(example.text_pair or "")
    if window:
        yield window
