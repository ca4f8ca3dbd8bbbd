"""Lists of texts and labels as files, so that a run on them is like any other: hashed, recorded, reproducible."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from head2head.errors import UserError, quoted
from head2head.files import cannot_be_written, write_atomically

DATA = ".data"  # under output_dir


class Part(NamedTuple):
    """Examples: texts (or lists of words) with their labels (or lists of tags), and second texts where there are."""

    texts: Sequence[Any]
    labels: Sequence[Any]
    pairs: Sequence[str] | None = None


def written(parts: Mapping[str, Part], words: bool, parent: Path) -> dict[str, Path]:
    """The file of each part, in a folder that is named after their content.

    Args:
        words: texts are lists of words: column files; else jsonl.

    Raises:
        UserError: lists of different lengths, words that no column file can hold, or no place to write.
    """
    contents = {split: columns(*part) if words else rows(*part) for split, part in parts.items()}
    digest = hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()
    folder, files = parent / digest[:16], {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for split, content in contents.items():
            files[split] = folder / f"{split}{'.conll' if words else '.jsonl'}"
            write_atomically(files[split], content)
    except OSError as error:
        raise cannot_be_written(folder, error) from None
    return files


def rows(texts: Sequence[str], labels: Sequence[Any], pairs: Sequence[str] | None = None) -> str:
    """Texts and labels as jsonl.

    Raises:
        UserError: lists of different lengths.
    """
    check_lengths(texts, labels, pairs)
    seconds = [{}] * len(texts) if pairs is None else [{"text_pair": pair} for pair in pairs]
    return "".join(
        json.dumps({"text": text, **second, "label": plain(label)}) + "\n"
        for text, second, label in zip(texts, seconds, labels, strict=True)
    )


def columns(
    sentences: Sequence[Sequence[str]], labels: Sequence[Sequence[str]], pairs: Sequence[str] | None = None
) -> str:
    """Words and tags as a column file.

    Raises:
        UserError: lists of different lengths, or what columns cannot hold.
    """
    check_lengths(sentences, labels, None)
    if pairs is not None:
        raise UserError("a head on words reads single sentences, not pairs")
    lines = []
    for number, (words, tags) in enumerate(zip(sentences, labels, strict=True)):
        if len(words) != len(tags):
            raise UserError(f"text {number}: {len(words)} words and {len(tags)} tags; give one for each")
        for cell in (*words, *tags):
            if not isinstance(cell, str) or not cell or any(c in " \t\n" for c in cell):
                raise UserError(f"text {number}: {quoted(cell)} is no word or tag: empty, or with a blank in it")
        lines += [f"{word} {tag}\n" for word, tag in zip(words, tags, strict=True)]
        lines.append("\n")
    return "".join(lines)


def are_values(labels: Sequence[Any]) -> bool:
    """Whether labels are numbers to be predicted: of type float, all of them."""
    return len(labels) > 0 and all(isinstance(plain(label), float) for label in labels)


def plain(value: Any) -> Any:
    """A number of numpy's or torch's as Python's own."""
    return value.item() if hasattr(value, "item") else value


def check_lengths(texts: Sequence[Any], labels: Sequence[Any], pairs: Sequence[Any] | None) -> None:
    """Check that lists belong together.

    Raises:
        UserError: they are not equally long.
    """
    for name, others in (("labels", labels), ("second texts", pairs)):
        if others is not None and len(others) != len(texts):
            raise UserError(f"{len(texts)} texts and {len(others)} {name}; give one for each")
