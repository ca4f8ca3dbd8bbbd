"""The checkpoint of a run, from which the same run goes on when it was killed."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import math
import os
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins import TorchCheckpointIO

from head2head.files import cannot_be_written
from head2head.run import processes
from head2head.run.record import Parts
from head2head.speed.cpu import library

# Modules that have a part in training, beside those of the classes of the model and of the trainer's callbacks.
TRAINING = {
    __name__,
    "head2head.speed.cpu.layer",
    "head2head.speed.cpu.stack",
    "head2head.data.batching",
    "head2head.data.datamodule",
    "head2head.model.optimizer",
    "head2head.model.step",
    "head2head.speed.apply",
    "head2head.speed.packing",
    "head2head.seeds",
}


class Resume(pl.Callback):
    """Writes a run's checkpoint every so many minutes, and when the system tells the process to end; finds it when
    the run is started again.

    The run then goes on bit for bit as if nothing had been: batches and dropout are functions of seed, epoch and
    batch, and all else that a step depends on is in the checkpoint. Epochs of a single step have none.

    Args:
        folder: the run's output_dir.
        key: the run's.
        minutes: between checkpoints; None neither writes nor reads any. Not steps: what a kill costs is time, and
            a step takes milliseconds with one task and encoder, seconds with another.

    Attributes:
        seconds: that the run had trained and validated for at the checkpoint that it goes on from.
    """

    def __init__(self, folder: Path, key: str, minutes: float | None):
        self.path = folder / ".checkpoints" / f"{key}.ckpt"
        self.minutes = minutes
        self.seconds = 0.0
        self._started = self._last = time.perf_counter()
        self._stamp = ""
        self._curves: list[dict[str, float]] = []

    def find(self, trainer: pl.Trainer, parts: Parts) -> Path | None:
        """The checkpoint to go on from, when training starts; None where there is none, or none that fits."""
        if self.minutes is None:
            return None
        self._stamp = stamp(parts, trainer)
        if not self.path.exists():
            return None
        try:
            found = torch.load(self.path, map_location="cpu", weights_only=True, mmap=True)
            fits, step = found["run"]["stamp"] == self._stamp, found["global_step"]
            told = f"from step {step} of" if fits else "from the beginning: other code or data made"
        except Exception:  # whatever a broken file makes torch raise
            fits, told = False, "from the beginning: cannot be read:"
        if trainer.is_global_zero:
            print(f"going on {told} {self.path}" if fits else f"starting {told} {self.path}", flush=True)
        return self.path if fits else None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        trainer.strategy.checkpoint_io = CheckpointFile()

    def elapsed(self) -> float:
        """Seconds of training and validation so far, those up to the checkpoint included."""
        return self.seconds + time.perf_counter() - self._started

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        processes.end_behind_step(True)  # from here on Lightning ends the training, behind a step or in a validation

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        processes.end_behind_step(False)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        processes.end_behind_step(False)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._started = self._last = time.perf_counter()
        # The curves so far went with the folder of the run that was killed.
        for row in self._curves:
            values = {name: value for name, value in row.items() if name != "step"}
            for logger in trainer.loggers:
                logger.log_metrics(values, int(row["step"]))

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.minutes is None or not between_steps(trainer, batch_idx):
            return
        due = trainer.received_sigterm or time.perf_counter() - self._last >= 60 * self.minutes
        if trainer.strategy.reduce_boolean_decision(due, all=False):  # clocks of several processes differ
            trainer.save_checkpoint(self.path)
            self._last = time.perf_counter()

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint["run"] = {"stamp": self._stamp, "seconds": self.elapsed(), "curves": curves(trainer)}

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self.seconds, self._curves = checkpoint["run"]["seconds"], checkpoint["run"]["curves"]

    def kept(self) -> str:
        """What is there of a run that was told to end."""
        if self.minutes is None or not self.path.exists():
            return "nothing was kept"
        return f"its checkpoint was kept, and the same command goes on from it ({self.path})"

    def remove(self) -> None:
        """Take the checkpoint away: the run has come to its end."""
        for path in [self.path, *self.path.parent.glob(f".{self.path.name}.*")]:
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # there are those of other runs, or never was any
            self.path.parent.rmdir()


class CheckpointFile(TorchCheckpointIO):
    """Puts a whole checkpoint in the place of the one before. Lightning's own goes by way of /tmp, from where it
    cannot be moved to another disk in one piece."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        part = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except (OSError, RuntimeError) as error:  # torch's, when a disk is full
            raise cannot_be_written(f"checkpoint_minutes: {path}", error) from error
        finally:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)


def between_steps(trainer: pl.Trainer, batch_idx: int) -> bool:
    """Whether an optimizer step has ended and another one follows it in the epoch. Behind the last step, or with a
    validation in between, Lightning would leave the validation out when it goes on."""
    number, total = batch_idx + 1, trainer.fit_loop.total_batch_idx + 1
    every = trainer.val_check_batch or math.inf  # None where validation goes by the clock
    return (
        number % trainer.accumulate_grad_batches == 0
        and not trainer.is_last_batch
        and number % every != 0
        and total % every != 0
        and trainer.global_step != trainer.max_steps
        and not trainer.should_stop
    )


def stamp(parts: Parts, trainer: pl.Trainer) -> str:
    """Hash of what makes a run's numbers and is not in its key: the libraries, what hubs gave out, and the code that
    trains, a head's own module with it. Going on under another one would mix two programs in one result."""
    versions = [metadata.version(name) for name in ("torch", "transformers", "pytorch-lightning")]
    data = [split.tokenized for split in parts.data.splits.values()]
    encoder = parts.model.encoder
    layers = type(encoder.runner).__name__
    digest = hashlib.sha256(json.dumps([versions, data, encoder.checkpoint_sha256, layers]).encode())
    digest.update(library.source())
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    for name in sorted(TRAINING | {type(part).__module__ for part in (*parts.model.modules(), *callbacks)}):
        if file := getattr(sys.modules[name], "__file__", None):
            digest.update(Path(file).read_bytes())
    return digest.hexdigest()


def curves(trainer: pl.Trainer) -> list[dict[str, float]]:
    """The rows of metrics.csv, and the one that Lightning is about to add. Only the first process has any."""
    if not trainer.loggers:
        return []
    (folder,) = {logger.log_dir for logger in trainer.loggers if isinstance(logger, pl.loggers.CSVLogger)}
    path, rows = Path(folder, "metrics.csv"), []
    if path.exists():
        with path.open(encoding="utf-8", newline="") as file:
            rows = [{name: number(text) for name, text in row.items() if text} for row in csv.DictReader(file)]
    every = trainer.log_every_n_steps  # type: ignore[attr-defined]
    if every and trainer.global_step % every == 0:
        logged = ("epoch", "train/loss", "train/lr", "train/head_lr")
        row = {name: float(trainer.callback_metrics[name]) for name in logged if name in trainer.callback_metrics}
        rows.append(row | {"step": trainer.global_step - 1})
    return rows


def number(text: str) -> float:
    """A cell of metrics.csv; whole numbers stay whole."""
    return int(text) if text.isdigit() else float(text)
