"""Two data sets are two tasks: under one name a table would average their scores."""

from __future__ import annotations

from pathlib import Path

from head2head.data.task import Task
from head2head.errors import UserError
from head2head.files import sha256


class DataSets:
    """The files that a sweep's tasks read, by the tasks' names."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[dict[str, str], Path]] = {}

    def check(self, task: Task) -> None:
        """Check that a task reads files of the same content as those before it that have its name.

        Raises:
            UserError: it does not.
        """
        files = {split: file for split, file in task.run_sources().items() if isinstance(file, Path)}
        if not files:
            return
        content = {split: sha256(file) for split, file in files.items()}
        known, other = self._seen.setdefault(task.name, (content, files["train"]))
        if content != known:
            raise UserError(
                f"two data sets are called {task.name} ({other}, {files['train']}); give each a task of its own: "
                "configs/task/NAME.yaml, with its name and files"
            )
