"""The bank: many heads, seeds and learning rates trained on the same features, each as if alone."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from head2head.frozen.batches import Batches
from head2head.frozen.ensemble import Stacked, can_be_stacked, shape_of
from head2head.frozen.member import Member, Schedule
from head2head.frozen.progress import Progress
from head2head.frozen.single import Alone
from head2head.model.finetuner import CHECK_EVERY

LARGEST = 128  # runs in a stack: more save nothing, and need more memory


def train(
    members: Sequence[Member],
    batches: Mapping[str, Batches],
    schedule: Schedule,
    progress: Progress,
) -> None:
    """Train and score all members. A member that diverges has `failed` set; the others go on.

    Args:
        batches: "train", and the validation splits.
    """
    groups = [Alone(m[0], schedule) if isinstance(m, tuple) else Stacked(m, schedule) for m in grouped(members)]
    with progress.over(len(groups) * schedule.steps, len(members)):
        for group in groups:
            _train(group, batches, schedule, progress)


def grouped(members: Sequence[Member]) -> list[list[Member] | tuple[Member]]:
    """Lists of members to be stacked, and one by one those that cannot be."""

    def order(member: Member) -> tuple:
        rest = member.rest
        return shape_of(rest), repr(member.settings), [r.rule for r in rest.readings], member.seed

    found: list[list[Member] | tuple[Member]] = []
    for _, same in itertools.groupby(sorted(members, key=order), key=lambda member: shape_of(member.rest)):
        group = list(same)
        if can_be_stacked(group[0].rest):
            found += [group[start : start + LARGEST] for start in range(0, len(group), LARGEST)]
        else:
            found += [(member,) for member in group]
    return found


def _train(group: Alone | Stacked, batches: Mapping[str, Batches], schedule: Schedule, progress: Progress) -> None:
    started, validation = time.perf_counter(), 0.0
    epochs = itertools.count() if schedule.epochs is None else range(schedule.epochs)
    step = 0
    for epoch in epochs:
        for number in range(schedule.epoch_steps):
            losses = group.step(batches["train"], epoch, number)
            step += 1
            if number % CHECK_EVERY == 0:
                _check(group.members, losses, step - 1)
            if schedule.log_every and step % schedule.log_every == 0:
                for member, loss in zip(group.members, losses.tolist(), strict=True):
                    member.losses.append((step, epoch, loss))
            progress.step()
            if step == schedule.steps:
                break
        for member in group.members:
            rows = batches["train"].order(member.seed, epoch)[: number + 1]
            member.model.tokens_seen += int(batches["train"].pieces(rows).sum())
        began = time.perf_counter()
        _validate(group, batches, epoch + 1, step)
        validation += time.perf_counter() - began
        progress.validated(group.members)
        if step == schedule.steps:
            break
    group.finish()
    train = time.perf_counter() - started - validation
    for member in group.members:
        member.seconds["train"] = train / len(group.members)
        member.seconds["validation"] = validation / len(group.members)


def _check(members: Sequence[Member], losses: Tensor, step: int) -> None:
    if torch.isfinite(losses).all():
        return
    for member, loss in zip(members, losses.tolist(), strict=True):
        if not math.isfinite(loss) and member.failed is None:
            member.failed = f"the training loss is {loss} at step {step}; try a lower optimizer.lr"


def _validate(group: Alone | Stacked, batches: Mapping[str, Batches], epoch: int, step: int) -> None:
    for split, gold in group.members[0].model.gold.items():
        found, finite = group.predict(batches[split], gold.units)
        for member, logits, well in zip(group.members, found, finite, strict=True):
            member.model.logits[split] = logits
            if not well and member.failed is None:
                member.failed = f"the model's outputs are not finite at step {step}; try a lower optimizer.lr"
    for member in group.members:
        if member.failed is None:
            member.model.history.append({"epoch": epoch, "step": step, "metrics": member.model.scores()})
