"""Cells of a row, by the names of their columns or by their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from head2head.data.rows import Pairs, Row
from head2head.errors import UserError, did_you_mean, quoted

HEADED = (".csv", ".tsv")  # kinds of files whose first line names the columns, unless they are named elsewhere


def cell_of(row: Row, column: str | int, path: Path, columns: Sequence[str] | None = None, hint: str = "") -> str:
    """A cell as text.

    Args:
        column: its name or, where there is none of that name, its number: 0 is the first, -1 the last.
        columns: names of the columns of files without a header.
        hint: the setting by which another column is chosen.

    Raises:
        UserError: there is no such column, or no text in it.
    """
    place = place_of(row, column, path, columns)
    if place is None:
        known = did_you_mean(str(column), row.names)
        headless = (
            "; task.columns=[A,B] for files without a header line" if path.suffix in HEADED and not columns else ""
        )
        hint = f" ({hint}{headless})" if hint else ""
        raise UserError(f"{header_of(path, row.line, columns)}: no column {quoted(column)}; {known}{hint}")
    cell = row.cells[place]
    if isinstance(cell, str) and (cell.isascii() or is_unicode(cell)):
        return cell
    where = f"{path}:{row.line}: column {quoted(column)}"
    if cell is None or cell != cell:  # NaN, which pandas writes for nothing
        raise UserError(f"{where} is empty")
    if isinstance(cell, str):
        raise UserError(f"{where} holds half of a surrogate pair, {quoted(cell)}; no file can be written with it")
    if not isinstance(cell, (bool, int, float, Decimal)):
        kind = "an object" if isinstance(cell, Pairs) else f"a {type(cell).__name__}"
        raise UserError(f"{where} holds {kind}; expected a text")
    return str(cell)


def place_of(row: Row, column: str | int, path: Path, columns: Sequence[str] | None = None) -> int | None:
    """Where a column stands in a row; None where it does not. A name counts first: a column may be called 1.

    Raises:
        UserError: several columns have that name.
    """
    found = row.names.count(str(column))
    if found > 1:
        raise UserError(f"{header_of(path, row.line, columns)}: column {quoted(column)} stands there {found} times")
    if found == 1:
        return row.names.index(str(column))
    # The keys of a JSON object are in no order.
    if not isinstance(column, int) or isinstance(column, bool) or path.suffix == ".jsonl":
        return None
    return column % len(row.names) if -len(row.names) <= column < len(row.names) else None


def header_of(path: Path, line: int, columns: Sequence[str] | None = None) -> str:
    """The place of the column names that a row has."""
    if path.suffix == ".parquet" or (columns and path.suffix in HEADED):
        return str(path)
    return f"{path}:1" if path.suffix in HEADED else f"{path}:{line}"


def is_unicode(text: str) -> bool:
    """Whether a text can be written to a file: JSON can hold halves of surrogate pairs."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
