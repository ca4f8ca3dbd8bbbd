"""What the data of a run have that flatters or hurts: texts in training and validation, labels that contradict each
other, what is cut off, empty texts, labels with next to no example."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from head2head.data.groups import normalized
from head2head.errors import enumerated

if TYPE_CHECKING:
    from datasets import Dataset

WORD = re.compile(r"\w+|[^\w\s]")  # near what BERT splits a text into before it looks for word pieces


@dataclass(frozen=True)
class Survey:
    """What is kept of a split's N rows: hashes in place of texts. A pair of texts counts as one.

    exact, folded: (N,) hashes of the texts, and of them without differences of case and white space.
    targets: (N,) labels, values, or hashes of the tags; None where they are not known.
    counts: number of examples (token tasks: of entities) of each label that is looked for.
    empty: number of rows with an empty text.
    words: about how many there are; counted only where some are cut off.
    lost: rows, and words, that are cut off.
    """

    exact: np.ndarray
    folded: np.ndarray
    targets: np.ndarray | None
    counts: Mapping[str, int]
    empty: int
    words: int
    lost: tuple[int, int]


def survey(rows: Dataset, labels: Sequence[str], truncated: Mapping[str, int]) -> Survey:
    """Look through a split.

    Args:
        labels: names of the labels; empty for regression.
        truncated: number of examples that lost words to `max_length`, and of these words.
    """
    tokens = "tokens" in rows.column_names
    names = ["tokens"] if tokens else [name for name in ("text", "text_pair") if name in rows.column_names]
    columns = [rows[name][:] for name in names]
    texts = [[" ".join(words) for words in columns[0]]] if tokens else columns
    folded = [[normalized(text) for text in column] for column in texts]
    words = 0
    if truncated["words"]:
        words = sum(len(text) if tokens else len(WORD.findall(text)) for column in columns for text in column)
    targets, counts = _targets(rows, labels)
    return Survey(
        _hashes(columns if not tokens else [[tuple(words) for words in columns[0]]]),
        _hashes(folded),
        targets,
        counts,
        sum("" in row for row in zip(*folded, strict=True)),
        words,
        (truncated["examples"], truncated["words"]),
    )


def _hashes(columns: Sequence[Sequence[Any]]) -> np.ndarray:
    """(N,) of the rows; 64 bits are enough for a million rows to differ."""
    rows = columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))
    return np.fromiter(map(hash, rows), dtype=np.int64, count=len(rows))


def _targets(rows: Dataset, labels: Sequence[str]) -> tuple[np.ndarray | None, dict[str, int]]:
    if "tags" in rows.column_names:
        tags = rows["tags"][:]
        found = np.bincount(np.fromiter((t for row in tags for t in row), dtype=np.int64), minlength=len(labels))
        counts = {label[2:]: int(found[i]) for i, label in enumerate(labels) if label.startswith("B-")}
        return _hashes([[tuple(row) for row in tags]]), counts
    if "label" not in rows.column_names:
        return None, {}
    values = np.asarray(rows["label"][:])
    if not labels:
        return values, {}
    found = np.bincount(values, minlength=len(labels))
    return values, {label: int(count) for label, count in zip(labels, found, strict=True)}


def findings(splits: Mapping[str, Survey], max_length: int) -> list[str]:
    """Lines that say what is worth knowing of a run's splits; none where there is nothing.

    Args:
        splits: "train", and those that are scored.
    """
    train = splits["train"]
    lines = [line for name, split in splits.items() if name != "train" for line in _shared(name, split, train)]
    lines += _contradictions(train)
    for name, split in splits.items():
        rows, words = split.lost
        if words:
            share = 100 * words / split.words
            shown = f"{share:.1f}" if share >= 0.05 else "under 0.1"
            lines.append(
                f"{name}: about {shown} % of the words are cut off at task.max_length={max_length}, "
                f"in {rows} of {len(split.exact)} rows"
            )
        if split.empty:
            lines.append(f"{name}: {split.empty} of {len(split.exact)} rows have an empty text")
    for many, what in ((0, "no example"), (1, "one example only")):
        if few := [label for label, count in train.counts.items() if count == many]:
            lines.append(f"train: {what} of {enumerated(few)}")
    return lines


def _shared(name: str, split: Survey, train: Survey) -> list[str]:
    same = np.isin(split.exact, train.exact)
    alike = np.isin(split.folded, train.folded) & ~same
    if not same.any() and not alike.any():
        return []
    more = f", {alike.sum()} more but for case and white space" if alike.any() else ""
    return [f"{name}: {same.sum()} of {len(same)} rows have a text that stands in train, too{more}"]


def _contradictions(train: Survey) -> list[str]:
    if train.targets is None:
        return []
    order = np.lexsort((train.targets, train.folded))
    texts, targets = train.folded[order], train.targets[order]
    differ = (texts[1:] == texts[:-1]) & (targets[1:] != targets[:-1])
    if not differ.any():
        return []
    several = np.unique(texts[1:][differ])
    rows = int(np.isin(train.folded, several).sum())
    return [f"train: {len(several)} texts have different labels in different rows ({rows} rows)"]
