"""Which rows belong together: those that share a text, or stand in one document; and which lie inside others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from datasets import Dataset


def normalized(text: str) -> str:
    """The text without differences of case and of white space: two rows that differ in these alone share it."""
    return " ".join(text.casefold().split())


def texts_of(table: Dataset) -> list[list[str]]:
    """Columns of normalized texts: one, or two for pairs; the words of a sentence with blanks for token tasks."""
    if "tokens" in table.column_names:
        return [[normalized(" ".join(tokens)) for tokens in table["tokens"][:]]]
    names = [name for name in ("text", "text_pair") if name in table.column_names]
    return [[normalized(text) for text in table[name][:]] for name in names]


def groups_of(table: Dataset) -> np.ndarray:
    """(N,) for each row the number of the first row that belongs with it.

    Rows that share a text belong together, and so do those that a third row links, whichever of a pair's texts it is.
    Sentences of token tasks belong together by document; by equal text where the file marks no documents.
    """
    if "document" in table.column_names:
        documents = np.asarray(table["document"][:])
        _, first, number = np.unique(documents, return_index=True, return_inverse=True)
        if len(first) > 1:
            return first[number]
    return linked_rows(texts_of(table))


def linked_rows(columns: Sequence[Sequence[str]]) -> np.ndarray:
    """(N,) for each row the number of the first row in its connected component, where rows with an equal text in any
    of the columns are connected. An empty text connects nothing."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = len(columns[0])
    numbers: dict[str, int] = {}
    edges = [
        (row, numbers.setdefault(text, count + len(numbers)))
        for texts in columns
        for row, text in enumerate(texts)
        if text
    ]
    rows, texts_ = np.array(edges, dtype=np.int64).reshape(-1, 2).T
    nodes = count + len(numbers)
    graph = coo_array((np.ones(len(edges), dtype=np.int8), (rows, texts_)), shape=(nodes, nodes))
    component = connected_components(graph, directed=False)[1][:count]
    _, first, number = np.unique(component, return_index=True, return_inverse=True)
    return first[number]


def contained(texts: Sequence[str]) -> np.ndarray:
    """(N,) whether a text's words stand in a row inside another, longer text. Equal texts do not contain each other.

    Longest first, each text is looked for in those texts that hold its rarest word. A text that lies inside another
    is no container itself: whatever lies in it lies in the other as well.

    Args:
        texts: normalized, so that a blank separates words.
    """
    holders: dict[str, list[str]] = {}  # word -> the containers it occurs in, a blank around each
    inside: dict[str, bool] = {}
    for text in sorted(set(texts), key=lambda text: (-len(text), text)):
        words = set(text.split())
        candidates = min((holders.get(word, []) for word in words), key=len, default=[])
        inside[text] = any(f" {text} " in holder for holder in candidates)
        if not inside[text]:
            for word in words:
                holders.setdefault(word, []).append(f" {text} ")
    return np.array([inside[text] for text in texts], dtype=bool)


def count_shared(table: Dataset, training: Dataset) -> int:
    """How many rows of a split have a text in common with a training row, in either place of a pair."""
    known = {text for texts in texts_of(training) for text in texts if text}
    return sum(any(text in known for text in row) for row in zip(*texts_of(table), strict=True))
