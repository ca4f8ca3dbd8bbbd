"""The forms in which predictions are written: csv, jsonl, parquet, and the column files that conlleval reads.

Texts have a row a text. Words have a row a word in csv and parquet, with the entity that it belongs to; an object a
sentence in jsonl; a line a word in column files.
"""

from __future__ import annotations

import contextlib
import csv
import json
import sys
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.parquet

from head2head.data.task import Task
from head2head.errors import UserError, quoted
from head2head.files import replacing
from head2head.predict.predictions import Prediction, SentencePrediction

FORMS = ("csv", "jsonl", "parquet", "conll")
SOME = 10_000  # predictions of a parquet file's group of rows
BLANKS = " \t\n\r\x0b\x0c"  # which separate conlleval's columns

Predicted = Prediction | SentencePrediction


def chosen_form(task: Task, output: Path | None, form: str | None, default: str) -> str:
    """The form that was asked for, else that of the output's ending.

    Raises:
        UserError: there is no such form, or not for this task.
    """
    ending = output.suffix.removeprefix(".") if output is not None else ""
    found = form or ending or default
    if found not in FORMS:
        where = f"--format {found}" if form else f"--output {output}"
        raise UserError(f"{where}: unknown form; give --format {', '.join(FORMS[:-1])} or {FORMS[-1]}")
    if found == "conll" and task.kind != "token":
        raise UserError(f"--format conll is for words with labels, and task {task.name} has one a text; take csv")
    return found


def write(predicted: Iterable[Predicted], form: str, output: Path | None, source: str) -> int:
    """Write predictions as they come, to a file that appears when it is whole, or to standard output. Returns their
    number.

    Args:
        source: of the examples, for messages.

    Raises:
        UserError: there are none, the file cannot be written, or the form cannot hold a prediction.
    """
    if form == "parquet" and output is None:
        raise UserError("--format parquet: give --output FILE; a table is not for standard output")
    with contextlib.ExitStack() as stack:
        path = stack.enter_context(replacing(output)) if output is not None else None
        if form == "parquet":
            assert path is not None
            count = _parquet(predicted, path)
        else:
            file = stack.enter_context(path.open("w", encoding="utf-8", newline="")) if path else sys.stdout
            count = {"csv": _csv, "jsonl": _jsonl, "conll": _conll}[form](predicted, file)
        if not count:
            raise UserError(f"{source}: no examples")
        return count


def columns_of(one: Predicted) -> dict[str, pa.DataType]:
    """Names and types of the columns of a table of predictions that are like this one."""
    known = one.example.label is not None
    if isinstance(one, SentencePrediction):
        return {
            "sentence": pa.int64(),
            "word": pa.string(),
            "start": pa.int64(),
            "end": pa.int64(),
            **({"label": pa.string()} if known else {}),
            "prediction": pa.string(),
            "probability": pa.float64(),
            "entity": pa.string(),
            "entity_start": pa.int64(),
            "entity_end": pa.int64(),
        }
    kind = pa.string() if isinstance(one.value, str) else pa.float64()
    return {
        "text": pa.string(),
        **({"text_pair": pa.string()} if one.example.text_pair is not None else {}),
        **({"label": kind} if known else {}),
        "prediction": kind,
        **({"probability": pa.float64()} if one.probability is not None else {}),
    }


def rows_of(one: Predicted, number: int) -> list[tuple]:
    """The rows of a table that stand for one prediction, with the cells that `columns_of` names.

    Args:
        number: of the sentence in its file; the first is 0.
    """
    example = one.example
    if isinstance(one, SentencePrediction):
        entities: list[tuple] = [(None, None, None)] * len(one.values)
        for entity in one.entities:
            cells = (entity.type, entity.start, entity.end)
            entities[entity.first : entity.last + 1] = [cells] * (entity.last + 1 - entity.first)
        labels = [()] * len(one.values) if example.label is None else [(label,) for label in example.label]  # type: ignore[union-attr]
        columns = (example.words, example.places, labels, one.values, one.probabilities, entities)
        return [
            (number, word, *place, *label, value, probability, *entity)
            for word, place, label, value, probability, entity in zip(*columns, strict=True)
        ]
    known = (example.text, example.text_pair, example.label)
    return [(*(cell for cell in (*known, one.value, one.probability) if cell is not None),)]


def of_sentence(one: SentencePrediction, number: int) -> dict[str, Any]:
    """A sentence as an object: its text, its words and its entities, each with its place in the text."""
    names = [name for name in columns_of(one) if name not in ("sentence", "entity", "entity_start", "entity_end")]
    return {
        "sentence": number,
        "text": one.example.text,
        "words": [dict(zip(names, row[1:], strict=False)) for row in rows_of(one, number)],
        "entities": [
            {
                "type": entity.type,
                "text": one.example.text[entity.start : entity.end],
                "start": entity.start,
                "end": entity.end,
                "probability": entity.probability,
            }
            for entity in one.entities
        ],
    }


class _Newlines:
    """What csv writes, with lines that end in newlines alone. It quotes a carriage return in a cell, which its own
    reader asks for, only where lines end in one."""

    def __init__(self, file: TextIO):
        self.file = file

    def write(self, row: str) -> int:
        return self.file.write(row.removesuffix("\r\n") + "\n")


def _csv(predicted: Iterable[Predicted], file: TextIO) -> int:
    writer = csv.writer(_Newlines(file), lineterminator="\r\n")
    count = 0
    for count, one in enumerate(predicted, start=1):
        if count == 1:
            writer.writerow(columns_of(one))
        writer.writerows(rows_of(one, count - 1))
    return count


def _jsonl(predicted: Iterable[Predicted], file: TextIO) -> int:
    count = 0
    for count, one in enumerate(predicted, start=1):
        if isinstance(one, SentencePrediction):
            row = of_sentence(one, count - 1)
        else:
            row = dict(zip(columns_of(one), rows_of(one, count - 1)[0], strict=True))
        file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return count


def _conll(predicted: Iterable[Predicted], file: TextIO) -> int:
    """Word, label where it is known, prediction, with a blank between them; an empty line behind each sentence."""
    count = 0
    for count, one in enumerate(predicted, start=1):
        assert isinstance(one, SentencePrediction)
        words = one.example.words
        for word in words:
            if any(c in BLANKS for c in word):
                raise UserError(
                    f"sentence {count - 1}: the word {quoted(word)} has a blank in it, and blanks separate columns; "
                    "take --format jsonl"
                )
        labels = [] if one.example.label is None else [one.example.label]
        columns: list[Any] = [words, *labels, one.values]
        file.writelines(" ".join(cells) + "\n" for cells in zip(*columns, strict=True))
        if words:
            file.write("\n")
    return count


def _parquet(predicted: Iterable[Predicted], path: Path) -> int:
    numbered = enumerate(predicted)
    first = next(numbered, None)
    if first is None:
        return 0
    schema = pa.schema(list(columns_of(first[1]).items()))
    count, part = 0, [first]
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        while part:
            count += len(part)
            rows = [row for number, one in part for row in rows_of(one, number)]
            if rows:
                columns = [
                    pa.array(cells, kind) for cells, kind in zip(zip(*rows, strict=True), schema.types, strict=True)
                ]
                writer.write_table(pa.table(columns, schema=schema))
            part = list(islice(numbered, SOME))
    return count
