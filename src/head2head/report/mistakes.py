"""What a run gets wrong: confusions, confident mistakes, errors in entities by kind, and where two runs differ.

Functions on arrays alone: where predictions and texts come from is not their concern.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from head2head.data.entities import Spans

# What becomes of a gold entity, and what else is predicted (after Tsai et al. 2006 and SemEval-2013 task 9.1, "partial"
# and "type" taken apart).
CORRECT, TYPE, BOUNDARY, BOTH, MISSED, SPURIOUS = (
    "correct",
    "type",
    "boundary",
    "boundary and type",
    "missed",
    "spurious",
)
GOLD_KINDS = (CORRECT, TYPE, BOUNDARY, BOTH, MISSED)
# How two runs stand on an example on which their predictions differ.
FIRST, SECOND, NEITHER = "only the first is right", "only the second is right", "both are wrong"


def confusion(gold: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """(C, C) counts: a row a gold class, a column a predicted one (as sklearn.metrics.confusion_matrix).

    Args:
        gold, predicted: (N,) class numbers below `classes`.
    """
    return np.bincount(gold * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def softmax(logits: np.ndarray) -> np.ndarray:
    """(N, C) probabilities of (N, C) logits."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def confident_mistakes(gold: np.ndarray, predicted: np.ndarray, confidence: np.ndarray, most: int) -> np.ndarray:
    """Numbers of the wrong predictions, the most confident first, of equals the earlier; at most `most`."""
    wrong = np.flatnonzero(gold != predicted)
    return wrong[np.argsort(-confidence[wrong], kind="stable")][:most]


def largest_errors(gold: np.ndarray, predicted: np.ndarray, most: int) -> np.ndarray:
    """Numbers of the values that are furthest off, the furthest first; at most `most`."""
    return np.argsort(-np.abs(predicted - gold), kind="stable")[:most]


@dataclass(frozen=True)
class EntityErrors:
    """What becomes of each of G gold entities, and what is made up.

    kinds: (G,) one of GOLD_KINDS: the very entity is predicted (correct); its words with another type (type); other
        words that share one with it, with its type (boundary) or another (boundary and type); or nothing (missed).
    nearest: (G,) number of the prediction that is meant, -1 where it is missed.
    spurious: numbers of the predictions that share no word with any gold entity.
    """

    kinds: np.ndarray
    nearest: np.ndarray
    spurious: np.ndarray


def entity_errors(gold: Spans, predicted: Spans) -> EntityErrors:
    """Compare the entities of one run of words.

    Args:
        gold, predicted: in the order of the words, none sharing a word with another of its own side.
    """
    # Predictions low..high-1 share a word with a gold entity.
    low = np.searchsorted(predicted.end, gold.start, side="left")
    high = np.searchsorted(predicted.start, gold.end, side="right")
    kinds, nearest = np.full(len(gold.start), MISSED, dtype=object), np.full(len(gold.start), -1)
    touched = np.zeros(len(predicted.start), dtype=bool)
    for number in np.flatnonzero(low < high):
        near = np.arange(low[number], high[number])
        touched[near] = True
        whole = (predicted.start[near] == gold.start[number]) & (predicted.end[near] == gold.end[number])
        alike = predicted.type[near] == gold.type[number]
        for kind, fits in ((CORRECT, whole & alike), (TYPE, whole), (BOUNDARY, alike), (BOTH, np.ones_like(alike))):
            if fits.any():
                kinds[number], nearest[number] = kind, near[fits.argmax()]
                break
    return EntityErrors(kinds, nearest, np.flatnonzero(~touched))


def kind_counts(errors: EntityErrors, among: np.ndarray | None = None) -> dict[str, int]:
    """How many gold entities there are of each kind, and how many entities are spurious.

    Args:
        among: (G,) bool, the gold entities that count; what is spurious is then left out, as it is none of them.
    """
    kinds = errors.kinds if among is None else errors.kinds[among]
    counts = {kind: int((kinds == kind).sum()) for kind in GOLD_KINDS}
    return counts | ({SPURIOUS: len(errors.spurious)} if among is None else {})


def type_confusion(gold: Spans, predicted: Spans, errors: EntityErrors, types: int) -> np.ndarray:
    """(K + 1, K + 1) counts: gold by predicted type, the last row what is spurious, the last column what is missed.

    A prediction that shares words with two gold entities counts for each of them.
    """
    meant = np.where(errors.nearest >= 0, predicted.type[errors.nearest] if len(predicted.type) else types, types)
    rows = np.concatenate([gold.type, np.full(len(errors.spurious), types)])
    columns = np.concatenate([meant, predicted.type[errors.spurious]])
    return confusion(rows.astype(np.int64), columns.astype(np.int64), types + 1)


def written_out(entities: Spans, words: int) -> np.ndarray:
    """(W,) of each word 0 outside, 2 k + 1 at the first word of an entity of type k, 2 k + 2 at the others: equal for
    tags that spell the same entities, such as B-X and an I-X that opens one."""
    found = np.zeros(words, dtype=np.int64)
    for start, end, type_ in zip(entities.start, entities.end, entities.type, strict=True):
        found[start : end + 1] = 2 * type_ + 2
        found[start] = 2 * type_ + 1
    return found


def surfaces(entities: Spans, words: Sequence[str]) -> list[str]:
    """The words of each entity, as they are written, with blanks between."""
    return [" ".join(words[start : end + 1]) for start, end in zip(entities.start, entities.end, strict=True)]


@dataclass(frozen=True)
class Disagreement:
    """Where two runs' predictions differ.

    numbers: of those examples, in order; groups: of each FIRST, SECOND or NEITHER.
    both_right, both_wrong: how many others there are of each kind, on which they agree.
    """

    numbers: np.ndarray
    groups: np.ndarray
    both_right: int
    both_wrong: int

    @property
    def counts(self) -> dict[str, int]:
        """How many examples there are of each group."""
        return {name: int((self.groups == name).sum()) for name in (FIRST, SECOND, NEITHER)}


def disagreement(first_right: np.ndarray, second_right: np.ndarray, differ: np.ndarray) -> Disagreement:
    """Sort the examples on which two runs differ by who is right.

    Args:
        first_right, second_right, differ: (N,) bool.
    """
    numbers = np.flatnonzero(differ)
    first, second = first_right[numbers], second_right[numbers]
    groups = np.where(first & ~second, FIRST, np.where(second & ~first, SECOND, NEITHER)).astype(object)
    alike = ~differ
    return Disagreement(numbers, groups, int((alike & first_right).sum()), int((alike & ~first_right).sum()))


def sentences_differ(first: np.ndarray, second: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """(S,) bool, of each sentence whether two arrays (W,) differ in one of its words.

    Args:
        lengths: (S,) words of each sentence.
    """
    differs = np.concatenate([[0], np.cumsum(first != second)])
    ends = np.cumsum(lengths)
    return differs[ends] > differs[ends - lengths]
