"""One run, from a resolved configuration to a Result."""

from __future__ import annotations

import logging
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import yaml
from pytorch_lightning.callbacks import ProgressBar
from pytorch_lightning.utilities.exceptions import MisconfigurationException, SIGTERMException

from head2head.errors import UserError
from head2head.model import memory, trusted
from head2head.model.build import build_data, build_model, set_label_range, targets_of
from head2head.model.finetuner import Diverged
from head2head.run import processes
from head2head.run.early_stopping import HyperbandStopping
from head2head.run.key import Identity, complete, identify
from head2head.run.loggers import open_loggers, tell_result
from head2head.run.profiling import Profile
from head2head.run.progress import progress_callback
from head2head.run.record import Parts, blank_result, conclude, last_line
from head2head.run.result import Result, run_folder, write_result
from head2head.run.resume import Resume
from head2head.speed import apply as speed


def run(config: dict[str, Any], overrides: Sequence[str] = (), callbacks: Sequence[pl.Callback] = ()) -> Result:
    """Train and score one head on one task with one seed, and write the run's folder.

    Args:
        config: the resolved configuration.
        overrides: what was typed, for the record.
        callbacks: of Lightning's Trainer, beside the run's own.

    Raises:
        UserError: something that the user can put right; nothing is left behind.
        Diverged: the run has failed; its folder has a result.json that says so.
    """
    started = time.perf_counter()
    quiet()
    identity = identify(config)
    if config["threads"] is not None:
        torch.set_num_threads(config["threads"])
    early = HyperbandStopping(**config["early_terminate"], key=identity.key) if config["early_terminate"] else None
    resume = Resume(Path(config["output_dir"]), identity.key, config["checkpoint_minutes"])
    trainer = build_trainer(config["trainer"], [resume, *([early] if early else []), *callbacks])
    if trainer.global_rank > 0:
        parts = build_parts(config, identity, trainer)
        fit(trainer, parts, resume, config["speed"] == "fast")
        sys.exit(0)  # the run is told by the first process
    with run_folder(identity.parent, identity.name) as folder:
        parts = build_parts(config, identity, trainer)
        show(parts.data.warnings)
        config = complete(config, identity.task)
        (folder / "config.yaml").write_text(
            yaml.safe_dump(config, sort_keys=False, allow_unicode=True), encoding="utf-8"
        )
        result = blank_result(config, overrides, identity, parts, trainer.strategy.root_device)
        result.folder = str(folder)
        extra = trusted.instantiate(config["logger"], config.get("trust")) if config["logger"] else None
        with open_loggers(extra, folder, identity, config) as loggers:
            trainer.loggers = loggers
            if config["profile"]:
                trainer.callbacks.append(Profile(folder))  # type: ignore[attr-defined]
            if torch.cuda.is_available():
                torch.cuda.reset_peak_memory_stats()
            try:
                seconds = fit(trainer, parts, resume, config["speed"] == "fast")
            except Diverged as error:
                result.failed = str(error)
                result.steps = trainer.global_step
                result.seconds = {"total": time.perf_counter() - started + resume.seconds}
                write_result(result, folder)
                resume.remove()
                raise
            result.stopped = early.stopped if early else None
            seconds = seconds | {"total": time.perf_counter() - started + resume.seconds}
            conclude(result, parts, folder, trainer.global_step, trainer.strategy.root_device, seconds, loggers)
            tell_result(loggers, result)
        write_result(result, folder)
    resume.remove()
    print(last_line(result, folder), flush=True)
    return result


def quiet() -> None:
    """Keep the libraries' notes about hardware and tips out of the user's sight."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # a line for each of its retries
    for text in NOT_FOR_USERS:
        warnings.filterwarnings("ignore", text)


def show(warnings: Sequence[str]) -> None:
    """Print what is worth knowing of a run's data."""
    for line in warnings:
        print(f"data: {line}", file=sys.stderr, flush=True)


# Warnings of Lightning and torch about what this project does on purpose, or about themselves.
NOT_FOR_USERS = (
    ".*does not have many workers.*",
    ".*`srun` command is available.*",
    ".*LeafSpec.*",
    ".*GPU available but not used.*",
    ".*Experiment logs directory.*",
    ".*smaller than the logging interval.*",
    ".*module\\(s\\) in eval mode.*",
    ".*won't be using warmup.*",
    ".*your dataloader is not resumable.*",
)


# Lightning's arguments that leave batches out: a score over a part of the data would look like a whole one.
PARTIAL = frozenset(
    {"limit_val_batches", "limit_train_batches", "fast_dev_run", "overfit_batches", "num_sanity_val_steps"}
)

# What the project itself decides for Lightning's Trainer.
FIXED = {
    "logger": False,  # open_loggers gives them, once the run has a folder
    "enable_checkpointing": False,
    "enable_model_summary": False,
    "enable_autolog_hparams": False,
    "num_sanity_val_steps": 0,
    "use_distributed_sampler": False,  # batches are dealt out over devices by the data module
}


# With what a finished run is computed again, on whatever it was trained.
ONE_DEVICE = {"devices": 1, "num_nodes": 1, "strategy": "auto"}


def build_trainer(settings: dict[str, Any], callbacks: Sequence[pl.Callback] = ()) -> pl.Trainer:
    """Lightning's Trainer with the run's progress display.

    Args:
        settings: the configuration's `trainer`.
        callbacks: further ones.

    Raises:
        UserError: an argument that cannot be.
    """
    for name in ("max_epochs", "max_steps", "accumulate_grad_batches"):
        value = settings[name]
        if value is not None and (not isinstance(value, int) or value < -1 or (value == 0 and name != "max_epochs")):
            raise UserError(f"trainer.{name}={value}: a whole number above 0 (or -1 for no limit)")
    if settings["max_epochs"] in (None, -1) and settings["max_steps"] == -1:
        raise UserError("training would not end: give trainer.max_epochs or trainer.max_steps")
    if refused := sorted(PARTIAL & {name for name, value in settings.items() if value}):
        raise UserError(
            f"trainer.{refused[0]} leaves batches out; take fewer rows with task.train_rows=N or trainer.max_steps=N"
        )
    callback = progress_callback() if settings["enable_progress_bar"] else None
    shown = {
        "callbacks": [*callbacks, *([callback] if callback else [])],
        "enable_progress_bar": isinstance(callback, ProgressBar),
    }
    try:
        return pl.Trainer(**(settings | FIXED | shown))
    except (ValueError, TypeError, RuntimeError, MisconfigurationException) as error:
        raise UserError(f"trainer: {' '.join(str(error).split())}") from error


def build_parts(config: dict[str, Any], identity: Identity, trainer: pl.Trainer | None = None) -> Parts:
    """A run's model, made fast, and its data.

    Args:
        trainer: what they will be trained with; None takes a CPU in single precision.

    Raises:
        UserError: they do not fit together, or cannot be had.
    """
    task = identity.task
    model = build_model(config, task, identity.seed)
    device = torch.device("cpu") if trainer is None else trainer.strategy.root_device
    precision = "32-true" if trainer is None else trainer.precision
    applied = speed.apply(model.encoder, device, precision, fast=config["speed"] == "fast")
    for note in applied.notes:
        print(note, file=sys.stderr, flush=True)
    data = build_data(config, task, identity.seed, ["train", *task.validation_splits])
    model.targets = targets_of(data, task.validation_splits)
    set_label_range(model.head, data)
    untrained = model.untrained(config["trainer"]["max_epochs"])
    shares = f" x{trainer.world_size}" if trainer is not None and trainer.world_size > 1 else ""  # masks of their own
    notes = (*applied.notes, *([untrained] if untrained else []))
    return Parts(task, data, model, notes, applied.stream + shares)


def fit(trainer: pl.Trainer, parts: Parts, resume: Resume, fast: bool) -> dict[str, float]:
    """Train, from the run's checkpoint on where there is one, and make sure that the last step has been scored. A
    model without anything to learn is only scored. Returns seconds of training and validation, with those up to the
    checkpoint.

    Raises:
        UserError: what a callback needs cannot be had, or memory has run out.
        Diverged: losses or outputs are not finite.
        Terminated: the system has told the process to end.
    """
    if parts.model.untrained(trainer.max_epochs):
        trainer.validate(parts.model, datamodule=parts.data, verbose=False)
        return {"train": 0.0, "validation": parts.model.validation_seconds}
    pieces = torch.from_numpy(parts.data.word_pieces())
    own = processes.is_own()
    model, device = parts.model, trainer.strategy.root_device
    with (
        speed.training(model.encoder, pieces, device, fast, own),
        memory.told(device, lambda: model.batch_shape, lambda: model.training),
    ):
        try:
            trainer.fit(parts.model, datamodule=parts.data, ckpt_path=resume.find(trainer, parts))
        except SIGTERMException:
            raise processes.Terminated(resume.kept()) from None
        history = parts.model.history
        if not history or history[-1]["step"] != trainer.global_step:
            trainer.validate(parts.model, datamodule=parts.data, verbose=False)
    validation = parts.model.validation_seconds
    return {"train": resume.elapsed() - validation, "validation": validation}
