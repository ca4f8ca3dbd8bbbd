"""A run's result: its key, its folder, reading and writing result.json. Imports no torch."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from head2head.errors import UserError
from head2head.files import ABANDONED, NO_ROOM, TAKEN, cannot_be_written, check_name, write_atomically
from head2head.run import processes

VERSION = 3  # raise when training changes meaning: no run is then taken for one of before
# Of result.json and of a line of results.jsonl. Raise it when a field is renamed or comes to mean something else, and
# say in UPGRADES how those of before are read; a field that is added with a default is no reason to. Those without a
# number are 1.
SCHEMA = 2
UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: lambda fields: fields}  # 2 has the number itself

OWNER = ".running"  # in a run's folder while it runs: whose it is


@dataclass(kw_only=True)
class Result:
    """What came of one run. result.json holds these fields.

    key: 64 hexadecimal digits that hash what was asked for: all settings and data that can change the result.
    stream: the arithmetic and the random masks that were really used (see head2head.speed.apply). Results are equal to
        the bit where key, stream and threads are.
    overrides: what was typed.
    config: the resolved configuration.
    head: label of the head, made of its parts.
    metric: name of the primary metric; `score` is its value on `split` at the last epoch.
    metrics: {"last": {split: {name: value}}, "best": the same of the epoch with the best score, with
        "epoch"}. Choosing the epoch on the validation data flatters: tables use the last.
    curve: of each validation: epoch, step, and metrics by split.
    baseline: split -> metric -> value of the best constant prediction, fitted on the training labels.
    collapsed: the predictions are constant. above_baseline: the score is above the majority baseline's.
    failed: why the run has no scores; None when it has.
    stopped: why the run ended before its time, with the scores it had then; None when it did not.
    layer_weights: of heads with learned layer weights: numbers of the hidden states ("layers") and what
        each is multiplied by after training ("weights").
    losses: mean training loss of each epoch, over its labels, while dropout is on and the weights move.
    converged: whether a head on stored features was trained to the end (head2head.frozen.convergence says how it is
        told); None where nobody knows.
    solution: of a classifier that was solved (optimizer=exact): "strength" that was chosen, "strengths" and "scores" of
        the inner cross-validation (primary metric, mean over its folds), "folds" of it.
    parameters: number of the head's, of the trainable, of all.
    seconds: "train", "validation" (within and behind training) and "total" (from the composed configuration on).
    together: number of runs that were trained together on a frozen encoder; `seconds` are then the run's share.
    tokens: word pieces trained on, over all devices; padding not counted. tokens_per_second: of training alone.
    peak_memory: bytes: of the process so far, or allocated on the GPU by this run when it trained there.
    truncated: split -> examples and words lost to `max_length`.
    folder: the run's folder, as `output_dir` gave it.
    stream: the arithmetic and the random masks that were used; "" in results from before it was recorded.
    data_warnings: what of the data may flatter or hurt (see head2head.data.survey), a line each.
    data, encoder: hashes of the splits' content and of the encoder's weights before training.
    version: of what training means. schema: of these fields.
    """

    key: str
    overrides: list[str]
    config: dict[str, Any]
    task: str
    head: str
    seed: int
    metric: str
    split: str
    score: float | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    curve: list[dict[str, Any]] = field(default_factory=list)
    baseline: dict[str, dict[str, float]] = field(default_factory=dict)
    collapsed: bool | None = None
    above_baseline: bool | None = None
    failed: str | None = None
    stopped: str | None = None
    experiment: str | None = None
    layer_weights: dict[str, list] | None = None
    losses: list[float] = field(default_factory=list)
    converged: bool | None = None
    solution: dict[str, Any] | None = None
    parameters: dict[str, int] = field(default_factory=dict)
    steps: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    together: int | None = None
    tokens: int = 0
    tokens_per_second: float = 0.0
    peak_memory: int = 0
    truncated: dict[str, dict[str, int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    data_warnings: list[str] = field(default_factory=list)
    data: dict[str, str] = field(default_factory=dict)
    encoder: str = ""
    threads: int = 0
    device: str = ""
    stream: str = ""
    git_commit: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    url: str | None = None
    folder: str | None = None
    version: int = VERSION
    schema: int = SCHEMA


def write_result(result: Result, folder: Path) -> None:
    """Write result.json, all of it or nothing."""
    write_atomically(folder / "result.json", json.dumps(asdict(result), indent=2, ensure_ascii=False) + "\n")


def read_result(folder: Path) -> Result:
    """Read a run's result.json.

    Raises:
        UserError: the folder has none, or one that cannot be read.
    """
    path = folder / "result.json"
    try:
        return parsed(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{folder}: not the folder of a finished run (it has no result.json)") from None
    except (ValueError, TypeError, RecursionError) as error:  # ValueError: neither JSON nor UTF-8
        raise UserError(f"{path}: not a result of this version of head2head: {error}") from None
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


class Newer(UserError):
    """A result that a later version of head2head has written."""


def parsed(text: str | bytes) -> Result:
    """The result that a JSON object stands for, of this schema or of one before.

    Raises:
        ValueError, TypeError: it stands for none.
        UserError: task or head is no name.
        Newer: its schema is a later one.
    """
    fields = json.loads(text)
    if not isinstance(fields, dict):
        raise TypeError("not a mapping")
    schema = fields.get("schema", 1)
    if not isinstance(schema, int) or schema < 1:
        raise ValueError(f"schema {schema}")
    if schema > SCHEMA:
        raise Newer(f"written by a later version of head2head (schema {schema}, and this one reads up to {SCHEMA})")
    for number in range(schema, SCHEMA):
        fields = UPGRADES[number](fields)
    return checked(Result(**(fields | {"schema": SCHEMA})))


def checked(result: Result) -> Result:
    """A result whose fields can be relied on, whoever has written them: names are names, and end up in no path.

    Raises:
        ValueError: they cannot be.
        UserError: task or head is no name.
    """
    for name in ("key", "task", "head", "metric", "split"):
        if not isinstance(getattr(result, name), str):
            raise ValueError(f"{name} is no text")
    for name in ("task", "head"):
        check_name(getattr(result, name), name)
    if not isinstance(result.seed, int) or not isinstance(result.config, dict):
        raise ValueError("seed or config is of the wrong type")
    if result.failed is None and not isinstance(result.score, (int, float)):
        raise ValueError("it has neither a score nor a reason for having none")
    return result


@contextlib.contextmanager
def run_folder(parent: Path, name: str) -> Iterator[Path]:
    """A folder of the run's own below `parent`, which no other run has: NAME, NAME.2, NAME.3 ...

    It is taken away again, with the parents made for it, when the block ends without a result.json: what
    a run leaves behind is whole. What a run of that name left that was killed is taken away, too.

    Raises:
        UserError: it cannot be written to.
        Unwritable: the disk is full, now or before the block has ended.
    """
    made: list[Path] = []
    try:
        for folder in [*reversed(parent.parents), parent]:
            if not folder.exists():
                folder.mkdir(exist_ok=True)
                made.append(folder)
        _clear_dead(parent, name)
        folder = _new_folder(parent, name)
        made.append(folder)
        write_atomically(folder / "config.yaml", "")  # a folder can be made on a disk that is full
    except OSError as error:
        _remove(made)
        raise cannot_be_written(f"output_dir: {parent / name}", error) from None
    try:
        yield folder
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise cannot_be_written(f"output_dir: {folder}", error) from error
    finally:
        (folder / OWNER).unlink(missing_ok=True)
        if not (folder / "result.json").exists():
            _remove(made)


def _clear_dead(parent: Path, name: str) -> None:
    """Remove the folders of that name whose run was killed before its result was written."""
    for owner in [*parent.glob(f"{name}/{OWNER}"), *parent.glob(f"{name}.*/{OWNER}")]:
        with contextlib.suppress(OSError, ValueError, TypeError):
            process = processes.Process(**json.loads(owner.read_text(encoding="utf-8")))
            if process.lives() is False and not (owner.parent / "result.json").exists():
                shutil.rmtree(owner.parent, ignore_errors=True)
    for unfinished in parent.glob(f".{name}.*"):
        with contextlib.suppress(OSError):
            if time.time() - unfinished.stat().st_mtime > ABANDONED:
                shutil.rmtree(unfinished, ignore_errors=True)


def _new_folder(parent: Path, name: str) -> Path:
    """A folder that says whose it is from the first moment on: one that did not yet, and whose run was killed, would be
    nobody's for ever."""
    private = parent / f".{name}.{uuid.uuid4().hex[:8]}"
    private.mkdir()
    try:
        write_atomically(private / OWNER, json.dumps(asdict(processes.this())) + "\n")
        number = 1
        while True:
            folder = parent / (name if number == 1 else f"{name}.{number}")
            try:
                if not folder.exists():  # one that is there and empty would be replaced
                    return private.rename(folder)
            except OSError as error:
                if error.errno not in TAKEN:
                    raise
            number += 1
    finally:
        shutil.rmtree(private, ignore_errors=True)


def _remove(made: list[Path]) -> None:
    """Take away the run's folder, then the parents that are empty."""
    for i, folder in enumerate(reversed(made)):
        if i == 0 and any((folder / name).exists() for name in ("config.yaml", OWNER)):
            shutil.rmtree(folder, ignore_errors=True)
            continue
        with contextlib.suppress(OSError):  # another run has moved in
            folder.rmdir()
