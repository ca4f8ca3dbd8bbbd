"""Labels and numbers as they are written in files."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from head2head.errors import VALUE, UserError, enumerated, quoted, shortened

UNPUBLISHED = frozenset({"-1", "-1.0"})  # in place of the labels of a test split, in copies of the hub's files
MANY = 20  # different values beyond which a column may be the text, or numbers, rather than labels


def numbering(labels: Sequence[str]) -> dict[str, int]:
    """Label -> its number."""
    return {label: number for number, label in enumerate(labels)}


def label_number(label: str, numbers: Mapping[str, int], where: str) -> int:
    """Number of a label written by name.

    Args:
        numbers: those of all labels, in order.
        where: the place it stands at, for the message.

    Raises:
        UserError: not one of the labels.
    """
    number = numbers.get(label)
    if number is None:
        same = next((known for known in numbers if plain(known) == plain(label)), None)
        hint = f"; it means {quoted(same)}, but is not written like it" if same is not None else ""
        raise UserError(f"{where}: unknown label {quoted(label)}; expected {enumerated(numbers, ' or ')}{hint}")
    return number


def as_number(text: str) -> float | None:
    """A number as files and spreadsheets write it, also NaN and infinities; None for anything else, such as Python's
    own 1_000 and digits of other scripts."""
    if "_" in text or not text.isascii():
        return None
    try:
        return float(text)
    except ValueError:
        return None


def number(text: str, where: str) -> float:
    """A finite number.

    Raises:
        UserError: it is none.
    """
    value = as_number(text)
    if value is None or not math.isfinite(value):
        raise UserError(f"{where}: expected a number, found {quoted(text)}")
    return value


def unpublished(written: Iterable[str], known: Iterable[str]) -> bool:
    """Whether the labels of a test split stand for labels that are not published: all are -1, which is no label.

    Args:
        known: the labels there are; empty for regression.
    """
    found = set(written)
    return bool(found) and found <= UNPUBLISHED and not found & set(known)


def plain(label: str) -> str:
    """What a label means, however it is written: composed as in NFC, without blanks around it, 1 for 1.0 and true."""
    text = unicodedata.normalize("NFC", label).strip()
    value = {"true": 1.0, "false": 0.0}.get(text.lower(), as_number(text))
    return text if value is None else repr(value)


def check_spelling(found: Mapping[str, int], path: Path) -> None:
    """Check that no two labels of a file are one label written in two ways: ` yes` and `yes`, 1 and 1.0 and true, é as
    one character and as two. They would be classes of their own.

    Args:
        found: label -> the first line that it stands on.

    Raises:
        UserError: they are.
    """
    seen: dict[str, str] = {}
    for label, line in found.items():
        other = seen.setdefault(plain(label), label)
        if other != label:
            one, two = (shortened(name, VALUE) for name in (label, other))
            raise UserError(
                f"{path}:{line}: label {one!a} is {two!a} of line {found[other]} in another spelling; write both alike"
            )


def check_number(found: Mapping[str, int], rows: int, column: str, path: Path) -> None:
    """Check that a column has fewer classes than would be expected of texts or measurements.

    Raises:
        UserError: it has more than MANY, and more than half as many as there are rows.
    """
    if len(found) > MANY and len(found) > rows / 2:
        raise UserError(
            f"{path}: column {quoted(column)} holds {len(found)} different values in {rows} rows; is it the text, or a "
            "number to be predicted? give the labels' column (task.label=COLUMN), or task.target=regression"
        )
