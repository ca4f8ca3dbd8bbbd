"""AdamW as BERT is fine-tuned with it: parameter groups and learning-rate schedules."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LRScheduler
from transformers import get_scheduler

from head2head.errors import UserError, did_you_mean
from head2head.model.encoder import Encoder

SCHEDULES = ("linear", "cosine", "constant")


@dataclass(frozen=True)
class OptimizerSettings:
    """Settings of AdamW (Loshchilov and Hutter 2019) and of the schedule.

    lr: of the encoder at its top layer, reached at the end of the warm-up.
    head_lr: of the head; None takes `lr`.
    weight_decay: not applied to biases and LayerNorm (Devlin et al. 2019).
    layer_decay: each layer's rate is that of the layer above times this (Howard and Ruder 2018; the
        embeddings lie one below the first layer); 1 gives all layers the same.
    schedule: "linear" decay to 0, "cosine" to 0, or "constant", all after the warm-up.
    warmup_ratio: share of all steps over which the rate rises from 0.
    """

    lr: float = 5e-5
    head_lr: float | None = None
    weight_decay: float = 0.01
    betas: Sequence[float] = (0.9, 0.999)
    eps: float = 1e-8
    layer_decay: float = 1.0
    schedule: str = "linear"
    warmup_ratio: float = 0.1

    def __post_init__(self) -> None:
        if self.schedule not in SCHEDULES:
            raise UserError(f"optimizer.schedule={self.schedule}: {did_you_mean(self.schedule, SCHEDULES)}")
        for name in ("lr", "head_lr", "weight_decay", "eps", "layer_decay", "warmup_ratio"):
            value = getattr(self, name)
            if value is None and name == "head_lr":
                continue
            if not isinstance(value, (int, float)) or math.isnan(value):
                raise UserError(f"optimizer.{name}={value}: not a number")
            if value < 0:
                raise UserError(f"optimizer.{name}={value}: cannot be negative")
        if self.warmup_ratio > 1:
            raise UserError(f"optimizer.warmup_ratio={self.warmup_ratio}: a share of the steps, from 0 to 1")
        betas = self.betas if isinstance(self.betas, (list, tuple)) else ()
        if len(betas) != 2 or not all(isinstance(beta, (int, float)) and 0 <= beta < 1 for beta in betas):
            raise UserError(f"optimizer.betas={self.betas}: two numbers from 0 to below 1")


def parameter_groups(encoder: Encoder, head: nn.Module, settings: OptimizerSettings) -> list[dict]:
    """Every trainable parameter once, grouped by learning rate and weight decay.

    Raises:
        UserError: layers of the encoder cannot be told apart, and shall have rates of their own.
    """
    if settings.layer_decay != 1 and encoder.frozen is not True and encoder.depth and not encoder.layers:
        raise UserError(
            f"optimizer.layer_decay={settings.layer_decay}: {encoder.family} encoders have no plain stack of layers "
            "to give rates to; leave it at 1"
        )
    depth_of = {id(p): i + 1 for i, layer in enumerate(encoder.layers) for p in layer.parameters()}
    top = len(encoder.layers) + 1
    if encoder.layers:
        depth_of |= {id(p): 0 for part in encoder.embedding_parts for p in part.parameters()}
    else:
        top = 1
    no_decay = {
        id(p)
        for part in (encoder, head)
        for module in part.modules()
        for name, p in module.named_parameters(recurse=False)
        if isinstance(module, nn.LayerNorm) or name.startswith("bias")
    }
    head_lr = settings.head_lr
    if head_lr is None:
        head_lr = settings.lr
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for part in (encoder, head):
        for parameter in part.parameters():
            if not parameter.requires_grad:
                continue
            if part is head:
                lr = head_lr
            else:
                # The top layer and what lies above it (the pooler) have the full rate.
                below_top = max(top - 1 - depth_of.get(id(parameter), top), 0)
                lr = settings.lr * settings.layer_decay**below_top
            decay = 0.0 if id(parameter) in no_decay else settings.weight_decay
            groups.setdefault((lr, decay), []).append(parameter)
    return [{"params": params, "lr": lr, "weight_decay": decay} for (lr, decay), params in groups.items()]


def rates_of(optimizer: Any, settings: OptimizerSettings) -> dict[str, float]:
    """The learning rates of now, by the names they are logged under: the encoder's at its top layer (of an encoder that
    is frozen, the head's), and the head's where it has one of its own."""
    group = optimizer.param_groups[0]
    share = group["lr"] / group["initial_lr"] if group["initial_lr"] else 0.0
    own = {} if settings.head_lr is None else {"train/head_lr": settings.head_lr * share}
    return {"train/lr": settings.lr * share} | own


def build_optimizer(
    encoder: Encoder, head: nn.Module, settings: OptimizerSettings, total_steps: int, fused: bool
) -> tuple[AdamW, LRScheduler]:
    """AdamW over the parameter groups, and its schedule, stepped once an optimizer step.

    Raises:
        UserError: nothing is left to train, or layer_decay cannot be applied.
    """
    return optimizer_over(parameter_groups(encoder, head, settings), settings, total_steps, fused)


def optimizer_over(
    groups: list[dict], settings: OptimizerSettings, total_steps: int, fused: bool
) -> tuple[AdamW, LRScheduler]:
    """AdamW over some parameter groups, and its schedule.

    Raises:
        UserError: there is none.
    """
    if not groups:
        raise UserError("nothing to train: the encoder is frozen and the head has no parameters")
    beta1, beta2 = settings.betas
    optimizer = AdamW(groups, lr=settings.lr, betas=(beta1, beta2), eps=settings.eps, fused=fused)
    name = settings.schedule if settings.schedule != "constant" else "constant_with_warmup"
    warmup = math.ceil(settings.warmup_ratio * total_steps)
    return optimizer, get_scheduler(name, optimizer, num_warmup_steps=warmup, num_training_steps=total_steps)
