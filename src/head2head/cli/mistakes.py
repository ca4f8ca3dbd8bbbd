"""`head2head errors RUN [RUN2]`: what a finished run gets wrong, or where two runs differ. Imports no torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from head2head.data.entities import Spans, parse_tag, sentence_starts, spans
from head2head.data.task import Task
from head2head.errors import UserError
from head2head.files import write_atomically
from head2head.report import mistakes
from head2head.report.mistakes import GOLD_KINDS, SPURIOUS, Disagreement
from head2head.run.key import build_task, held_out
from head2head.run.result import Result, read_result
from head2head.run.stored import read_config

MOST = 20  # examples of each kind that are listed


@dataclass(frozen=True)
class Predicted:
    """A finished run's predictions on one split, and the rows that were read.

    rows: of the split, in the order of the predictions. words: token tasks: (W,) all words, and lengths (S,) how many
        each sentence has.
    """

    folder: Path
    result: Result
    task: Task
    split: str
    table: pd.DataFrame
    rows: Any
    words: list[str]
    lengths: np.ndarray

    @property
    def numbers(self) -> tuple[np.ndarray, np.ndarray]:
        """Gold and predicted label numbers, or values."""
        gold, predicted = self.table["label"], self.table["prediction"]
        if self.task.regression:
            return gold.to_numpy(dtype=float), predicted.to_numpy(dtype=float)
        number = {name: i for i, name in enumerate(self.task.labels)}
        return gold.map(number).to_numpy(dtype=np.int64), predicted.map(number).to_numpy(dtype=np.int64)

    @property
    def types(self) -> list[str]:
        """Types of entities."""
        return sorted({name for _, name in map(parse_tag, self.task.labels) if name})

    def entities(self, column: str) -> Spans:
        """The entities that a column of tags (`label` or `prediction`) spells."""
        return entities_of(list(self.table[column]), self.types, self.lengths)

    def text(self, number: int) -> dict[str, str]:
        """The text of a row, and its second one, where there is one."""
        row = self.rows[int(number)]
        return {name: row[name] for name in ("text", "text_pair") if name in row}


def entities_of(tags: list[str], types: list[str], lengths: np.ndarray) -> Spans:
    """The entities of sentences of tags, one after the other."""
    number = {name: i for i, name in enumerate(types)}
    parsed = [parse_tag(tag) for tag in tags]
    prefix = np.array([prefix for prefix, _ in parsed], dtype=np.int64)
    type_ = np.array([number.get(name, -1) for _, name in parsed], dtype=np.int64)
    return spans(prefix, type_, sentence_starts(lengths))


def load(run: Path, split: str | None, data_dir: Path | None, trust: list[str]) -> Predicted:
    """A run's predictions, and the texts from the data, which are read again.

    Args:
        split: by default the one that the run's score is of.
        data_dir: where the data lie, if not where the run found them.

    Raises:
        UserError: no finished run, no predictions of that split, no labels, or the data are not those of the run.
    """
    result = read_result(run)
    if result.failed:
        raise UserError(f"{run}: this run has failed ({result.failed}); it has no predictions")
    split = split or result.split
    files = [run / f"predictions-{split}.parquet", run / f"predictions-{result.task}-{split}.parquet"]
    path = next((file for file in files if file.is_file()), None)
    if path is None:
        raise UserError(f"{run}: no predictions of {split}; make them: head2head evaluate {run} --split {split}")
    table = pd.read_parquet(path)
    if "label" not in table:
        raise UserError(f"{path}: {split} has no labels to compare predictions with")
    config = read_config(run, trust)
    if data_dir is not None:
        if "data_dir" not in config["task"]:
            raise UserError(f"--data-dir: task {result.task} has no data folder")
        config = config | {"task": config["task"] | {"data_dir": str(data_dir)}}
    task = held_out(config, build_task(config))
    rows = task.read(split)
    words = [word for tokens in rows["tokens"][:] for word in tokens] if task.kind == "token" else []
    lengths = np.array([len(tokens) for tokens in rows["tokens"][:]] if task.kind == "token" else [], dtype=np.int64)
    found = Predicted(run, result, task, split, table, rows, words, lengths)
    check(found)
    return found


def check(found: Predicted) -> None:
    """Check that the data are those that the run predicted.

    Raises:
        UserError: they are not.
    """
    token = found.task.kind == "token"
    column = found.rows["tags"][:] if token else found.rows["label"][:]
    values = np.array([tag for tags in column for tag in tags] if token else column)
    known = set(found.task.labels)
    if known and not set(found.table["label"]) | set(found.table["prediction"]) <= known:
        raise UserError(f"{found.folder}: its predictions have other labels than task {found.task.name}")
    if len(values) != len(found.table) or not np.allclose(values, found.numbers[0]):
        raise UserError(
            f"{found.folder}: the {found.split} data of task {found.task.name} are not those that the run predicted"
        )


def examine(run: Predicted, most: int = MOST) -> dict[str, Any]:
    """What one run gets wrong, as plain data.

    Args:
        most: examples that are listed of each kind.
    """
    found = {"run": _named(run), "split": run.split, "kind": "regression" if run.task.regression else run.task.kind}
    if run.task.kind == "token":
        return found | _entities(run, most)
    gold, predicted = run.numbers
    if run.task.regression:
        worst = mistakes.largest_errors(gold, predicted, most)
        listed = [_example(run, i, gold=float(gold[i]), prediction=float(predicted[i])) for i in worst]
        error = np.abs(predicted - gold)
        return found | {"n": len(gold), "mean_absolute_error": float(error.mean()), "examples": listed}
    labels = list(run.task.labels)
    probabilities = mistakes.softmax(np.stack(run.table["logits"].to_numpy()).astype(float))
    confidence = probabilities[np.arange(len(predicted)), predicted]
    worst = mistakes.confident_mistakes(gold, predicted, confidence, most)
    answers = {"gold": gold, "prediction": predicted}
    listed = [
        _example(run, i, **{name: labels[of[i]] for name, of in answers.items()}, probability=float(confidence[i]))
        for i in worst
    ]
    return found | {
        "n": len(gold),
        "wrong": int((gold != predicted).sum()),
        "labels": labels,
        "confusion": mistakes.confusion(gold, predicted, len(labels)).tolist(),
        "examples": listed,
    }


def _entities(run: Predicted, most: int) -> dict[str, Any]:
    gold, predicted = run.entities("label"), run.entities("prediction")
    errors = mistakes.entity_errors(gold, predicted)
    surface, theirs = mistakes.surfaces(gold, run.words), mistakes.surfaces(predicted, run.words)
    train = run.task.read("train")
    trained, lengths = list(train["tokens"][:]), np.array([len(tokens) for tokens in train["tokens"][:]])
    tags = [run.task.labels[tag] for sentence in train["tags"][:] for tag in sentence]
    words = [word for tokens in trained for word in tokens]
    known = set(mistakes.surfaces(entities_of(tags, run.types, lengths), words))
    seen = np.array([text in known for text in surface], dtype=bool)
    ends = np.cumsum(run.lengths)
    examples = {}
    for kind in GOLD_KINDS[1:]:
        chosen = np.flatnonzero(errors.kinds == kind)[:most]
        examples[kind] = [
            {
                "sentence": int(np.searchsorted(ends, gold.start[i], side="right")),
                "gold": f"{surface[i]} ({run.types[gold.type[i]]})",
                "prediction": _meant(run, theirs, predicted, errors.nearest[i]),
                "seen_in_training": bool(seen[i]),
                "text": _context(run, gold.start[i], ends),
            }
            for i in chosen
        ]
    examples[SPURIOUS] = [
        {
            "sentence": int(np.searchsorted(ends, predicted.start[i], side="right")),
            "gold": None,
            "prediction": _meant(run, theirs, predicted, i),
            "seen_in_training": theirs[i] in known,
            "text": _context(run, predicted.start[i], ends),
        }
        for i in errors.spurious[:most]
    ]
    return {
        "n": len(run.lengths),
        "entities": {"gold": len(gold.start), "predicted": len(predicted.start)},
        "kinds": mistakes.kind_counts(errors),
        "seen_in_training": mistakes.kind_counts(errors, seen),
        "unseen_in_training": mistakes.kind_counts(errors, ~seen),
        "labels": [*run.types, "none"],
        "confusion": mistakes.type_confusion(gold, predicted, errors, len(run.types)).tolist(),
        "examples": examples,
    }


def _meant(run: Predicted, surface: list[str], predicted: Spans, number: int) -> str | None:
    return None if number < 0 else f"{surface[number]} ({run.types[predicted.type[number]]})"


def _context(run: Predicted, word: int, ends: np.ndarray) -> str:
    """The sentence that a word stands in."""
    sentence = int(np.searchsorted(ends, word, side="right"))
    return " ".join(run.words[ends[sentence] - run.lengths[sentence] : ends[sentence]])


def _example(run: Predicted, number: int, **values: Any) -> dict[str, Any]:
    return {"index": int(number), "row": int(run.table["row"].iloc[number]), **run.text(number), **values}


def _named(run: Predicted) -> dict[str, Any]:
    result = run.result
    return {
        "folder": str(run.folder),
        "task": result.task,
        "head": result.head,
        "seed": result.seed,
        "metric": result.metric,
        "score": result.metrics.get("last", {}).get(run.split, {}).get(result.metric),
    }


def differ(first: Predicted, second: Predicted, most: int = MOST) -> dict[str, Any]:
    """The examples on which two runs differ, as plain data: texts, or sentences of a token task.

    Raises:
        UserError: the runs did not predict the same examples.
    """
    same = len(first.table) == len(second.table) and list(first.task.labels) == list(second.task.labels)
    if not same or first.task.kind != second.task.kind or not first.table["row"].equals(second.table["row"]):
        raise UserError(f"{first.folder} and {second.folder} did not predict the same examples ({first.split})")
    if not first.table["label"].equals(second.table["label"]):
        raise UserError(f"{first.folder} and {second.folder} were scored against different labels ({first.split})")
    found = {"runs": [_named(first), _named(second)], "split": first.split}
    if first.task.regression:
        gold, ours = first.numbers
        theirs = second.numbers[1]
        most_apart = np.argsort(-np.abs(ours - theirs), kind="stable")[:most]
        closer = np.abs(ours - gold) < np.abs(theirs - gold)
        listed = [
            _example(first, i, gold=float(gold[i]), first=float(ours[i]), second=float(theirs[i])) for i in most_apart
        ]
        counts = {"the first is closer": int(closer.sum()), "the second is closer or as close": int((~closer).sum())}
        return found | {"kind": "regression", "n": len(gold), "groups": counts, "examples": {"furthest apart": listed}}
    if first.task.kind == "token":
        return found | _sentences(first, second, most)
    gold, ours = first.numbers
    theirs, labels = second.numbers[1], first.task.labels
    sorted_ = mistakes.disagreement(ours == gold, theirs == gold, ours != theirs)
    return found | _grouped(
        sorted_,
        len(gold),
        lambda i: _example(
            first, i, gold=labels[int(gold[i])], first=labels[int(ours[i])], second=labels[int(theirs[i])]
        ),
        most,
    )


def _sentences(first: Predicted, second: Predicted, most: int) -> dict[str, Any]:
    sides = [first.entities("label"), first.entities("prediction"), second.entities("prediction")]
    gold, ours, theirs = (mistakes.written_out(side, len(first.words)) for side in sides)
    first_right, second_right = (~mistakes.sentences_differ(gold, side, first.lengths) for side in (ours, theirs))
    sorted_ = mistakes.disagreement(first_right, second_right, mistakes.sentences_differ(ours, theirs, first.lengths))
    bounds = list(pairwise(np.concatenate([[0], np.cumsum(first.lengths)])))

    def example(sentence: int) -> dict[str, Any]:
        start, end = bounds[sentence]
        listed = {
            name: ", ".join(
                f"{surface} ({first.types[type_]})"
                for surface, type_, at in zip(mistakes.surfaces(side, first.words), side.type, side.start, strict=True)
                if start <= at < end
            )
            for name, side in zip(("gold", "first", "second"), sides, strict=True)
        }
        return {"sentence": int(sentence), "text": " ".join(first.words[start:end]), **listed}

    return _grouped(sorted_, len(first.lengths), example, most)


def _grouped(found: Disagreement, n: int, example: Any, most: int) -> dict[str, Any]:
    examples = {
        group: [example(number) for number in found.numbers[found.groups == group][:most]] for group in found.counts
    }
    counts = {"both are right": found.both_right, "both are wrong alike": found.both_wrong, **found.counts}
    return {"kind": "examples", "n": n, "groups": counts, "examples": examples}


def errors(
    runs: list[Path],
    split: str | None,
    data_dir: Path | None,
    most: int,
    as_json: bool,
    output: Path | None,
    trust: list[str],
) -> dict[str, Any]:
    """Show what one run gets wrong, or where two differ; with `output` write it as a page.

    Raises:
        UserError: as `load` and `differ`, or the page cannot be written.
    """
    if output is not None and output.suffix != ".html":
        raise UserError(f"--output {output}: a page; give a name that ends in .html")
    loaded = [load(run, split, data_dir, trust) for run in runs]
    found = examine(loaded[0], most) if len(loaded) == 1 else differ(loaded[0], loaded[1], most)
    if as_json:
        print(json.dumps(found, ensure_ascii=False, indent=2))
    else:
        show(found)
    if output is not None:
        from head2head.report.mistakes_page import html

        try:
            write_atomically(output, html(found))
        except OSError as error:
            raise UserError(f"--output {output}: cannot be written: {error.strerror}") from None
        if not as_json:
            print(output)
    return found


def show(found: dict[str, Any]) -> None:
    """Print findings for people."""
    from head2head.report.mistakes_page import tables, title

    console = Console()
    console.print(title(found), markup=False, highlight=False)
    for caption, columns, rows in tables(found):
        console.print(f"\n{caption}", markup=False, highlight=False, soft_wrap=True)
        table = Table()
        for column in columns:
            table.add_column(Text(column))
        for row in rows:
            table.add_row(*(Text(str(cell)) for cell in row))
        console.print(table)
