"""What a task is: data, labels and metrics, whatever the source."""

from __future__ import annotations

import copy
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from head2head.data.columns import is_unicode
from head2head.data.folds import Cut, Fold, cut
from head2head.data.groups import count_shared, groups_of
from head2head.errors import UserError, did_you_mean, enumerated, quoted, shortened
from head2head.files import check_name

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
    pairs: how the texts of a pair are read: "together" in one sequence, or "apart", each in one of its own that is cut
        to `max_length` by itself.
    leave_out_contained: cut only those training rows into folds whose text lies inside no other's (SST-2's are
        phrases cut from sentences). Changes nothing without folds.
    version: raised when the meaning of the task changes.
    notes: what reading found worth saying (tag scheme, skipped rows), filled by `read`.
    fold: the training rows that are held out and scored, given by `with_fold`; None trains on all.
    """

    kind: ClassVar[str] = "sentence"
    # Settings that say where the data lie. The run's key has the content in their place.
    places: ClassVar[frozenset[str]] = frozenset({"data_dir"})

    name: str
    metrics: Sequence[str]
    labels: Sequence[str] = ()
    max_length: int = 128
    train_rows: int | None = None
    pairs: str = "together"
    leave_out_contained: bool = False
    version: int = 1
    notes: list[str] = field(default_factory=list, init=False)
    fold: Fold | None = field(default=None, init=False)
    # Of the official splits, which are the same under every fold.
    _clusters: dict[str, np.ndarray] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check the settings. Subclasses fill in what they find in the data first, then call this.

        Raises:
            UserError: one that cannot be.
        """
        check_name(self.name, "task.name")
        self.metrics, self.labels = listed("metrics", self.metrics), listed("labels", self.labels)
        # The seed is only there for generated tasks.
        settings = (("max_length", self.max_length, 3), ("data_seed", getattr(self, "data_seed", 0), 0))
        for name, value, least in (*settings, ("train_rows", 1 if self.train_rows is None else self.train_rows, 1)):
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise UserError(f"task.{name}={value}: a whole number, {least} or above")
        if self.leave_out_contained not in (True, False):
            raise UserError(f"task.leave_out_contained={self.leave_out_contained}: choose from: true, false")
        self._check_pairs()
        self._check_labels()
        self._check_metrics()

    def _check_pairs(self) -> None:
        if self.pairs not in ("together", "apart"):
            raise UserError(f"task.pairs={self.pairs}: choose from: together, apart")
        if self.apart and not self.has_pairs:
            raise UserError(
                f"task.pairs=apart: task {self.name} has single texts, not pairs; leave it out "
                "(own files of pairs: give task.text_pair=COLUMN)"
            )

    def _check_labels(self) -> None:
        if len(set(self.labels)) < len(self.labels):
            raise UserError(f"task.labels={enumerated(map(str, self.labels), ',')}: a label stands there twice")
        for label in self.labels:
            if not is_unicode(str(label)):
                raise UserError(f"task.labels: {quoted(label)} is not valid Unicode; no file can be written with it")
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
    def has_pairs(self) -> bool:
        """Whether a row has two texts."""
        return False

    @property
    def apart(self) -> bool:
        """Whether the texts of a pair are read apart."""
        return self.pairs == "apart"

    @property
    def num_outputs(self) -> int:
        """Number of logits C: of the labels, or 1 for regression."""
        return 1 if self.regression else len(self.labels)

    @property
    def official_splits(self) -> tuple[str, ...]:
        """The splits that come with the task to be scored on."""
        return ("validation",)

    @property
    def validation_splits(self) -> tuple[str, ...]:
        """The splits a run is scored on; the score is that of the first: of the held-out training rows under a fold,
        with the official splits, as far as there are any, beside."""
        if self.fold is None:
            return self.official_splits
        return ("fold", *(split for split in self.official_splits if split in self.sources()))

    def with_fold(self, fold: Fold) -> Task:
        """The same task, trained on the rows that `fold` does not hold out and scored on those: its split "fold"."""
        task = copy.copy(self)
        task.__dict__.pop("_training", None)
        task.notes, task.fold = list(self.notes), fold
        return task

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

    def run_sources(self) -> dict[str, Path | str]:
        """Split -> source of all that a run reads, whatever its fold.

        Raises:
            UserError: the task cannot be trained.
        """
        sources = self.sources()
        if "train" not in sources:
            raise UserError(
                f"task {self.name} has no training split; score a finished run on it: head2head evaluate --help"
            )
        return {split: sources[split] for split in ("train", *self.official_splits) if split in sources}

    def read(self, split: str) -> Dataset:
        """The rows of a split: `load`, after a check that the task has it, without the rows that a fold holds out of
        the training split (or these alone: the split "fold"); the training split cut to `train_rows`.

        Raises:
            UserError: no such split, or the data cannot be read, or not be cut into folds.
        """
        if self.fold is not None and split in ("train", "fold"):
            return self._training[0].select(self.row_numbers(split))
        rows = self._whole(split)
        if split == "train" and self.train_rows is not None:
            return rows.select(self._subset(np.arange(len(rows))))
        if self.fold is not None and split in self.official_splits:
            self._note_shared(split, rows)
        return rows

    def row_numbers(self, split: str) -> np.ndarray:
        """(N,) for each row of `read(split)` its number in what `load` gives of the split's file: of the training
        file for "fold", so that the predictions of all folds can be put together."""
        if self.fold is not None and split in ("train", "fold"):
            parts = self._training[1]
            held = parts.folds == self.fold.number
            return parts.rows[held] if split == "fold" else self._subset(parts.rows[~held])
        numbers = np.arange(len(self._whole(split)))
        return self._subset(numbers) if split == "train" else numbers

    def cut_rows(self) -> Dataset:
        """Under a fold: all training rows that are cut into folds."""
        rows, parts = self._training
        return rows if len(parts.rows) == len(rows) else rows.select(parts.rows)

    def cut_numbers(self, split: str) -> np.ndarray:
        """(N,) under a fold: for each row of `read("train")` or `read("fold")` its number in `cut_rows`."""
        return np.searchsorted(self._training[1].rows, self.row_numbers(split))

    def clusters(self, split: str) -> np.ndarray:
        """(N,) a number that the rows of `read(split)` have in common which share a text, directly or through others,
        or a document: those that are not independent. Rows of different folds never have one in common."""
        if self.fold is not None and split in ("train", "fold"):
            return self._training[1].groups[self.cut_numbers(split)]
        if split not in self._clusters:
            self._clusters[split] = groups_of(self.read(split) if split == "train" else self._whole(split))
        return self._clusters[split]

    def shared_with_training(self, split: str) -> int:
        """How many rows of a split have a text in common with a row of the whole training split."""
        return count_shared(self.read(split), self._whole("train") if self.fold is None else self._training[0])

    @cached_property
    def _training(self) -> tuple[Dataset, Cut]:
        """The whole training split and how it is cut: both splits of a fold are taken from it."""
        assert self.fold is not None
        rows = self._whole("train")
        parts = cut(rows, self.labels, self.fold, self.leave_out_contained)
        for text in parts.notes:
            self.note(text)
        return rows, parts

    def _whole(self, split: str) -> Dataset:
        if split not in self.sources():
            raise UserError(f"task {self.name} has no split {split}; it has: {', '.join(self.sources())}")
        rows = self.load(split)
        if len(rows) == 0:
            raise UserError(f"{self.sources()[split]}: no examples")
        return rows

    def _subset(self, rows: np.ndarray) -> np.ndarray:
        """`train_rows` of the numbers of training rows, in order."""
        if self.train_rows is None:
            return rows
        if not 0 < self.train_rows <= len(rows):
            what = "the training split has" if self.fold is None else "the other folds have"
            raise UserError(f"task.train_rows={self.train_rows}: {what} {len(rows)} rows; give 1 to {len(rows)}")
        return rows[np.sort(np.random.default_rng(0).permutation(len(rows))[: self.train_rows])]

    def _note_shared(self, split: str, rows: Dataset) -> None:
        shared = count_shared(rows, self._training[0])
        if shared:
            self.note(f"{split}: {shared} of {len(rows)} rows share a text with a training row")

    def note(self, text: str) -> None:
        """Keep what reading found worth saying, once however often it is read."""
        if text not in self.notes:
            self.notes.append(text)


def own_files(name: str, files: Mapping[str, str | None], fold: Fold | None, kinds: str = "") -> dict[str, Path | str]:
    """The files of a task on data of one's own, those that are given; a fold stands in for a validation file.

    Raises:
        UserError: one is missing.
    """
    if files["train"] is None and fold is not None:
        raise UserError(f"task={name} needs task.train=FILE{kinds}")
    if files["train"] is None or (files["validation"] is None and fold is None):
        raise UserError(
            f"task={name} needs task.train=FILE and task.validation=FILE{kinds}, or fold=0 in place of a validation "
            "file, to hold out a part of the training rows"
        )
    return {split: Path(file) for split, file in files.items() if file is not None}


NAMED_BY_ITS_FOLDER = frozenset({"train", "training", "data"})


def name_of_own(name: str, default: str, train: str | None) -> str:
    """What a task on own data is called in folders and tables. Where nobody has named it, after its training file, or
    after that file's folder if it is called train, so that two data sets are two tasks. Keys have the data instead.

    >>> name_of_own("table", "table", "reviews/imdb-train.csv")
    'table-imdb'
    """
    if name != default or train is None:
        return name
    path = Path(train).absolute()
    stem = re.sub(r"^train(ing)?[._-]|[._-]train(ing)?$", "", path.stem)
    chosen = path.parent.name if stem in NAMED_BY_ITS_FOLDER else stem
    chosen = re.sub(r"[^\w.-]+", "_", chosen).strip("._-")[:40]
    return f"{default}-{chosen}" if chosen else default


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


def from_hub(name: str, configuration: str | None, split: str, revision: str | None, hint: str) -> Any:
    """A split of a dataset on the hub.

    Raises:
        UserError: the hub cannot be reached or has no such dataset.
    """
    import datasets

    try:
        return datasets.load_dataset(name, configuration, split=split, revision=revision)
    except Exception as error:  # the hub's client raises a dozen types of several libraries
        reason = shortened((str(error).strip() or type(error).__name__).splitlines()[0], 200)
        raise UserError(f"{name} cannot be read from the hub ({reason}); {hint}") from error
