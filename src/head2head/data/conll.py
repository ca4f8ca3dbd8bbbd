"""Token data in column files (Tjong Kim Sang and De Meulder 2003): one word a line, its tag in a column."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from head2head.data.entities import detect_scheme, iob2_labels, parse_tag, to_iob2
from head2head.data.labels import check_spelling, numbering
from head2head.data.task import Task, from_hub, name_of_own, own_files
from head2head.errors import UserError, enumerated, quoted
from head2head.files import numbered_lines

if TYPE_CHECKING:
    from datasets import Dataset

DOCSTART = "-DOCSTART-"


class Sentence(NamedTuple):
    """A sentence of a column file: its words, their tags (none for words alone), its document's number, and the line
    of each word."""

    tokens: list[str]
    tags: list[str]
    document: int
    lines: list[int]


@dataclass
class Sentences:
    """What a column file holds; `lines` has the line number of each word, `tags` is empty for words alone."""

    tokens: list[list[str]]
    tags: list[list[str]]
    documents: list[int]
    lines: list[list[int]]


@dataclass(kw_only=True)
class Conll(Task):
    """Own token data: `train`, `validation` and `test` are column files.

    Labels come from the training file when none are given. Tags may be IOB1, IOB2, BIOES or BILOU; they
    become IOB2, and a note says what was found. A `-DOCSTART-` line opens a document. The test file may
    hold words alone, one a line.

    token_column, tag_column: where they stand in a line; columns are separated by blanks or tabs.
    columns: how many every line has; None takes the first line's number.
    context: "sentence", or "document" to fill a sentence's window up to `max_length` with its
        neighbours in the document (read, not predicted).
    """

    kind: ClassVar[str] = "token"
    own_name: ClassVar[str] = "conll"
    places: ClassVar[frozenset[str]] = frozenset({"data_dir", "train", "validation", "test"})

    train: str | None = None
    validation: str | None = None
    test: str | None = None
    token_column: int = 0
    tag_column: int = -1
    columns: int | None = None
    context: str = "sentence"

    def __post_init__(self) -> None:
        if self.context not in ("sentence", "document"):
            raise UserError(f"task.context={self.context}: choose from: sentence, document")
        for name in ("token_column", "tag_column"):
            if not isinstance(getattr(self, name), int):
                raise UserError(f"task.{name}={getattr(self, name)}: a column's number; the first is 0, the last -1")
        if not self.labels and self.train is not None:
            self.labels = self._labels_of(Path(self.train))
        self.name = name_of_own(self.name, self.own_name, self.train)
        super().__post_init__()

    def sources(self) -> dict[str, Path | str]:
        files = {"train": self.train, "validation": self.validation, "test": self.test}
        return own_files(self.own_name, files, self.fold)

    def _labels_of(self, path: Path) -> list[str]:
        """Labels for the entity types that are found in a file.

        Raises:
            UserError: none, or one that is written in two ways.
        """
        types: dict[str, int] = {}
        sentences = self._sentences(path)
        for tags, lines in zip(sentences.tags, sentences.lines, strict=True):
            for tag, line in zip(tags, lines, strict=True):
                if tag != "O":
                    types.setdefault(tag[2:], line)
        if not types:
            raise UserError(f"{path}: no entity, only O tags; nothing can be learned")
        check_spelling(types, path)
        return iob2_labels(sorted(types))

    def load(self, split: str) -> Dataset:
        from datasets import Dataset

        path = Path(self.sources()[split])
        sentences = self._sentences(path, may_lack_tags=split == "test")
        found = {"tokens": sentences.tokens, "document": sentences.documents}
        if sentences.tokens and not sentences.tags:
            self.note(f"{path}: words without tags, {len(sentences.tokens)} sentences")
            return Dataset.from_dict(found)
        self.note(f"{path}: {detect_scheme(sentences.tags)} tags, {len(sentences.tokens)} sentences")
        tags = to_iob2(sentences.tags)
        return Dataset.from_dict(found | {"tags": self._numbers(tags, sentences.lines, path)})

    def _numbers(
        self, tags: Sequence[Sequence[str]], lines: Sequence[Sequence[int]], source: Path | str
    ) -> list[list[int]]:
        """Tags as label numbers.

        Raises:
            UserError: one of a type that is no label.
        """
        known = numbering(self.labels)
        for row, places in zip(tags, lines, strict=True):
            for tag, line in zip(row, places, strict=True):
                if tag not in known:
                    types = enumerated(label[2:] for label in self.labels if label.startswith("B-"))
                    raise UserError(
                        f"{source}:{line}: unknown label {quoted(tag[2:])}; expected one of the types {types}"
                    )
        return [[known[tag] for tag in row] for row in tags]

    def _sentences(self, path: Path, may_lack_tags: bool = False) -> Sentences:
        """What a column file holds; see `sentences_of`."""
        found = Sentences([], [], [], [])
        for sentence in self.sentences_of(numbered_lines(path), str(path), may_lack_tags):
            found.tokens.append(sentence.tokens)
            if sentence.tags:
                found.tags.append(sentence.tags)
            found.documents.append(sentence.document)
            found.lines.append(sentence.lines)
        return found

    def sentences_of(
        self, lines: Iterable[tuple[int, str]], source: str, may_lack_tags: bool = False
    ) -> Iterator[Sentence]:
        """Read the lines of a column file.

        Args:
            lines: with their numbers.
            source: the file's name, for messages.
            may_lack_tags: take a first line of one column for a file of words alone.

        Raises:
            UserError: a line with too few columns, or a tag that is none.
        """
        found = Sentence([], [], 0, [])
        columns = self.columns
        for number, line in chain(lines, [(0, "")]):
            # Blanks and tabs alone: a word may be or hold another space, such as U+00A0.
            cells = [cell for cell in line.replace("\t", " ").split(" ") if cell]
            if cells and cells[0] != DOCSTART:
                columns = columns or max(len(cells), 1 if may_lack_tags else 2)
                if len(cells) != columns:
                    raise UserError(f"{source}:{number}: expected {columns} columns, found {len(cells)}")
                if columns == 1 and may_lack_tags:
                    found.tokens.append(cells[0])
                    found.lines.append(number)
                    continue
                for name in ("token_column", "tag_column"):
                    if not -columns <= getattr(self, name) < columns:
                        raise UserError(
                            f"{source}:{number}: task.{name}={getattr(self, name)}: there are {columns} columns"
                        )
                found.tokens.append(cells[self.token_column])
                found.tags.append(cells[self.tag_column])
                found.lines.append(number)
                try:
                    parse_tag(found.tags[-1])
                except ValueError as error:
                    raise UserError(f"{source}:{number}: {error}") from None
                continue
            document = found.document
            if found.tokens:
                yield found
            found = Sentence([], [], document + bool(cells), [])


@dataclass(kw_only=True)
class Conll2003(Conll):
    """CoNLL-2003, English: the original files in `data_dir`/conll2003, or the hub's copy."""

    data_dir: str | None = None
    hub: str = "tomaarsen/conll2003"
    hub_revision: str | None = None

    def sources(self) -> dict[str, Path | str]:
        files = {"train": "eng.train", "validation": "eng.testa", "test": "eng.testb"}
        if self.data_dir is None:
            return {split: f"{self.hub}@{self.hub_revision}/{split}" for split in files}
        return {split: Path(self.data_dir, "conll2003", file) for split, file in files.items()}

    def load(self, split: str) -> Dataset:
        from datasets import Dataset

        if self.data_dir is not None:
            return super().load(split)
        hint = "give data_dir=DIR (or $HEAD2HEAD_DATA) with the original files in DIR/conll2003"
        table = from_hub(self.hub, None, split, self.hub_revision, hint)
        names = table.features["ner_tags"].feature.names
        written = [[names[i] for i in row] for row in table["ner_tags"][:]]
        self.note(f"{self.hub}/{split}: {detect_scheme(written)} tags, {len(written)} sentences")
        tags = to_iob2(written)
        rows = [[row] * len(found) for row, found in enumerate(tags, start=1)]
        numbers = self._numbers(tags, rows, f"{self.hub}/{split}")
        known = "document_id" in table.column_names
        documents = table["document_id"][:] if known else list(range(len(numbers)))
        return Dataset.from_dict({"tokens": table["tokens"][:], "tags": numbers, "document": documents})
