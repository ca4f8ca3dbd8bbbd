"""The training rows of a task cut into folds, stratified and by groups.

Not scikit-learn's StratifiedGroupKFold: the folds are part of a result, and nothing promises that the next version
draws the same ones; the tests compare the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from head2head.data.groups import contained, groups_of, texts_of
from head2head.errors import UserError

if TYPE_CHECKING:
    from datasets import Dataset

BINS = 10  # strata of a regression, each with as many rows


@dataclass(frozen=True)
class Fold:
    """Which rows a run holds out: fold `number` of `folds`, in one of several ways to cut them (`repeat`).

    Raises:
        UserError: there is no such fold.
    """

    number: int
    folds: int = 5
    repeat: int = 0

    def __post_init__(self) -> None:
        for name, value, least in (("fold", self.number, 0), ("folds", self.folds, 2), ("repeat", self.repeat, 0)):
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise UserError(f"{name}={value}: a whole number, {least} or above")
        if self.number >= self.folds:
            raise UserError(f"fold={self.number}: with folds={self.folds} they are numbered 0 to {self.folds - 1}")


@dataclass(frozen=True)
class Cut:
    """Training rows, cut.

    rows: (N,) numbers, in the training split, of the rows that are used.
    groups: (N,) number of the first row that belongs with each.
    folds: (N,) the fold that holds each out.
    notes: what is worth saying.
    """

    rows: np.ndarray
    groups: np.ndarray
    folds: np.ndarray
    notes: Sequence[str]


def cut(table: Dataset, labels: Sequence[str], fold: Fold, leave_out_contained: bool = False) -> Cut:
    """Cut training rows into folds: a function of the rows, `fold.folds` and `fold.repeat`, and of nothing else.

    Args:
        labels: names of the labels; empty for regression.
        leave_out_contained: use only rows whose text lies inside no other row's.

    Raises:
        UserError: fewer groups than folds, or `leave_out_contained` on rows that are not single texts.
    """
    rows, notes = np.arange(len(table)), []
    if leave_out_contained:
        columns = texts_of(table)
        if len(columns) > 1:
            raise UserError("task.leave_out_contained=true: for single texts only, not for pairs")
        rows = np.flatnonzero(~contained(columns[0]))
        notes.append(f"folds: {len(rows)} of {len(table)} training rows used, those contained in no other row")
    used = table.select(rows)
    groups = rows[groups_of(used)]
    sizes = np.unique(groups, return_counts=True)[1]
    together = "document" if "document" in table.column_names and len(set(used["document"][:])) > 1 else "text"
    if len(sizes) < fold.folds:
        raise UserError(
            f"folds={fold.folds}: the training rows form {len(sizes)} groups only; "
            f"those that share a {together} are not parted"
        )
    if sizes.max() * fold.folds > len(rows):
        notes.append(f"folds: of uneven size: {sizes.max()} of {len(rows)} rows hang together by shared {together}s")
    counts = strata(used, labels)
    if labels and "label" in used.column_names:
        for label, found in zip(labels, counts.sum(axis=0), strict=True):
            if 0 < found < fold.folds:
                notes.append(f"folds: label {label} has {found} training rows, fewer than folds={fold.folds}")
    return Cut(rows, groups, assign(counts, groups, fold.folds, fold.repeat), notes)


def strata(table: Dataset, labels: Sequence[str]) -> np.ndarray:
    """(N, S) what each row adds to each stratum: 1 to its label's or, for regression, to that of its tenth of the
    values; sentences of token tasks 1 to the first and their entities of each type to one each."""
    if "tags" in table.column_names:
        opening = [number for number, label in enumerate(labels) if label.startswith("B-")]
        entities = [[1, *(tags.count(number) for number in opening)] for tags in table["tags"][:]]
        return np.array(entities, dtype=np.int64)
    values = np.asarray(table["label"][:])
    if labels:
        return np.eye(len(labels), dtype=np.int64)[values]
    ordered = np.sort(values)
    edges = np.unique(ordered[np.arange(1, BINS) * len(ordered) // BINS])
    return np.eye(len(edges) + 1, dtype=np.int64)[np.searchsorted(edges, values, side="right")]


def assign(counts: np.ndarray, groups: np.ndarray, folds: int, repeat: int) -> np.ndarray:
    """(N,) fold of each row. Groups are dealt out largest first, those of one size in an order that `repeat` shuffles,
    each to the fold that has least of what the group holds, then to the one with fewest rows, then to the first.

    What a fold has of a group is the sum over strata of the product of their counts: choosing the least of it adds
    least to the sum of squares of all counts, which is smallest where every fold has the same.

    Args:
        counts: (N, S) what each row adds to each stratum.
        groups: (N,) any number that rows of one group have in common.
    """
    _, number, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    held = np.zeros((len(sizes), counts.shape[1]), dtype=np.int64)
    np.add.at(held, number, counts)
    # Raw output: numpy promises the stream of a bit generator for good, but not what permutation makes of it.
    shuffled = np.argsort(np.random.PCG64(repeat).random_raw(len(sizes)), kind="stable")
    order = shuffled[np.argsort(-sizes[shuffled], kind="stable")]
    # Whole numbers throughout, so that no rounding decides; plain lists, which are quicker than arrays this short.
    amounts = [[0] * counts.shape[1] for _ in range(folds)]
    rows = [0] * folds
    chosen = np.zeros(len(sizes), dtype=np.int64)
    contents, sizes_ = held.tolist(), sizes.tolist()
    for group in order.tolist():
        content = [(stratum, count) for stratum, count in enumerate(contents[group]) if count]
        overlap = [sum(count * amount[stratum] for stratum, count in content) for amount in amounts]
        best = min(range(folds), key=lambda fold: (overlap[fold], rows[fold], fold))
        chosen[group] = best
        rows[best] += sizes_[group]
        for stratum, count in content:
            amounts[best][stratum] += count
    return chosen[number]
