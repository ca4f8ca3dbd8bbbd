"""A head on an encoder: trained on two lists, or loaded from a run's folder, and then asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from head2head.errors import UserError
from head2head.frozen.dispatch import run_one
from head2head.library.encoding import overrides
from head2head.library.lists import DATA, Part, are_values, written
from head2head.model import trusted
from head2head.model.finetuner import FineTuner
from head2head.predict.examples import Example, of_texts
from head2head.predict.predictions import SentencePrediction, softmax
from head2head.predict.predictor import Predictor, windows
from head2head.run.configuration import check_names, compose
from head2head.run.load import load_run
from head2head.run.result import Result
from head2head.run.run import quiet

Texts = Sequence[str] | Sequence[Sequence[str]]


class Model:
    """A head on an encoder, to be fitted. For heads on words (`head="ner"`), a text is a list of words and its label a
    list of tags.

    Args:
        head: a name under configs/head: pooler, cls, mean, max, ...
        encoder: a name under configs/encoder, a hub id or a folder.
        settings: further ones as on the command line: ("trainer.max_epochs=1", "optimizer.lr=1e-4").

    Attributes:
        result: of the run, once fitted or loaded: scores, seconds, versions; see docs/results.md.
    """

    def __init__(self, head: str = "mean", encoder: str = "minilm", settings: Sequence[str] = ()):
        self._typed = [f"head={head}", *overrides(encoder), *settings]
        self._predictor: Predictor | None = None

    def fit(
        self,
        texts: Texts,
        labels: Sequence[Any],
        pairs: Sequence[str] | None = None,
        validation: tuple[Any, ...] | None = None,
    ) -> Model:
        """Train: one run with a folder of its own under `output_dir`, as `head2head train` makes it.

        Args:
            texts: or, for a head on words, lists of words.
            labels: a name each; numbers of type float are values to be predicted (regression), whole numbers names.
                For a head on words a tag for each word.
            pairs: the second texts, where each example is a pair.
            validation: (texts, labels) or (texts, labels, pairs) to score; None holds out a fifth of the examples,
                which are then not trained on.

        Raises:
            UserError: lists of different lengths, or what the command line would refuse.
        """
        quiet()
        texts, labels = list(texts), list(labels)
        words = len(texts) > 0 and not isinstance(texts[0], str)
        parts = {"train": Part(texts, labels, pairs)}
        if validation is not None:
            if len(validation) not in (2, 3):
                raise UserError("validation: give (texts, labels), or (texts, labels, pairs)")
            parts["validation"] = Part(*(list(column) for column in validation))
        typed = [
            *(f"task={'conll' if words else 'table'}", "task.name=lists"),
            *(["task.text_pair=text_pair"] if pairs is not None else []),
            *(["task.target=regression"] if not words and are_values(labels) else []),
            *(["fold=0"] if validation is None else []),
            *self._typed,
        ]
        check_names(typed)
        config = compose(typed)
        files = written(parts, words, Path(config["output_dir"], DATA))
        typed += [f"task.{split}='{path}'" for split, path in files.items()]
        result = run_one(compose(typed), typed)
        assert result.folder is not None
        self._predictor = Predictor(load_run(Path(result.folder), sorted(trusted.named(config["trust"]))))
        return self

    def predict(self, texts: Texts, pairs: Sequence[str] | None = None) -> list[Any]:
        """What `fit` was given, for other texts: the label's name, the value, or of each word its tag.

        Args:
            texts: a head on words takes lists of words, and texts, which it cuts into words.

        Raises:
            UserError: not fitted, or texts that it does not read.
        """
        found = self._fitted.predict(self._examples(texts, pairs))
        return [one.values if isinstance(one, SentencePrediction) else one.value for one in found]

    def predict_proba(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> np.ndarray:
        """(N, C) probabilities (softmax) of the C labels, in the order of `labels`.

        Raises:
            UserError: not fitted, or no classifier of texts.
        """
        if not self.labels or self._fitted.task.kind == "token":
            raise UserError("predict_proba is for models that classify texts; take predict")
        parts = [softmax(self._fitted.logits(part)) for part in windows(self._examples(texts, pairs))]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.labels)))

    def entities(self, texts: Texts) -> list[list[dict[str, Any]]]:
        """The entities of each text: `type`, `text`, `start`, `end` (text[start:end] is the entity; of a list of words:
        of these joined by single blanks), `first`, `last` (numbers of its words), `probability`.

        Raises:
            UserError: not fitted, or the head is not on words.
        """
        if self._fitted.task.kind != "token":
            raise UserError("entities are for a head on words, such as ner; take predict")
        return [
            [asdict(entity) | {"text": one.example.text[entity.start : entity.end]} for entity in one.entities]
            for one in self._fitted.predict(self._examples(texts, None))
            if isinstance(one, SentencePrediction)
        ]

    @property
    def labels(self) -> list[str]:
        """Names of the labels, in the order of their numbers; empty for values."""
        return list(self._fitted.task.labels)

    @property
    def result(self) -> Result:
        """What came of the run."""
        return self._fitted.run.result

    @property
    def folder(self) -> Path:
        """The run's folder, which `load` takes."""
        return self._fitted.run.folder

    @property
    def module(self) -> FineTuner:
        """The torch module: `encoder` and `head`, in eval mode."""
        return self._fitted.model

    @property
    def _fitted(self) -> Predictor:
        if self._predictor is None:
            raise UserError("the model has not been trained: call fit(texts, labels), or take head2head.load(RUN)")
        return self._predictor

    def _examples(self, texts: Texts, pairs: Sequence[str] | None) -> list[Example]:
        if isinstance(texts, str):
            raise UserError("give a list of texts, not one text")
        if pairs is not None and len(pairs) != len(texts):
            raise UserError(f"{len(texts)} texts and {len(pairs)} second texts: give one for each")
        return list(of_texts(self._fitted.task, texts, pairs))


def load(run: str | Path, trust: Sequence[str] = ()) -> Model:
    """A finished run's model.

    Args:
        run: its folder.
        trust: packages with classes of your own that the run was trained with.

    Raises:
        UserError: no finished run, or one without weights.
    """
    quiet()
    model = Model.__new__(Model)
    loaded = load_run(Path(run), trust)
    model._typed, model._predictor = list(loaded.result.overrides), Predictor(loaded)
    return model
