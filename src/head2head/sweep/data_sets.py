"""Two data sets are two tasks: under one name a table would average their scores."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from head2head.data.task import Task
from head2head.errors import UserError
from head2head.files import sha256


def check_data_sets(tasks: Iterable[Task]) -> None:
    """Check that tasks of one name read files of the same content.

    Raises:
        UserError: they do not.
    """
    seen: dict[str, tuple[dict[str, str], Path]] = {}
    for task in tasks:
        files = {split: file for split, file in task.run_sources().items() if isinstance(file, Path)}
        if not files:
            continue
        content = {split: sha256(file) for split, file in files.items()}
        known, other = seen.setdefault(task.name, (content, files["train"]))
        if content != known:
            raise UserError(
                f"two data sets are called {task.name} ({other}, {files['train']}); give each a task of its own: "
                "configs/task/NAME.yaml, with its name and files"
            )
