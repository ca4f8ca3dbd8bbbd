"""The training of one run on features: epochs, and a validation after each."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Mapping

import torch

from head2head.frozen.batches import Batches
from head2head.frozen.convergence import converged
from head2head.frozen.frozen_run import FrozenRun, Schedule
from head2head.frozen.progress import Progress
from head2head.frozen.single import SingleHead, predict, standardize
from head2head.model.finetuner import CHECK_EVERY
from head2head.model.optimizer import rates_of


def train(run: FrozenRun, batches: Mapping[str, Batches], schedule: Schedule, progress: Progress) -> None:
    """Train and score a run; only score it where there is nothing to learn. One that diverges has `failed` set.

    Args:
        batches: "train", and the validation splits.
    """
    started = time.perf_counter()
    if run.model.untrained(schedule.epochs):
        validate(run, batches, 0, 0)
        run.seconds["validation"] = time.perf_counter() - started
        progress.step(schedule.steps)
        progress.validated(run)
        return
    standardize(run.head, batches["train"])
    trained = SingleHead(run, schedule)
    epochs = itertools.count() if schedule.epochs is None else range(schedule.epochs)
    step = 0
    for epoch in epochs:
        step = train_epoch(trained, batches["train"], epoch, step, progress)
        if run.failed is None:
            began = time.perf_counter()
            validate(run, batches, epoch + 1, step)
            run.seconds["validation"] += time.perf_counter() - began
            progress.validated(run)
        if run.failed is not None or step == schedule.steps:
            break
    progress.step(schedule.steps - step)  # those that a run which failed does not take
    run.converged = converged(run.model.losses, run.rates)
    run.seconds["train"] = time.perf_counter() - started - run.seconds["validation"]


def train_epoch(trained: SingleHead, batches: Batches, epoch: int, step: int, progress: Progress) -> int:
    """Train for an epoch, or until the last step, or until the loss is not finite.

    Args:
        step: number of those taken before.

    Returns:
        Number of the steps taken.
    """
    run, schedule = trained.run, trained.schedule
    total: torch.Tensor | float = 0.0
    labels, rates = 0, []
    for number, rows in enumerate(batches.order(run.seed, epoch)):
        rates.append(trained.optimizer.param_groups[0]["lr"])
        logged = rates_of(trained.optimizer, trained.settings) | {"epoch": float(epoch + 1)}
        loss, count = trained.step(batches, epoch, number)
        step += 1
        total, labels = total + loss * count, labels + count
        run.model.tokens_seen += int(batches.pieces(rows))
        progress.step()
        if number % CHECK_EVERY == 0 and not math.isfinite(value := loss.item()):
            run.failed = f"the training loss is {value} at step {step - 1}; try a lower optimizer.lr"
            break
        if schedule.log_every and step % schedule.log_every == 0:
            run.points.append((step, logged | {"train/loss": loss.item()}))
        if step == schedule.steps:
            break
    run.model.losses.append(float(total) / labels)
    run.rates.append(sum(rates) / len(rates))
    return step


def validate(run: FrozenRun, batches: Mapping[str, Batches], epoch: int, step: int) -> None:
    """Score the validation splits."""
    model = run.model
    try:
        for split, targets in model.targets.items():
            model.logits[split] = predict(run.head, batches[split], targets.num_predictions)
    except FloatingPointError:
        run.failed = f"the model's outputs are not finite at step {step}; try a lower optimizer.lr"
        return
    model.history.append({"epoch": epoch, "step": step, "metrics": model.scores()})
