"""Own data: one text or a pair of texts a row, in csv, tsv, jsonl or parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from head2head.data.task import Task, label_number, listed, number, own_files
from head2head.errors import UserError, did_you_mean
from head2head.files import numbered_lines, read_bytes

if TYPE_CHECKING:
    from datasets import Dataset

Row = tuple[str, dict[str, Any]]  # where the row stands ("file:line") and its cells


@dataclass(kw_only=True)
class Table(Task):
    """Classification or regression on the user's own files.

    train, validation, test: csv, tsv, jsonl or parquet files, by their extension.
    text, text_pair, label: column names; `text_pair` None for single texts.
    target: "classification" or "regression".
    labels: None takes the sorted labels of the training file.
    """

    places: ClassVar[frozenset[str]] = frozenset({"train", "validation", "test"})

    train: str | None = None
    validation: str | None = None
    test: str | None = None
    text: str = "text"
    text_pair: str | None = None
    label: str = "label"
    target: str = "classification"

    def __post_init__(self) -> None:
        if self.target not in ("classification", "regression"):
            raise UserError(f"task.target={self.target}: choose from: classification, regression")
        self.labels = [str(label) for label in listed("labels", self.labels)]  # 0 and 1 are numbers when they are typed
        if self.train is not None and not self.labels and not self.regression:
            self.labels = self._labels_of(Path(self.train))
        if not self.metrics:
            self.metrics = ("spearman", "pearson") if self.regression else ("accuracy", "macro_f1", "mcc")
        super().__post_init__()

    @property
    def regression(self) -> bool:
        return self.target == "regression"

    @property
    def has_pairs(self) -> bool:
        return self.text_pair is not None

    def sources(self) -> dict[str, Path | str]:
        files = {"train": self.train, "validation": self.validation, "test": self.test}
        return own_files(self.name, files, self.fold, " (csv, tsv, jsonl or parquet)")

    def load(self, split: str) -> Dataset:
        from datasets import Dataset

        columns = {"text": self.text, "text_pair": self.text_pair, "label": self.label}
        found: dict[str, list] = {name: [] for name, column in columns.items() if column}
        for where, row in read_rows(Path(self.sources()[split])):
            if split == "test" and self.label not in row:
                found.pop("label", None)
            for name in found:
                cell = self._cell(row, columns[name] or name, where)
                found[name].append(self._target(cell, where) if name == "label" else str(cell))
        return Dataset.from_dict(found)

    def _target(self, cell: Any, where: str) -> int | float:
        return number(str(cell), where) if self.regression else label_number(str(cell), self.labels, where)

    def _cell(self, row: dict[str, Any], column: str, where: str) -> Any:
        if column not in row:
            hint = self._hint(column, where)
            raise UserError(f"{header_of(where)}: no column {column!r}; {did_you_mean(column, row)}{hint}")
        if row[column] is None or (column == self.label and row[column] == ""):
            raise UserError(f"{where}: column {column!r} is empty")
        return row[column]

    def _hint(self, column: str, where: str) -> str:
        """The setting to give, for a column that nobody has named. None for test files: a finished run has its own."""
        tested = self.test is not None and Path(where.rpartition(":")[0]) == Path(self.test)
        nobody = column in ("text", "label") and getattr(self, column) == column
        return f" (task.{column}=COLUMN)" if nobody and not tested else ""

    def _labels_of(self, path: Path) -> list[str]:
        """Labels found in a file, sorted (numerically when all are numbers).

        Raises:
            UserError: so many different numbers that this must be regression.
        """
        names = {str(self._cell(row, self.label, where)) for where, row in read_rows(path)}
        if not names:
            raise UserError(f"{path}: no examples")
        if len(names) < 2:
            raise UserError(
                f"{path}: column {self.label!r} holds one label only ({', '.join(names)}); nothing can be learned"
            )
        try:
            numeric = sorted(sorted(names), key=float)
        except ValueError:
            return sorted(names)
        if len(names) > 20 or not all(float(name).is_integer() for name in names):
            raise UserError(
                f"{path}: column {self.label!r} holds {len(names)} different numbers; set task.target=regression, "
                "or list the labels in task.labels"
            )
        return numeric


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a file, each with the place it stands at.

    Raises:
        UserError: not a known kind of file, or a row that does not fit.
    """
    readers = {".csv": read_csv, ".tsv": read_tsv, ".jsonl": read_jsonl, ".parquet": read_parquet}
    if path.suffix not in readers:
        raise UserError(f"{path}: unknown kind of file {path.suffix!r}; expected {', '.join(sorted(readers))}")
    return readers[path.suffix](path)


def header_of(where: str) -> str:
    """The place of the column names that a row has."""
    file = Path(where.rpartition(":")[0])
    return {".csv": f"{file}:1", ".tsv": f"{file}:1", ".parquet": str(file)}.get(file.suffix, where)


def read_csv(path: Path) -> Iterator[Row]:
    """Comma-separated rows under a header line, quoted as RFC 4180 has it."""
    text = "\n".join(line for _, line in numbered_lines(path))
    csv.field_size_limit(2**31 - 1)  # a cell may be a whole document; the module's own limit is 128 KiB
    reader = csv.reader(io.StringIO(text), strict=True)
    try:
        header = next(reader)
        for cells in reader:
            where = f"{path}:{reader.line_num}"
            if not cells:
                continue
            if len(cells) != len(header):
                raise UserError(f"{where}: expected {len(header)} columns, found {len(cells)}")
            yield where, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise UserError(f"{path}:{reader.line_num}: {error}") from None


def read_tsv(path: Path) -> Iterator[Row]:
    """Tab-separated rows under a header line. Quotes are text, as in GLUE's files: tabs and line ends cannot
    stand in a cell."""
    lines = numbered_lines(path)
    header = next(lines)[1].split("\t")
    for line_number, line in lines:
        if not line:
            continue
        cells = line.split("\t")
        if len(cells) != len(header):
            raise UserError(f"{path}:{line_number}: expected {len(header)} columns, found {len(cells)}")
        yield f"{path}:{line_number}", dict(zip(header, cells, strict=True))


def read_jsonl(path: Path) -> Iterator[Row]:
    """One JSON object a line."""
    for line_number, line in numbered_lines(path):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"{path}:{line_number}: not valid JSON: {error.msg}") from None
        if not isinstance(row, dict):
            raise UserError(f"{path}:{line_number}: expected a JSON object, found {type(row).__name__}")
        yield f"{path}:{line_number}", row


def read_parquet(path: Path) -> Iterator[Row]:
    """The rows of a parquet file; "lines" are row numbers from 1."""
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(io.BytesIO(read_bytes(path)))
    except pyarrow.ArrowException as error:
        raise UserError(f"{path}: not a parquet file: {str(error).splitlines()[0]}") from None
    for row_number, row in enumerate(table.to_pylist(), start=1):
        yield f"{path}:{row_number}", row
