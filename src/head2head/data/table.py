"""Own data: one text or a pair of texts a row, in csv, tsv, jsonl or parquet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from head2head.data.columns import HEADED, cell_of, place_of
from head2head.data.labels import (
    MANY,
    as_number,
    check_number,
    check_spelling,
    label_number,
    number,
    numbering,
    unpublished,
)
from head2head.data.rows import Row, read_rows
from head2head.data.task import Task, listed, name_of_own, own_files
from head2head.errors import UserError, enumerated, quoted

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(kw_only=True)
class Table(Task):
    """Classification or regression on the user's own files.

    train, validation, test: csv, tsv, jsonl or parquet files, by their extension.
    text, text_pair, label: columns, by name or else by number: 0 is the first, -1 the last; `text_pair` None for
        single texts.
    columns: names of the columns, for csv and tsv files that have no header line.
    target: "classification" or "regression".
    labels: None takes the sorted labels of the training file.
    """

    places: ClassVar[frozenset[str]] = frozenset({"train", "validation", "test"})
    own_name: ClassVar[str] = "table"

    train: str | None = None
    validation: str | None = None
    test: str | None = None
    text: str | int = "text"
    text_pair: str | int | None = None
    label: str | int = "label"
    columns: Sequence[str] | None = None
    target: str = "classification"

    def __post_init__(self) -> None:
        if self.target not in ("classification", "regression"):
            raise UserError(f"task.target={self.target}: choose from: classification, regression")
        self._check_columns()
        self.labels = [str(label) for label in listed("labels", self.labels)]  # 0 and 1 are numbers when they are typed
        if self.train is not None and not self.labels and not self.regression:
            self.labels = self._labels_of(Path(self.train))
        if not self.metrics:
            self.metrics = ("spearman", "pearson") if self.regression else ("accuracy", "macro_f1", "mcc")
        self.name = name_of_own(self.name, self.own_name, self.train)
        super().__post_init__()

    def _check_columns(self) -> None:
        self.columns = [str(name) for name in listed("columns", self.columns)] or None
        if self.columns and len(set(self.columns)) < len(self.columns):
            raise UserError(f"task.columns={enumerated(self.columns, ',')}: a name stands there twice")
        for name in ("text", "text_pair", "label"):
            column = getattr(self, name)
            if not isinstance(column, (str, int, float)) and not (column is None and name == "text_pair"):
                raise UserError(f"task.{name}={column}: the name of a column, or its number (0 is the first)")

    @property
    def regression(self) -> bool:
        return self.target == "regression"

    @property
    def has_pairs(self) -> bool:
        return self.text_pair is not None

    def sources(self) -> dict[str, Path | str]:
        files = {"train": self.train, "validation": self.validation, "test": self.test}
        return own_files(self.own_name, files, self.fold, " (csv, tsv, jsonl or parquet)")

    def load(self, split: str) -> Dataset:
        from datasets import Dataset

        path = Path(self.sources()[split])
        texts: dict[str, str | int] = {"text": self.text}
        if self.text_pair is not None and self.text_pair != "":
            texts["text_pair"] = self.text_pair
        found: dict[str, list] = {name: [] for name in texts}
        labels: list[str] = []
        lines: list[int] = []
        for row in read_rows(path, self.columns):
            for name, column in texts.items():
                found[name].append(self._cell(row, column, path))
            if self._has_label(row, path, split, lines, labels):
                labels.append(self._label(row, path))
            if not lines:
                self._check_header(row, path)
            lines.append(row.line)
        if labels and split == "test" and unpublished(labels, self.labels):
            self.note(f"{path}: all labels are {labels[0]}, which is read as: not published")
        elif labels:
            found["label"] = self._targets(labels, lines, path)
        return Dataset.from_dict(found)

    def _has_label(self, row: Row, path: Path, split: str, lines: Sequence[int], labels: Sequence[str]) -> bool:
        """Whether a row has a label. Only those of the test split need none, and then none of them may have one.

        Args:
            lines, labels: of the rows before it.

        Raises:
            UserError: it has one and rows before it have none, or the other way round.
        """
        has = split != "test" or place_of(row, self.label, path, self.columns) is not None
        if lines and has != bool(labels):
            what = "a label, and those above it have none" if has else "no label, and those above it have one"
            raise UserError(f"{path}:{row.line}: this row has {what} (column {quoted(self.label)})")
        return has

    def _targets(self, labels: Sequence[str], lines: Sequence[int], path: Path) -> list[int] | list[float]:
        rows = zip(labels, lines, strict=True)
        if self.regression:
            return [number(label, f"{path}:{line}") for label, line in rows]
        numbers = numbering(self.labels)
        return [
            numbers[label] if label in numbers else label_number(label, numbers, f"{path}:{line}")
            for label, line in rows
        ]

    def _label(self, row: Row, path: Path) -> str:
        label = self._cell(row, self.label, path)
        if label == "":
            raise UserError(f"{path}:{row.line}: column {quoted(self.label)} is empty")
        return label

    def _cell(self, row: Row, column: str | int, path: Path) -> str:
        return cell_of(row, column, path, self.columns, self._hint(column, path))

    def _hint(self, column: str | int, path: Path) -> str:
        """What to give, for a column that nobody has named. Nothing for test files: a finished run has its own."""
        if column not in ("text", "label") or getattr(self, str(column)) != column:
            return ""
        return "" if self.test is not None and path == Path(self.test) else f"task.{column}=COLUMN"

    def _check_header(self, first: Row, path: Path) -> None:
        """Check that the line which is read as the columns' names is no row, where a column is given by its number:
        names would not have been found.

        Args:
            first: the first row.

        Raises:
            UserError: it has a label, or for regression a number, in the label's place.
        """
        asked = [self.label, self.text] + ([] if self.text_pair is None else [self.text_pair])
        if path.suffix not in HEADED or self.columns is not None or all(str(name) in first.names for name in asked):
            return
        place = place_of(first, self.label, path, self.columns)
        if place is None:
            return
        header = first.names[place]
        if header in self.labels if self.labels else as_number(header) is not None:
            raise UserError(
                f"{path}:1: this line is read as the names of the columns, but {quoted(header)} looks like a label; "
                "for files without a header line give the names: task.columns=[A,B]"
            )

    def _labels_of(self, path: Path) -> list[str]:
        """Labels found in a file, sorted (numerically when all are numbers).

        Raises:
            UserError: only one; so many that this must be regression, or the text; or one written in two ways.
        """
        found: dict[str, int] = {}
        rows = 0
        for row in read_rows(path, self.columns):
            found.setdefault(self._label(row, path), row.line)
            rows += 1
        if not found:
            raise UserError(f"{path}: no examples")
        column = f"column {quoted(self.label)}"
        if len(found) < 2:
            raise UserError(f"{path}: {column} holds one label only ({enumerated(found)}); nothing can be learned")
        values = [value for name in found if (value := as_number(name)) is not None]
        words = len(values) < len(found)
        if not words and (len(found) > MANY or not all(value.is_integer() for value in values)):
            raise UserError(
                f"{path}: {column} holds {len(found)} different numbers; set task.target=regression, "
                "or list the labels in task.labels"
            )
        check_number(found, rows, str(self.label), path)
        check_spelling(found, path)
        return sorted(found) if words else sorted(sorted(found), key=float)
