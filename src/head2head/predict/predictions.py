"""What a model's logits say of an example: the label by name, how sure, and of words the entities they spell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from head2head.data.entities import parse_tag, sentence_starts, spans
from head2head.data.task import Task
from head2head.predict.examples import Example

DIGITS = 6  # of a probability or value; more are noise in float32


@dataclass(frozen=True, slots=True)
class Prediction:
    """Of a text, or a pair.

    value: the label's name, or the value.
    probability: of that label (softmax); None of a value.
    """

    example: Example
    value: str | float
    probability: float | None


@dataclass(frozen=True, slots=True)
class Entity:
    """Words first..last (inclusive) of a sentence, which are text[start:end].

    probability: the lowest of its words' labels: that of the whole is at most this. None where a word has none.
    """

    type: str
    first: int
    last: int
    start: int
    end: int
    probability: float | None


@dataclass(frozen=True, slots=True)
class SentencePrediction:
    """Of a sentence: a label for each word, its probability, and the entities, as conlleval reads the labels.

    probabilities: None for a word without a word piece, which is O, and for all words where labels are predicted
        together (crf): what such a head gives out are no probabilities.
    """

    example: Example
    values: list[str]
    probabilities: list[float | None]
    entities: list[Entity]


def softmax(logits: np.ndarray) -> np.ndarray:
    """(N, C) float64 from float32 logits (N, C); NaN where they are."""
    wide = logits.astype(np.float64)
    powers = np.exp(wide - wide.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def of_texts(examples: Sequence[Example], logits: np.ndarray, labels: Sequence[str]) -> Iterator[Prediction]:
    """Predictions of texts from their logits (N, C).

    Args:
        labels: names of the C labels; none for values.
    """
    if not labels:
        for example, value in zip(examples, logits[:, 0].tolist(), strict=True):
            yield Prediction(example, round(value, DIGITS), None)
        return
    numbers, probabilities = logits.argmax(axis=1), softmax(logits).max(axis=1)
    for example, number, probability in zip(examples, numbers.tolist(), probabilities.tolist(), strict=True):
        yield Prediction(example, labels[number], round(probability, DIGITS))


def of_words(
    examples: Sequence[Example], logits: np.ndarray, labels: Sequence[str], joint: bool
) -> Iterator[SentencePrediction]:
    """Predictions of sentences from the logits (N, C) of all their words, one after another.

    Args:
        joint: the labels of a sentence were predicted together; see SentencePrediction.
    """
    known = ~np.isnan(logits).any(axis=1)
    numbers = np.where(known, np.nan_to_num(logits).argmax(axis=1), 0)
    best = softmax(logits).max(axis=1) if not joint else np.full(len(logits), np.nan)
    probabilities = [None if np.isnan(p) else round(p, DIGITS) for p in best.tolist()]
    counts = [len(example.places) for example in examples]
    ends = np.cumsum([0, *counts])
    entities = entities_of(numbers, counts, labels)
    for example, entity, (start, end) in zip(examples, entities, pairwise(ends.tolist()), strict=True):
        own = probabilities[start:end]
        yield SentencePrediction(
            example,
            [labels[number] for number in numbers[start:end].tolist()],
            own,
            [in_text(example, *span, own) for span in entity],
        )


def entities_of(numbers: np.ndarray, counts: Sequence[int], labels: Sequence[str]) -> list[list[tuple[str, int, int]]]:
    """(type, first word, last word) of each sentence's entities.

    Args:
        numbers: (N,) of the labels of all words.
        counts: of each sentence's words.
    """
    tags = [parse_tag(label) for label in labels]
    types = sorted({name for _, name in tags})
    prefix = np.array([code for code, _ in tags])[numbers]
    kind = np.array([types.index(name) for _, name in tags])[numbers]
    found = spans(prefix, kind, sentence_starts(counts))
    starts = np.cumsum([0, *counts])
    entities: list[list[tuple[str, int, int]]] = [[] for _ in counts]
    sentences = np.searchsorted(starts, found.start, side="right") - 1
    for sentence, first, last, number in zip(sentences, found.start, found.end, found.type, strict=True):
        offset = starts[sentence]
        entities[sentence].append((types[number], int(first - offset), int(last - offset)))
    return entities


def in_text(example: Example, kind: str, first: int, last: int, probabilities: Sequence[float | None]) -> Entity:
    """An entity with its place in the text."""
    own = probabilities[first : last + 1]
    known = [p for p in own if p is not None]
    return Entity(
        kind, first, last, example.places[first][0], example.places[last][1],
        min(known) if len(known) == len(own) else None,
    )  # fmt: skip


def predictions(
    examples: Sequence[Example], logits: np.ndarray, task: Task, joint: bool
) -> Iterator[Prediction | SentencePrediction]:
    """What a task's logits say of the examples; see `of_texts` and `of_words`."""
    if task.kind == "token":
        return of_words(examples, logits, task.labels, joint)
    return of_texts(examples, logits, task.labels)
