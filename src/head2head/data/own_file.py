"""A file that a finished run is asked about: the task that reads it as the run's own files were read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from head2head.data.conll import Conll
from head2head.data.table import Table
from head2head.data.task import Task


def task_of_file(trained: Task, file: Path) -> Table | Conll:
    """A task whose splits are all one file.

    Args:
        trained: what the run was trained on: its labels, lengths and names of columns hold for the file.

    Raises:
        UserError: there can be no such task.
    """
    common: dict[str, Any] = {
        "name": trained.name,
        "metrics": trained.metrics,
        "labels": trained.labels,
        "max_length": trained.max_length,
        "pairs": trained.pairs,
        **dict.fromkeys(("train", "validation", "test"), str(file)),
    }
    if isinstance(trained, Conll):
        kept = {name: getattr(trained, name) for name in ("token_column", "tag_column", "context")}
        return Conll(**common, **kept)
    if trained.kind == "token":
        return Conll(**common)
    names: dict[str, Any] = {}
    if isinstance(trained, Table):
        names = {name: getattr(trained, name) for name in ("text", "text_pair", "label", "columns")}
    elif trained.has_pairs:
        names = {"text_pair": "text_pair"}
    return Table(**common, **names, target="regression" if trained.regression else "classification")
