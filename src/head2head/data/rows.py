"""Rows of csv, tsv, jsonl and parquet files, each with the line it begins on and the names of its columns."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from head2head.errors import UserError, shortened
from head2head.files import numbered_lines, opened


class Row(NamedTuple):
    """A row of a file.

    line: the line it begins on; in parquet files its number, from 1.
    names: of its columns; all rows of a file share one list, but for jsonl.
    cells: as many as there are names.
    """

    line: int
    names: Sequence[str]
    cells: Sequence[Any]


def read_rows(path: Path, columns: Sequence[str] | None = None) -> Iterator[Row]:
    """The rows of a file.

    Args:
        columns: names of the columns of csv and tsv files that have no header line.

    Raises:
        UserError: not a known kind of file, or a row that does not fit.
    """
    readers: dict[str, Callable[[], Iterator[Row]]] = {
        ".csv": lambda: read_csv(path, columns),
        ".tsv": lambda: read_tsv(path, columns),
        ".jsonl": lambda: read_jsonl(path),
        ".parquet": lambda: read_parquet(path),
    }
    if path.suffix not in readers:
        raise UserError(f"{path}: unknown kind of file {path.suffix!r}; expected {', '.join(sorted(readers))}")
    return readers[path.suffix]()


def read_csv(path: Path, columns: Sequence[str] | None = None) -> Iterator[Row]:
    """Comma-separated rows under a header line, quoted as RFC 4180 has it."""
    csv.field_size_limit(2**31 - 1)  # a cell may be a whole document; the module's own limit is 128 KiB
    lines = numbered_lines(path) if columns is not None else _comma_separated(path)
    reader = csv.reader((f"{line}\n" for _, line in lines), strict=True)
    return fitted(path, _csv_cells(reader, path), columns)


def _comma_separated(path: Path) -> Iterator[tuple[int, str]]:
    """The lines, the first of which names columns.

    Raises:
        UserError: by what other programs put between them in some countries.
    """
    for number, line in numbered_lines(path):
        other = next((name for mark, name in ((";", "semicolons"), ("\t", "tabs")) if mark in line), None)
        if number == 1 and other is not None and "," not in line:
            raise UserError(f"{path}:1: columns are separated by {other}; save it with commas, or as .tsv with tabs")
        yield number, line


def _csv_cells(reader: Any, path: Path) -> Iterator[tuple[int, list[str]]]:
    start = 1
    try:
        for cells in reader:
            yield start, cells
            start = reader.line_num + 1
    except csv.Error as error:
        told = next((ours for theirs, ours in CSV_ERRORS.items() if str(error).startswith(theirs)), str(error))
        raise UserError(f"{path}:{start}: {told}") from None


# What Python's csv module says first, and what it means.
CSV_ERRORS = {
    "unexpected end of data": "a quote opens in this row and is not closed up to the file's end",
    "',' expected after '\"'": "a quote ends in this row and text follows it; within a quoted cell, write two quotes",
    "new-line character seen in unquoted field": (
        "a carriage return without a newline stands outside quotes; lines end in \\n or \\r\\n"
    ),
}


def read_tsv(path: Path, columns: Sequence[str] | None = None) -> Iterator[Row]:
    """Tab-separated rows under a header line. Quotes are text, as in GLUE's files: tabs and line ends cannot
    stand in a cell."""
    cells = ((number, line.split("\t") if line else []) for number, line in numbered_lines(path))
    return fitted(path, cells, columns)


def fitted(path: Path, lines: Iterator[tuple[int, list[str]]], columns: Sequence[str] | None) -> Iterator[Row]:
    """Rows under their header, which must be as long as they are. Where there is one column an empty line is a row, an
    empty text; elsewhere it is none.

    Raises:
        UserError: a row is longer or shorter, or there is a header where `columns` says that there is none.
    """
    names = columns
    for number, cells in lines:
        if number == 1 and columns is not None and cells == list(columns):
            raise UserError(f"{path}:1: task.columns is for files without a header line, and this line is one")
        if names is None:
            if not cells:
                raise UserError(f"{path}:{number}: the line of the column names is empty")
            names = cells
            continue
        if not cells and len(names) > 1:
            continue
        found = cells or [""]
        if len(found) != len(names):
            raise UserError(f"{path}:{number}: expected {len(names)} columns, found {len(found)}")
        yield Row(number, names, found)


class Pairs(tuple):
    """The keys and values of a JSON object, as they stand there: a key may stand there twice."""


def read_jsonl(path: Path) -> Iterator[Row]:
    """One JSON object a line."""
    for number, line in numbered_lines(path):
        if not line.strip():
            continue
        try:
            pairs = json.loads(line, object_pairs_hook=Pairs)
        except json.JSONDecodeError as error:
            raise UserError(f"{path}:{number}: not valid JSON: {error.msg}") from None
        except ValueError:  # Python reads whole numbers of 4,300 digits at most
            raise UserError(f"{path}:{number}: not valid JSON: a number with thousands of digits") from None
        except RecursionError:
            raise UserError(f"{path}:{number}: not valid JSON: nested too deeply") from None
        if not isinstance(pairs, Pairs):
            raise UserError(f"{path}:{number}: expected a JSON object, found {type(pairs).__name__}")
        yield Row(number, [name for name, _ in pairs], [value for _, value in pairs])


def read_parquet(path: Path) -> Iterator[Row]:
    """The rows of a parquet file."""
    import pyarrow.parquet

    number = 0
    try:
        with opened(path) as content:
            # Through a buffer: a file may be one group of rows that no memory holds.
            file = pyarrow.parquet.ParquetFile(content, page_checksum_verification=True, buffer_size=1 << 20)
            names = file.schema_arrow.names
            for batch in file.iter_batches(batch_size=1000, use_threads=False):
                batch.validate(full=True)
                for cells in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    number += 1
                    yield Row(number, names, cells)
    except UserError:
        raise
    except Exception as error:  # of a damaged file: a dozen types of Arrow's and Python's
        reason = shortened((str(error) or type(error).__name__).splitlines()[0], 120)
        what = f"damaged after row {number}" if number else "not a parquet file, or a damaged one"
        raise UserError(f"{path}: {what}: {reason}") from None
