"""Runs on a frozen encoder, from their resolved configurations to their Results."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import yaml
from torch import nn
from tqdm import tqdm

from head2head.data.datamodule import DataModule
from head2head.data.task import Task
from head2head.errors import UserError
from head2head.frozen.batches import Batches
from head2head.frozen.eligible import group_of
from head2head.frozen.features import Store
from head2head.frozen.frozen_run import FrozenRun, Schedule
from head2head.frozen.head_parts import FeatureSpec, Make, TrainableHead, trainable_head
from head2head.frozen.progress import Progress
from head2head.frozen.solving import check_solvable, solve_run
from head2head.frozen.training import train
from head2head.model import trusted
from head2head.model.build import (
    build_data,
    build_head,
    check_length,
    checkpoint_of,
    comparison_of,
    optimizer_settings,
    set_label_range,
    targets_of,
)
from head2head.model.checkpoint import load_encoder
from head2head.model.encoder import Encoder, NoPooler
from head2head.model.exact import is_exact
from head2head.model.finetuner import Diverged, FineTuner
from head2head.model.heads import SentenceHead, TokenHead
from head2head.model.optimizer import OptimizerSettings
from head2head.model.output import Needs
from head2head.model.step import log_interval
from head2head.run.key import Identity, complete, identify
from head2head.run.loggers import open_loggers, tell_result
from head2head.run.record import Parts, blank_result, conclude, count, last_line
from head2head.run.result import Result, run_folder, write_result
from head2head.run.run import build_trainer, quiet, run, show

Outcome = Result | Exception
Head = SentenceHead | TokenHead


def run_group(configs: Sequence[dict[str, Any]], overrides: Sequence[Sequence[str]]) -> Iterator[tuple[int, Outcome]]:
    """Train and score runs of one group (see eligible.group_of), one after another, and write a folder for each as soon
    as it is done.

    Yields:
        A run's number and its result, or what has kept it from having one: UserError, or Diverged in which case its
        folder has a result.json that says so.

    Raises:
        UserError: none of them can be run.
    """
    started = time.perf_counter()
    quiet()
    first = configs[0]
    identities = [identify(first)]
    task = identities[0].task
    identities += [identify(config, task) for config in configs[1:]]
    trainer, dtype = computing(first)
    device = trainer.strategy.root_device
    data = build_data(first, task, identities[0].seed, ["train", *task.validation_splits])
    targets = targets_of(data, task.validation_splits)

    heads, refused = built_heads(configs, identities)
    encoder, without_pooler = encoder_for(first, heads)
    yield from (refused | without_pooler).items()
    if encoder is None:
        return
    check_length(task, encoder)
    show(data.warnings)
    encoder = encoder.to(device, dtype)

    runs: dict[int, FrozenRun] = {}
    for number, head in heads.items():
        set_label_range(head, data)
        trained = trainable_head(head.to(device, dtype), encoder)
        if trained is None:  # a part of the user's own that stands between learned ones
            yield number, attempted(configs[number], overrides[number])
            continue
        settings = optimizer_settings(configs[number])
        model = FineTuner(encoder, head, task.labels, task.metrics, targets, identities[number].seed, settings)
        runs[number] = FrozenRun(model, trained, identities[number].seed, settings)
    if not runs:
        return
    progress = Progress(bool(first["trainer"]["enable_progress_bar"]))
    with features_folder(first) as folder:
        batches = open_batches(first, task, data, encoder, [run.head for run in runs.values()], device, folder)
        schedule = schedule_of(trainer, batches["train"])
        before = (time.perf_counter() - started) / len(runs)
        group = RunGroup(data, device, batches["train"].steps, len(runs), before)
        with progress.over(schedule.steps * len(runs), len(runs)):
            for number in list(runs):
                one = runs.pop(number)  # its logits and weights are let go when they are written
                try:
                    fitted(one, batches, task, schedule, progress)
                except UserError as error:
                    yield number, error
                    continue
                yield number, written(configs[number], overrides[number], identities[number], one, group)


def encode(configs: Sequence[dict[str, Any]]) -> None:
    """Compute the features that some runs of one task and one encoder will read, of whatever groups, in one pass of the
    encoder. What cannot be run is left for its run to say.

    Raises:
        UserError: data or encoder cannot be read, or the cache folder cannot be written.
    """
    configs = [config for config in configs if group_of(config) is not None and config["speed"] == "fast"]
    if not configs:
        return
    quiet()
    first = configs[0]
    identities = [identify(first)]
    task = identities[0].task
    identities += [identify(config, task) for config in configs[1:]]
    trainer, dtype = computing(first)
    device = trainer.strategy.root_device
    data = build_data(first, task, identities[0].seed, ["train", *task.validation_splits])
    heads, _ = built_heads(configs, identities)
    encoder, _ = encoder_for(first, heads)
    if encoder is None:
        return
    check_length(task, encoder)
    encoder = encoder.to(device, dtype)
    trained = [trainable_head(head.to(device, dtype), encoder) for head in heads.values()]
    open_batches(first, task, data, encoder, [head for head in trained if head], device, first["cache_dir"])


def computing(config: dict[str, Any]) -> tuple[pl.Trainer, torch.dtype]:
    """What runs of a group are computed by: Lightning's Trainer, which knows the device and checks what was asked for,
    and the precision. From here on torch has the number of threads, by which the last bits of features may differ.

    Raises:
        UserError: an argument of the Trainer that cannot be.
    """
    if config["threads"] is not None:
        torch.set_num_threads(config["threads"])
    trainer = build_trainer(config["trainer"] | {"enable_progress_bar": False})
    return trainer, torch.float64 if trainer.precision == "64-true" else torch.float32


def fitted(run: FrozenRun, batches: Mapping[str, Batches], task: Task, schedule: Schedule, progress: Progress) -> None:
    """Train a run, or solve it.

    Raises:
        UserError: its training rows cannot be cut for the choice of a penalty.
    """
    if isinstance(run.settings, OptimizerSettings):
        train(run, batches, schedule, progress)
        return
    solve_run(run, batches, task)
    progress.step(schedule.steps)


def features_folder(config: dict[str, Any]) -> Any:
    """Where features are kept: the cache folder, or under speed=exact, which keeps none, a folder for the while."""
    if config["speed"] == "exact":
        return tempfile.TemporaryDirectory(prefix="head2head-")
    return nullcontext(config["cache_dir"])


@dataclass(frozen=True)
class RunGroup:
    """What the runs of a group have in common.

    epoch_steps: optimizer steps of an epoch.
    size: number of them.
    before: seconds spent on data, features and the like, a run's share.
    """

    data: DataModule
    device: torch.device
    epoch_steps: int
    size: int
    before: float


def built_heads(
    configs: Sequence[dict[str, Any]], identities: Sequence[Identity]
) -> tuple[dict[int, Head], dict[int, Outcome]]:
    """The runs' heads by the runs' numbers, and why there is none for the others."""
    heads: dict[int, Head] = {}
    refused: dict[int, Outcome] = {}
    for number, (config, identity) in enumerate(zip(configs, identities, strict=True)):
        try:
            optimizer_settings(config)  # checked here, since nothing of a run may fail once the group trains
            task = identity.task
            heads[number] = build_head(
                config, checkpoint_of(config), task.num_outputs, identity.seed, comparison_of(task), task.labels
            )
            if is_exact(config):
                check_solvable(config, heads[number])
        except UserError as error:
            heads.pop(number, None)
            refused[number] = error
    return heads, refused


def encoder_for(config: dict[str, Any], heads: dict[int, Head]) -> tuple[Encoder | None, dict[int, Outcome]]:
    """The frozen encoder with all that the heads read; None where no head is left. Where the checkpoint has no pooler,
    heads that read it are taken out of `heads`, and returned with the reason.

    Raises:
        UserError: it cannot be loaded.
    """
    if not heads:
        return None, {}
    try:
        return frozen_encoder(config, heads.values()), {}
    except NoPooler as error:
        refused = {number for number, head in heads.items() if head.needs.pooler}
        for number in refused:
            del heads[number]
        return frozen_encoder(config, heads.values()) if heads else None, dict.fromkeys(refused, error)


def attempted(config: dict[str, Any], overrides: Sequence[str]) -> Outcome:
    """What comes of a run by Lightning's Trainer."""
    try:
        return run(config, overrides)
    except UserError as error:
        return error


def frozen_encoder(config: dict[str, Any], heads: Any) -> Encoder:
    """The encoder with all that some heads read, in eval mode.

    Raises:
        NoPooler: a head reads pooler_output, and the checkpoint has no pooler.
        UserError: it cannot be loaded.
    """
    needs = [head.needs for head in heads]
    union = Needs(frozenset().union(*(need.layers for need in needs)), any(need.pooler for need in needs))
    return load_encoder(checkpoint_of(config), union, frozen=True)


def open_batches(
    config: dict[str, Any],
    task: Task,
    data: DataModule,
    encoder: Encoder,
    heads: Sequence[TrainableHead],
    device: torch.device,
    folder: str,
) -> dict[str, Batches]:
    """The features of the training and validation splits, computed where they are not there yet.

    Args:
        folder: that has them, or takes them.
    """
    wanted: dict[FeatureSpec, Make] = {}
    for head in heads:
        wanted |= dict(zip(head.specs, head.makers, strict=True))
    found = {}
    for split in ("train", *task.validation_splits):
        store = Store(
            Path(folder).expanduser(), encoder, data.splits[split], f"{task.name} {split}",
            config["evaluation_tokens"],
        )  # fmt: skip
        features = store.open(wanted)
        found[split] = Batches(data.splits[split], features, config["batch_size"], config["evaluation_tokens"], device)
    return found


def schedule_of(trainer: pl.Trainer, batches: Batches) -> Schedule:
    """How long Lightning's Trainer would train, and how it would clip."""
    epochs = None if trainer.max_epochs in (None, -1) else trainer.max_epochs
    limits = [epochs * batches.steps] if epochs is not None else []
    if trainer.max_steps != -1:
        limits.append(trainer.max_steps)
    return Schedule(
        epochs,
        min(limits),
        batches.steps,
        trainer.gradient_clip_val or None,
        trainer.gradient_clip_algorithm == "value",
        log_interval(trainer.log_every_n_steps, min(limits)),  # type: ignore[attr-defined]
    )


def written(
    config: dict[str, Any], overrides: Sequence[str], identity: Identity, one: FrozenRun, group: RunGroup
) -> Outcome:
    """A trained run's folder, and its result."""
    began = time.perf_counter()
    untrained = one.model.untrained(config["trainer"]["max_epochs"])
    notes = (untrained,) if untrained else ()
    parts = Parts(identity.task, group.data, one.model, notes, f"{group.device.type} features")
    config = complete(config, identity.task)
    with run_folder(identity.parent, identity.name) as folder:
        (folder / "config.yaml").write_text(
            yaml.safe_dump(config, sort_keys=False, allow_unicode=True), encoding="utf-8"
        )
        result = blank_result(config, overrides, identity, parts, group.device)
        result.parameters |= sizes(one.model)
        result.folder, result.together = str(folder), group.size
        result.solution = one.solution.record() if one.solution else None
        result.converged = one.converged
        extra = trusted.instantiate(config["logger"], config.get("trust")) if config["logger"] else None
        spent = sum(one.seconds.values()) + group.before
        try:
            with open_loggers(extra, folder, identity, config) as loggers:
                replay(one, group.epoch_steps, loggers)
                if one.failed is not None:
                    raise Diverged(one.failed)
                seconds = one.seconds | {"total": spent + time.perf_counter() - began}
                conclude(result, parts, folder, one.model.history[-1]["step"], group.device, seconds, loggers)
                tell_result(loggers, result)
        except Diverged as error:
            result.failed, result.steps = str(error), one.points[-1][0] if one.points else 0
            result.seconds = {"total": spent}
            write_result(result, folder)
            return error
        write_result(result, folder)
    with tqdm.external_write_mode(sys.stdout):  # the bar of a group goes on below
        print(last_line(result, folder), flush=True)
    return result


def replay(one: FrozenRun, epoch_steps: int, loggers: Sequence[Any]) -> None:
    """Give the loggers what a run by Lightning's Trainer gives them while it trains."""
    model = one.model
    points = [(step - 1, values) for step, values in one.points]
    for point in model.history:
        values = {f"{split}/{name}": v for split, found in point["metrics"].items() for name, v in found.items()}
        first = point["metrics"].get(next(iter(model.targets)))
        score = {"score": first[model.metrics[0]]} if first else {}
        # Lightning counts a step more for a validation that closes the training in mid-epoch.
        whole = point["step"] % epoch_steps == 0
        points.append((max(point["step"] - whole, 0), values | score | {"epoch": float(point["epoch"])}))
    for step, values in sorted(points, key=lambda point: point[0]):
        for logger in loggers:
            logger.log_metrics(values, step=step)
    for logger in loggers:
        logger.save()


def sizes(model: FineTuner) -> dict[str, int]:
    """Numbers of parameters, of an encoder that computes no more than this head reads."""
    encoder, needs = model.encoder, model.head.needs
    total = count(model.head) + count(encoder.model)
    if needs.pooler:
        total += count(encoder.pooler)
    elif not needs.attentions:
        unread: list[nn.Module] = encoder.layers[max(needs.layers, default=0) :]
        total -= sum(count(layer) for layer in unread)
    return {"total": total}
