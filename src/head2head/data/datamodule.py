"""The LightningDataModule: a task's splits, tokenized and batched."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from datasets import Dataset
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerBase

from head2head.data.batching import EvaluationBatches, TokenizedRows, TrainBatches, spans
from head2head.data.survey import Survey, findings, survey
from head2head.data.task import Task
from head2head.data.tokenization import fingerprint, tokenize


@dataclass(frozen=True)
class Split:
    """One split, ready to be batched.

    labels: (N,) gold labels of the N texts, or words, that are predicted; None where they are not known.
    sentences: for token tasks the number of words of each sentence, else None.
    num_predictions: number N of texts, or words.
    fingerprint, tokenized: hashes of the content, and of it with the tokenizer and its settings.
    whole, chosen: of a part: the split that it is a part of, and the numbers (len(rows),) of its rows there.
    """

    rows: TokenizedRows
    labels: np.ndarray | None
    sentences: np.ndarray | None
    num_predictions: int
    fingerprint: str
    tokenized: str
    whole: Split | None = None
    chosen: np.ndarray | None = None

    @property
    def truncated(self) -> dict[str, int]:
        """Examples that lost words to `max_length`, and how many words they lost."""
        lost = self.rows.words_lost
        return {"examples": int((lost > 0).sum()), "words": int(lost.sum())}

    def part(self, chosen: np.ndarray, fingerprint: str) -> Split:
        """Some of the texts or sentences, as a split of their own that shares the word pieces.

        Args:
            chosen: their numbers, in order.
            fingerprint: hash of their content.
        """
        if self.sentences is None:
            rows, labels, sentences = chosen, None if self.labels is None else self.labels[chosen], None
            taken = self.rows.select(rows)
        else:
            firsts, sentences = np.cumsum(self.sentences) - self.sentences, self.sentences[chosen]
            labels = None if self.labels is None else self.labels[spans(firsts[chosen], sentences)]
            # A sentence has one row or more: its windows, each of which predicts a word of it.
            numbers = self.rows.prediction_ids
            word = np.maximum.reduceat(numbers.flat(), np.cumsum(numbers.lengths) - numbers.lengths)
            sentence = np.searchsorted(firsts, word, side="right") - 1
            rows = np.flatnonzero(np.isin(sentence, chosen))
            shift = np.zeros_like(firsts)
            shift[chosen] = np.cumsum(sentences) - sentences - firsts[chosen]
            taken = self.rows.select(rows, shift[sentence[rows]])
        count = len(chosen) if sentences is None else int(sentences.sum())
        name = hashlib.sha256(self.tokenized.encode() + chosen.astype(np.int64).tobytes()).hexdigest()[:32]
        return Split(taken, labels, sentences, count, fingerprint, name, self, rows)


class DataModule(pl.LightningDataModule):
    """Reads, tokenizes and batches the splits of a task.

    Args:
        batch_size: examples in one optimizer step, over all devices and accumulated micro-batches.
        evaluation_tokens: word pieces in one evaluation batch, padding included.
        workers: processes that prepare batches; 0 prepares them in the main process, which is quicker for texts of
            this size: to hand a batch over takes longer than to make it.
    """

    def __init__(
        self,
        task: Task,
        tokenizer: PreTrainedTokenizerBase,
        seed: int,
        batch_size: int = 32,
        evaluation_tokens: int = 8192,
        cache_dir: Path = Path("~/.cache/head2head"),
        workers: int = 0,
    ):
        super().__init__()
        self.allow_zero_length_dataloader_with_multiple_devices = True  # a split can have fewer rows than devices
        self.task, self.tokenizer, self.seed = task, tokenizer, seed
        self.batch_size, self.evaluation_tokens, self.workers = batch_size, evaluation_tokens, workers
        self.cache_dir = cache_dir.expanduser()
        self.splits: dict[str, Split] = {}
        self._surveys: dict[str, Survey] = {}
        self._training: Split | None = None  # of all folds
        self._train_batches: TrainBatches | None = None
        self._start = {"epoch": 0, "seen": 0}

    def load(self, names: Sequence[str]) -> None:
        """Read and tokenize splits, unless they are there already.

        Raises:
            UserError: the data cannot be read.
        """
        for name in names:
            if name in self.splits:
                continue
            rows = self.task.read(name)
            self.splits[name] = self._part_of_training(name, rows) or self._split(rows, name)
            if "train" in names:
                self._surveys[name] = survey(rows, self.task.labels, self.splits[name].truncated)

    @cached_property
    def warnings(self) -> list[str]:
        """What is worth knowing of the splits of a run before it is believed; none without training rows."""
        return findings(self._surveys, self.task.max_length) if "train" in self._surveys else []

    def _part_of_training(self, name: str, rows: Dataset) -> Split | None:
        """A fold's split as a part of all training rows that are cut into folds: these are tokenized, and read by a
        frozen encoder, once for all folds. None for other splits, and for sentences that are read with their
        neighbours, which are others in another fold."""
        if self.task.fold is None or name not in ("train", "fold") or getattr(self.task, "context", "") == "document":
            return None
        if self._training is None:
            self._training = self._split(self.task.cut_rows(), "train")
        return self._training.part(self.task.cut_numbers(name), fingerprint(rows))

    def _split(self, dataset: Dataset, name: str) -> Split:
        kind, content = self.task.kind, fingerprint(dataset)
        tokenized = tokenize(
            dataset,
            kind,
            self.tokenizer,
            self.task.max_length,
            self.cache_dir / "tokenized",
            f"{self.task.name} {name}",
            context=getattr(self.task, "context", "sentence"),
            content=content,
            apart=self.task.apart,
        )
        column = "tags" if kind == "token" else "label"
        labels = None
        if column in dataset.column_names:
            values = dataset[column][:]
            labels = np.array([tag for tags in values for tag in tags] if kind == "token" else values)
        sentences = np.array([len(tokens) for tokens in dataset["tokens"][:]]) if kind == "token" else None
        count = int(sentences.sum()) if sentences is not None else len(dataset)
        rows = TokenizedRows(tokenized, kind, self.tokenizer.pad_token_id, texts=2 if self.task.apart else 1)
        return Split(rows, labels, sentences, count, content, tokenized._fingerprint)

    def word_pieces(self) -> np.ndarray:
        """Numbers of the word pieces that occur in the loaded splits, and of the special ones, in order."""
        occur = [np.flatnonzero(np.bincount(split.rows.input_ids.flat())) for split in self.splits.values()]
        return np.unique(np.concatenate([*occur, self.tokenizer.all_special_ids]).astype(np.int64))

    def _loader(self, split: str, batches: Any) -> DataLoader:
        # Rows come as whole batches, so there is nothing left to collate.
        return DataLoader(
            self.splits[split].rows,
            batch_sampler=batches,
            collate_fn=as_it_is,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            pin_memory=self._on_gpu,
        )

    @property
    def _on_gpu(self) -> bool:
        """Whether batches go to a GPU: it copies them from pinned memory while it still computes earlier ones, and
        later ones are prepared meanwhile, since nothing waits for it."""
        return self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"

    def train_dataloader(self) -> DataLoader:
        rows, trainer = self.splits["train"].rows, self.trainer
        assert trainer is not None
        batches = TrainBatches(
            rows.lengths,
            rows.label_counts,
            self.batch_size,
            self.seed,
            trainer.global_rank,
            trainer.world_size,
            trainer.accumulate_grad_batches,
            rows.pieces,
        )
        batches.set_epoch(self._start["epoch"])
        batches.seen = self._start["seen"]
        self._train_batches = batches
        return self._loader("train", batches)

    def state_dict(self) -> dict[str, int]:
        """For a checkpoint within an epoch: the order of the training batches, and how many of its micro-batches
        are done. The loader itself cannot say: its workers run ahead of the training."""
        assert self._train_batches is not None
        assert self.trainer is not None
        return {"epoch": self._train_batches.epoch, "seen": self.trainer.fit_loop.batch_idx + 1}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Called by Lightning before it asks for the training batches."""
        self._start = state_dict

    def evaluation_dataloader(self, split: str) -> DataLoader:
        """Batches of a split in the order that wastes least; every row once."""
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        return self._loader(
            split, EvaluationBatches(self.splits[split].rows.lengths, self.evaluation_tokens, rank, world)
        )

    def val_dataloader(self) -> list[DataLoader]:
        return [self.evaluation_dataloader(split) for split in self.task.validation_splits]


def as_it_is(batch: Any) -> Any:
    """Collate nothing (a named function, since worker processes must find it)."""
    return batch
