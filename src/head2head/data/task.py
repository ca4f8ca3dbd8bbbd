"""What a task is: data, labels and metrics, whatever the source."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from head2head.errors import UserError

if TYPE_CHECKING:  # importing datasets takes a second that `plan=true` and `--help` need not wait for
    from datasets import Dataset


@dataclass(kw_only=True)
class Task(ABC):
    """Base of the tasks. A task's yaml names a subclass and fills its fields.

    name: of the task, in folders and tables.
    metrics: names of metrics, the primary one first; higher is better for all.
    labels: names of the labels in the order of their numbers; empty for regression.
    max_length: word pieces, special tokens included, beyond which an example is truncated (token
        tasks: split into overlapping windows).
    train_rows: train on that many rows only: a fixed choice that does not depend on the run's seed,
        and a smaller choice is part of a larger one.
    version: raised when the meaning of the task changes.
    notes: what reading found worth saying (tag scheme, skipped rows), filled by `read`.
    """

    kind: ClassVar[str] = "sentence"
    # Settings that say where the data lie. The run's key has the content in their place.
    places: ClassVar[frozenset[str]] = frozenset({"data_dir"})

    name: str
    metrics: Sequence[str]
    labels: Sequence[str] = ()
    max_length: int = 128
    train_rows: int | None = None
    version: int = 1
    notes: list[str] = field(default_factory=list, init=False)

    @property
    def regression(self) -> bool:
        """Whether the target is a number rather than a label."""
        return False

    @property
    def num_outputs(self) -> int:
        """Number of logits C: of the labels, or 1 for regression."""
        return 1 if self.regression else len(self.labels)

    @property
    def validation_splits(self) -> tuple[str, ...]:
        """The splits a run is scored on; the score is that of the first."""
        return ("validation",)

    @abstractmethod
    def sources(self) -> dict[str, Path | str]:
        """Split -> the local file it is read from, or what identifies it elsewhere."""

    @abstractmethod
    def load(self, split: str) -> Dataset:
        """The split's rows: `text`, `text_pair` (pairs only) and `label`; token tasks: `tokens`, `tags`
        (label numbers) and `document`. Without `label` or `tags` where the split has none.

        Raises:
            UserError: the data cannot be read, with file and line.
        """

    def read(self, split: str) -> Dataset:
        """`load`, after a check that the task has such a split; the training split cut to `train_rows`.

        Raises:
            UserError: no such split, or the data cannot be read.
        """
        if split not in self.sources():
            raise UserError(f"task {self.name} has no split {split}; it has: {', '.join(self.sources())}")
        rows = self.load(split)
        if len(rows) == 0:
            raise UserError(f"{self.sources()[split]}: no examples")
        if split != "train" or self.train_rows is None:
            return rows
        if not 0 < self.train_rows <= len(rows):
            raise UserError(
                f"task.train_rows={self.train_rows}: the training split has {len(rows)} rows; give 1 to that"
            )
        chosen = np.random.default_rng(0).permutation(len(rows))[: self.train_rows]
        return rows.select(np.sort(chosen))


def label_number(label: str, labels: Sequence[str], where: str) -> int:
    """Number of a label written by name.

    Raises:
        UserError: not one of the labels.
    """
    try:
        return labels.index(label)
    except ValueError:
        raise UserError(f"{where}: unknown label {label!r}; expected {' or '.join(labels)}") from None


def number(text: str, where: str) -> float:
    """A finite number.

    Raises:
        UserError: it is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise UserError(f"{where}: expected a number, found {text!r}")
    return value


def from_hub(name: str, configuration: str | None, split: str, revision: str | None, hint: str) -> Any:
    """A split of a dataset on the hub.

    Raises:
        UserError: the hub cannot be reached or has no such dataset.
    """
    import datasets

    try:
        return datasets.load_dataset(name, configuration, split=split, revision=revision)
    except Exception as error:  # the hub's client raises a dozen types of several libraries
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"{name} cannot be read from the hub ({reason}); {hint}") from error
