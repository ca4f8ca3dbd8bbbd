"""What a task is: data, labels and metrics, whatever the source."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from head2head.errors import UserError, did_you_mean

if TYPE_CHECKING:  # importing datasets takes a second that `plan=true` and `--help` need not wait for
    from datasets import Dataset


# What head2head.metrics computes, by the kind of target; known here because importing it takes torch.
CLASSIFICATION_METRICS = ("accuracy", "f1", "macro_f1", "mcc")
REGRESSION_METRICS = ("pearson", "spearman")
TOKEN_METRICS = ("entity_f1", "entity_precision", "entity_recall")


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

    def __post_init__(self) -> None:
        """Check the settings. Subclasses fill in what they find in the data first, then call this.

        Raises:
            UserError: one that cannot be.
        """
        self.metrics, self.labels = listed("metrics", self.metrics), listed("labels", self.labels)
        # The seed is only there for generated tasks.
        settings = (("max_length", self.max_length, 3), ("data_seed", getattr(self, "data_seed", 0), 0))
        for name, value, least in (*settings, ("train_rows", 1 if self.train_rows is None else self.train_rows, 1)):
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise UserError(f"task.{name}={value}: a whole number, {least} or above")
        self._check_labels()
        self._check_metrics()

    def _check_labels(self) -> None:
        if len(set(self.labels)) < len(self.labels):
            raise UserError(f"task.labels={','.join(map(str, self.labels))}: a label stands there twice")
        if self.kind == "token" and self.labels and self.labels[0] != "O":
            raise UserError(
                f"task.labels: the first must be O, not {self.labels[0]}: words without word pieces are given it"
            )

    def _check_metrics(self) -> None:
        sentence_metrics = REGRESSION_METRICS if self.regression else CLASSIFICATION_METRICS
        known: Sequence[str] = TOKEN_METRICS if self.kind == "token" else sentence_metrics
        if not self.metrics:
            raise UserError(f"task.metrics is empty; choose from: {', '.join(known)}")
        for name in self.metrics:
            if name not in known:
                raise UserError(f"task.metrics: unknown metric {name!r}; {did_you_mean(str(name), known)}")
        if "f1" in self.metrics and self.labels and len(self.labels) != 2:
            raise UserError(f"task.metrics: f1 is for two labels, and there are {len(self.labels)}; take macro_f1")

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
                f"task.train_rows={self.train_rows}: the training split has {len(rows)} rows; give 1 to {len(rows)}"
            )
        chosen = np.random.default_rng(0).permutation(len(rows))[: self.train_rows]
        return rows.select(np.sort(chosen))


def listed(setting: str, value: Sequence[str] | str | None) -> Sequence[str]:
    """The value of a setting that is a list; a metric may stand alone.

    Raises:
        UserError: it is no list.
    """
    if value is None:
        return ()
    if isinstance(value, str) and setting == "metrics":
        return [value]
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise UserError(f"task.{setting}={value}: not a list; write task.{setting}=[A,B]")
    return value


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
