"""Bad files for the readers: good ones, changed at random. What comes of one is data or one line for the user.

`python tests/data/bad_files.py --count 5000` reads that many in a process for each reader, and prints a table of what
came of them, with the slowest file and the largest process.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import os
import random
import re
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from head2head.data.conll import Conll
from head2head.data.glue import Glue
from head2head.data.table import Table
from head2head.data.task import Task
from head2head.errors import UserError

ROWS = 30
COLOURS = ("red", "green", "blue", "black", "white")
NLI = ("entailment", "not_entailment")
TAGS = ("O", "B-PER", "I-PER", "O", "B-LOC")


def says(i: int, label: str) -> str:
    """A text that says its label, so that a shift shows."""
    return f"row {i} says {label}"


def of(labels: Sequence[str]) -> list[tuple[int, str, str]]:
    """Number, text and label of the rows of a good file."""
    return [(i, says(i, labels[i % len(labels)]), labels[i % len(labels)]) for i in range(ROWS)]


def parquet(rows: Sequence[tuple]) -> bytes:
    buffer, columns = io.BytesIO(), zip(*rows, strict=True)
    pyarrow.parquet.write_table(
        pyarrow.table(dict(zip(("n", "text", "label"), map(list, columns), strict=True))),
        buffer,
        row_group_size=ROWS // 2,
    )
    return buffer.getvalue()


def csv_rows() -> str:
    quoted = ((i, f'"{text}, ""so"""' if i % 7 == 3 else text, label) for i, text, label in of(COLOURS))
    return "id,text,label\r\n" + "".join(f"{i},{text},{label}\r\n" for i, text, label in quoted)


def glue(metrics: Sequence[str] = ("accuracy",), **settings: Any) -> Callable[[Path], Task]:
    def build(path: Path) -> Task:
        return Glue(
            folder=".", files={"train": path.name}, data_dir=str(path.parent.parent), metrics=metrics, **settings
        )

    return build


def own(**settings: Any) -> Callable[[Path], Task]:
    return lambda path: Table(name="table", metrics=(), train=str(path), validation=str(path), **settings)


def own_test(path: Path) -> Task:
    return Table(name="t", metrics=(), labels=COLOURS, train=str(path), validation=str(path), test=str(path))


@dataclass(frozen=True)
class Reader:
    """A reader under test.

    file: name of its file. good: the content of a good one. build: a task that reads it. split: the split that is read.
    """

    file: str
    good: bytes
    build: Callable[[Path], Task]
    split: str = "train"


JSONL = "".join(f'{{"text": "{t}", "n": [{i}, 1.5e3], "label": "{y}"}}\n' for i, t, y in of(COLOURS))
STS = [(i, says(i, f"{i / 10}"), f"{i / 10}") for i in range(ROWS)]
WORDS = [[(f"w{i}{tag}", tag) for tag in TAGS] for i in range(ROWS // 5)]
READERS = {
    "glue by name": Reader(
        "rte.tsv",
        ("index\ts1\ts2\tlabel\n" + "".join(f'{i}\t{t}\tit" is\t{y}\n' for i, t, y in of(NLI))).encode(),
        glue(name="rte", columns={"text": "s1", "text_pair": "s2", "label": "label"}, labels=NLI),
    ),
    "glue by number": Reader(
        "cola.tsv",
        "".join(f"gj04\t{y}\t*\t{t}\n" for i, t, y in of("01")).encode(),
        glue(
            name="cola", columns={"text": "s", "label": "y"}, labels=("no", "yes"), label_numbers=True,
            header=("source", "y", "star", "s"),
        ),
    ),
    "glue scores": Reader(
        "stsb.tsv",
        ("\ufeffindex\ts1\tscore\n" + "".join(f"{i}\t{t}\t{y}\n" for i, t, y in STS)).encode(),
        glue(name="stsb", metrics=("spearman",), columns={"text": "s1", "label": "score"}),
    ),
    "csv": Reader("own.csv", csv_rows().encode(), own()),
    "csv, no header": Reader(
        "own.csv", "".join(f"{y},{t}\n" for _, t, y in of(COLOURS)).encode(), own(columns=["label", "text"])
    ),
    "tsv": Reader("own.tsv", ("label\ttext\n" + "".join(f"{y}\t{t}\n" for _, t, y in of(COLOURS))).encode(), own()),
    "jsonl": Reader(
        "own.jsonl",
        JSONL.encode(),
        own(),
    ),
    "jsonl, test split": Reader("own.jsonl", JSONL.encode(), own_test, "test"),
    "parquet": Reader("own.parquet", parquet(list(of(COLOURS))), own()),
    "conll": Reader(
        "own.txt",
        "\n".join("".join(f"{word} {tag}\n" for word, tag in sentence) for sentence in WORDS).encode(),
        lambda path: Conll(name="conll", metrics=("entity_f1",), train=str(path), validation=str(path)),
    ),
    "conll, four columns": Reader(
        "own.txt",
        ("-DOCSTART- -X- O O\n\n" + "\n".join(
            "".join(f"{word} NN\tI-NP {tag}\n" for word, tag in sentence) for sentence in WORDS
        )).encode(),
        lambda path: Conll(name="conll", metrics=("entity_f1",), train=str(path), validation=str(path), columns=4),
    ),
}  # fmt: skip

# What stands in bad files: bytes that are no text, separators, quotes, marks, labels and numbers of other spellings.
SCRAPS = [
    *(b"", b"\n", b"\r", b"\r\n", b"\n\n", b"\t", b",", b" ", b'"', b'""', b"'", b"\\", b"\0", b"\xff", b"\xc3"),
    *(text.encode() for text in ("\ufeff", "\u2028", "\u200e", "e\u0301", "\u00e9", "\u0663", "{", "}", "[", "]", ":")),
    *(b"null", b"true", b"NaN", b"-1", b"1_0", b"1e999", b"1" * 5000, b"[" * 3000, b'{"a":' * 2000, b"\\ud800"),
    *(b'"text": 1, ', b"-DOCSTART-", b"B-", b"I-PER", b"O", b"red", b" red", b"row 1 says red", b"x" * 10_000),
    b"\xed\xa0\x80",  # a surrogate in UTF-8
]  # fmt: skip
Mutation = tuple[str, int, int, int]  # what is done, where from, where to, with what
KINDS = ("insert", "replace", "delete", "repeat", "flip", "cut", "line")


def changed(content: bytes, mutations: Sequence[Mutation]) -> bytes:
    """The content after some changes, each a function of its four values and of what it finds."""
    for kind, one, two, three in mutations:
        size = len(content) + 1
        start, end = sorted((one % size, (one + two % 40) % size))
        scrap = SCRAPS[three % len(SCRAPS)]
        if kind == "insert":
            content = content[:start] + scrap + content[start:]
        elif kind == "replace":
            content = content[:start] + scrap + content[end:]
        elif kind == "delete":
            content = content[:start] + content[end:]
        elif kind == "repeat":
            content = content[:end] + content[start:]
        elif kind == "flip" and start < len(content):
            content = content[:start] + bytes([content[start] ^ (1 << three % 8)]) + content[start + 1 :]
        elif kind == "cut":
            content = content[:start]
        elif kind == "line":
            lines = content.split(b"\n")
            lines[one % len(lines)] = [b"", scrap, lines[two % len(lines)]][three % 3]
            content = b"\n".join(lines)
    return content


def drawn(rng: random.Random) -> list[Mutation]:
    """One to three changes."""
    numbers = [[rng.randrange(1 << 16) for _ in range(3)] for _ in range(rng.choice((1, 1, 2, 3)))]
    return [(rng.choice(KINDS), one, two, three) for one, two, three in numbers]


def outcome(name: str, content: bytes, folder: Path, changes: int) -> str:
    """What comes of a file: "data", or "error".

    Args:
        folder: where to write it; relative, or the message will be longer.
        changes: how many were made to the good file.

    Raises:
        AssertionError: neither is as it should be.
    """
    reader = READERS[name]
    path = folder / "glue" / reader.file
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    try:
        task = reader.build(path)
        rows = task.read(reader.split)
    except UserError as error:
        message = str(error)
        assert re.match(re.escape(str(path)) + r"(:\d+)?: \S", message), message
        assert len(message) < 300, message
        assert message.isprintable(), message
        return "error"
    check_rows(name, task, rows.to_dict(), changes)
    return "data"


def check_rows(name: str, task: Task, rows: dict[str, list], changes: int) -> None:
    """Check that texts have the labels that they say, but where something was changed: a change reaches two rows at
    most. Of parquet files, whose bytes stand for whole columns, that there are as many labels as texts."""
    assert len({len(column) for column in rows.values()}) == 1
    if "tokens" in rows:
        pairs = [
            (re.fullmatch(r"w\d+(?:O|[BI]-(\w+))", word), task.labels[tag])
            for words, tags in zip(rows["tokens"], rows["tags"], strict=True)
            for word, tag in zip(words, tags, strict=True)
        ]
        wrong = [(found[0], tag) for found, tag in pairs if found and (found[1] or "O") != tag[2:] + "O" * (tag == "O")]
    else:
        assert all(isinstance(text, str) and text.encode() is not None for text in rows["text"])
        if "label" not in rows:
            return
        names = [f"{y:g}" if task.regression else written(task, y) for y in rows["label"]]
        found = [re.fullmatch(r'row \d+ says ([\w.]+)(?:, "so")?', text) for text in rows["text"]]
        wrong = [
            (text[0], name) for text, name in zip(found, names, strict=True) if text and same(text[1], name) is False
        ]
    assert len(wrong) <= 2 * changes or name == "parquet", wrong


def written(task: Task, label: int) -> str:
    """A label as the file writes it."""
    return str(label) if getattr(task, "label_numbers", False) else str(task.labels[label])


def same(said: str, found: str) -> bool:
    """Whether a text says the label, or the number, that was found."""
    try:
        return said == found or float(said) == float(found)
    except ValueError:
        return False


def survey(name: str, count: int, seed: int) -> tuple[Counter, float, int]:
    """Outcomes of many files of a reader, processor seconds of the slowest, and the process's largest size in bytes."""
    rng, found, slowest = random.Random(f"{seed} {name}"), Counter(), 0.0
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # messages with short paths
        outcome(name, READERS[name].good, Path(), 0)  # imports what the readers need
        for _ in range(count):
            mutations = drawn(rng)
            content = changed(READERS[name].good, mutations)
            signal.alarm(10)
            started = time.process_time()
            try:
                found[outcome(name, content, Path(), len(mutations))] += 1
            except Exception as error:  # what is looked for
                found["wrong"] += 1
                print(f"{name}: {mutations}: {type(error).__name__}: {error}"[:600], file=sys.stderr)
            slowest = max(slowest, time.process_time() - started)
            signal.alarm(0)
    return found, slowest, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    each = -(-options.count // len(READERS))
    print(f"{'reader':<22}{'files':>6}{'data':>7}{'error':>7}{'wrong':>7}{'slowest':>10}{'memory':>9}")
    failed = False
    for name in READERS:  # a process each, whose end is an error here: a reader may crash, or hang and be ended
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            found, slowest, size = pool.submit(survey, name, each, options.seed).result()
        counts = "".join(f"{found[kind]:>7}" for kind in ("data", "error", "wrong"))
        print(f"{name:<22}{each:>6}{counts}{slowest:>8.2f} s{size / 1e6:>6.0f} MB")
        failed |= bool(found["wrong"]) or slowest > 2 or size > 1e9
    sys.exit(failed)


if __name__ == "__main__":
    main()
