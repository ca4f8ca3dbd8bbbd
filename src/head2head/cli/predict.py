"""Predictions of a finished run for texts that nobody has labelled."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from head2head.data.task import Task
from head2head.errors import UserError
from head2head.files import BLOCK, lines_of, opened
from head2head.predict.examples import Example, of_column_lines, of_file, of_lines, of_texts
from head2head.predict.forms import FORMS, chosen_form, write
from head2head.predict.predictor import Predictor
from head2head.run.load import read_run, restore
from head2head.run.run import quiet

STDIN = Path("-")
STDIN_NAME = "standard input"


def predict(
    run: Path,
    text: str | None = None,
    pair: str | None = None,
    file: Path | None = None,
    output: Path | None = None,
    form: str | None = None,
    columns: bool = False,
    trust: Sequence[str] = (),
) -> None:
    """Predict a text, or what a file holds, and write the predictions in the order of the input.

    A file is read, predicted and written piece by piece, with a progress bar where somebody sees it.

    Args:
        file: what holds texts; `-` is standard input.
        form: of the predictions; by default as `output` ends, or jsonl.
        columns: the file is a column file, whatever its name.
        trust: packages with classes of the user's own that the run's configuration may name.

    Raises:
        UserError: nothing to predict, no such run or file, or an example that cannot be read.
    """
    quiet()
    if (text is None) == (file is None):
        raise UserError('give a text: head2head predict RUN "some text", or --input FILE (- for standard input)')
    if (
        text is not None
        and Path(text).suffix in {f".{name}" for name in (*FORMS, "tsv", "txt")}
        and Path(text).is_file()
    ):
        raise UserError(f"{text} is a file; to predict what it holds: --input {text}")
    if pair is not None and file is not None:
        raise UserError("--pair goes with a text; in a file the second texts have a column of their own")
    finished = read_run(run, trust)
    task = finished.task
    if columns and (task.kind != "token" or file is None):
        raise UserError("--columns is for an --input of words, and for a run on words")
    form = chosen_form(task, output, form, "jsonl")
    if output is not None and not output.absolute().parent.is_dir():
        raise UserError(f"--output {output}: there is no folder {output.parent}")
    if text is not None:
        examples, source = of_texts(task, [text], None if pair is None else [pair]), "the text"
    else:
        assert file is not None
        examples, source = examples_of(task, file, columns), STDIN_NAME if file == STDIN else str(file)
    first = next(examples, None)  # what cannot be read is said before the model is loaded
    if first is None:
        raise UserError(f"{source}: no examples")
    predictor = Predictor(restore(finished))
    write(predictor.predict(shown([first], examples, file)), form, output, source)


def examples_of(task: Task, file: Path, columns: bool) -> Iterator[Example]:
    """The examples of a file or of standard input, which has a text a line, or words in columns."""
    if file != STDIN:
        return of_file(task, file, columns)
    lines = lines_of(sys.stdin.buffer, STDIN_NAME)
    return of_column_lines(task, lines, STDIN_NAME) if columns else of_lines(task, lines, STDIN_NAME)


def shown(first: Iterable[Example], rest: Iterable[Example], file: Path | None) -> Iterator[Example]:
    """The examples; a bar says how many lines of their file have been read."""
    if file is None:
        yield from first
        return
    total = None if file == STDIN or not sys.stderr.isatty() else count_lines(file)
    with tqdm(total=total, unit=" lines", desc="predicting", disable=None, leave=False) as bar:
        for part in (first, rest):
            for example in part:
                yield example
                bar.update(example.line - bar.n)


def count_lines(path: Path) -> int:
    """Lines of a file, or rows of a parquet file."""
    if path.suffix == ".parquet":
        import pyarrow.parquet

        return pyarrow.parquet.read_metadata(path).num_rows
    with opened(path) as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(BLOCK), b""))
