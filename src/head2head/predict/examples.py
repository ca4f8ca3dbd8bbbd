"""What is predicted, read one by one: a file of a million lines takes no more memory than one of ten thousand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from head2head.data.columns import cell_of, is_unicode, place_of
from head2head.data.conll import Conll
from head2head.data.entities import parse_tag, to_iob2
from head2head.data.own_file import task_of_file
from head2head.data.rows import Row, read_rows
from head2head.data.table import Table
from head2head.data.task import Task
from head2head.data.words import joined, places_of_words
from head2head.errors import UserError, quoted
from head2head.files import numbered_lines

if TYPE_CHECKING:
    from datasets import Dataset

TABLES = frozenset({".csv", ".tsv", ".jsonl", ".parquet"})
LINES = ".txt"
SLICE = 1000  # rows of a data set that are taken at a time


@dataclass(frozen=True, slots=True)
class Example:
    """One text, pair of texts, or sentence.

    text: as it was read; of a sentence that came as words, these joined by single blanks.
    places: token tasks: (start, end) in the text of each word.
    label: what is known to be right: the label's name, the value, or a sentence's tags; None where nothing is.
    line: of its file, the last or only one, for the progress bar and messages.
    document: number of the document, for sentences that are read with their neighbours.
    """

    text: str
    text_pair: str | None = None
    places: Sequence[tuple[int, int]] = ()
    label: str | float | Sequence[str] | None = None
    line: int = 0
    document: int = 0

    @property
    def words(self) -> list[str]:
        """Of a token task."""
        return [self.text[start:end] for start, end in self.places]


def of_texts(task: Task, texts: Iterable[str | Sequence[str]], pairs: Iterable[str] | None = None) -> Iterator[Example]:
    """Texts, or pairs of them; for a token task raw texts, or lists of words.

    Raises:
        UserError: the task reads pairs and there are none, or the other way round, or a text is none.
    """
    if task.has_pairs and pairs is None:
        raise UserError(f"task {task.name} reads two texts: give the second one, too (--pair TEXT)")
    if pairs is not None and not task.has_pairs:
        raise UserError(f"task {task.name} reads single texts, not pairs; leave the second one out")
    together = zip(texts, repeat(None)) if pairs is None else zip(texts, pairs, strict=True)
    for number, (text, pair) in enumerate(together, start=1):
        words = task.kind == "token" and not isinstance(text, str)
        for part in (*(text if words else (text,)), *([] if pair is None else [pair])):
            if not isinstance(part, str) or not is_unicode(part) or (words and not part):
                raise UserError(
                    f"text {number}: {quoted(part)} is not a {'word' if words else 'text'} in valid Unicode"
                )
        places: Sequence[tuple[int, int]] = ()
        if words:
            text, places = joined(text)
        elif task.kind == "token":
            places = places_of_words(str(text))
        yield Example(str(text), pair, places, line=number, document=number)


def of_file(task: Task, path: Path, columns: bool = False) -> Iterator[Example]:
    """What a file holds: a text a line (.txt), a row (csv, tsv, jsonl, parquet), or words in columns.

    Args:
        task: what the run was trained on.
        columns: token tasks: it is a column file, whatever its name ends in.

    Raises:
        UserError: it cannot be read, or lacks what the task reads.
    """
    if task.kind == "token" and (columns or path.suffix not in TABLES | {LINES}):
        return of_column_lines(task, numbered_lines(path), str(path))
    if path.suffix in TABLES:
        return of_words_in_rows(path) if task.kind == "token" else of_rows(task_of_file(task, path), path)
    if path.suffix == LINES:
        return of_lines(task, numbered_lines(path), str(path))
    known = ", ".join(sorted(TABLES | {LINES}))
    raise UserError(f"{path}: unknown kind of file {path.suffix!r}; expected {known}")


def of_lines(task: Task, lines: Iterable[tuple[int, str]], source: str) -> Iterator[Example]:
    """A text a line; an empty line is an empty text, so that line k of what comes out belongs to line k.

    Raises:
        UserError: the task reads pairs, or these are words in columns.
    """
    if task.has_pairs:
        raise UserError(
            f"{source}: task {task.name} reads two texts, and a line is one; give a csv, tsv, jsonl or parquet file "
            "with a column for each"
        )
    for number, line in lines:
        if task.kind != "token":
            yield Example(line, line=number)
            continue
        if number == 1 and looks_like_columns(line):
            raise UserError(f"{source}:1: this looks like words in columns, not like a text; say --columns")
        yield Example(line, places=places_of_words(line), line=number, document=number)


def looks_like_columns(line: str) -> bool:
    """Whether a line is a word with a tag behind it, or the mark of a document."""
    cells = line.split()
    try:
        return cells[0] == "-DOCSTART-" or (1 < len(cells) <= 5 and parse_tag(cells[-1]) is not None)
    except (ValueError, IndexError):
        return False


def of_rows(task: Task, path: Path) -> Iterator[Example]:
    """The texts of a table's rows, in the columns that the run was trained on.

    Raises:
        UserError: a row without them.
    """
    assert isinstance(task, Table)
    for row in read_rows(path, task.columns):
        text = cell_of(row, task.text, path, task.columns)
        pair = None if task.text_pair is None else cell_of(row, task.text_pair, path, task.columns)
        yield Example(text, pair, line=row.line)


def of_words_in_rows(path: Path) -> Iterator[Example]:
    """Sentences of a table's rows: the column `tokens`, a list of words (jsonl, parquet), or the column `text`.

    Raises:
        UserError: a row with neither.
    """
    for row in read_rows(path):
        if place_of(row, "tokens", path) is None:
            text = cell_of(row, "text", path)
            places = places_of_words(text)
        else:
            text, places = joined(words_of(row, path))
        yield Example(text, places=places, line=row.line, document=row.line)


def words_of(row: Row, path: Path) -> list[str]:
    """The column `tokens`.

    Raises:
        UserError: it is no list of words.
    """
    place = place_of(row, "tokens", path)
    assert place is not None
    words = row.cells[place]
    if not isinstance(words, list) or not all(isinstance(word, str) and word and is_unicode(word) for word in words):
        raise UserError(f"{path}:{row.line}: column 'tokens' is no list of words")
    return words


def of_column_lines(task: Task, lines: Iterable[tuple[int, str]], source: str) -> Iterator[Example]:
    """The sentences of a column file, with their tags as IOB2 where it has any."""
    reader = task_of_file(task, Path(source))
    assert isinstance(reader, Conll)
    for sentence in reader.sentences_of(lines, source, may_lack_tags=True):
        text, places = joined(sentence.tokens)
        tags = to_iob2([sentence.tags])[0] if sentence.tags else None
        yield Example(text, None, places, tags, sentence.lines[-1], sentence.document)


def of_dataset(task: Task, rows: Dataset) -> Iterator[Example]:
    """The rows of a task's split, with what is known to be right."""
    names, gold = list(task.labels), "tags" if task.kind == "token" else "label"

    def named(label: Any) -> Any:
        if isinstance(label, list):
            return [names[number] for number in label]
        return names[label] if names else label

    for start in range(0, len(rows), SLICE):
        found = rows[start : start + SLICE]
        count = len(next(iter(found.values())))
        labels = [named(label) for label in found[gold]] if gold in found else [None] * count
        if task.kind == "token":
            for words, tags in zip(found["tokens"], labels, strict=True):
                text, places = joined(words)
                yield Example(text, None, places, tags)
        else:
            pairs = found.get("text_pair", [None] * count)
            yield from map(Example, found["text"], pairs, [()] * count, labels)
