"""A training step, the same for a model that Lightning trains and for a head on features: the stream its dropout draws
from, the loss it sums, how its gradients are clipped."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss
from torch.nn.utils import clip_grad_norm_, clip_grad_value_, get_total_norm
from torch.optim import Optimizer

from head2head.data.batching import IGNORED
from head2head.seeds import derive

# Where a fused optimizer divides gradients by its attribute `grad_scale`; Apple's kernel does not.
SCALES_GRADIENTS = frozenset({"cpu", "cuda"})
CURVE_POINTS = 50


def seed_dropout(device: torch.device, seed: int, epoch: int, batch: int, rank: int = 0) -> None:
    """Give dropout on a device the stream of one step, so that its masks do not depend on what ran before.

    Args:
        seed: the run's.
        batch: number of the micro-batch in its epoch.
        rank: of the process, each of which has a stream of its own.
    """
    stream = derive(seed, "dropout", epoch, batch, rank)
    # torch.manual_seed asks every kind of accelerator, which takes a millisecond where there is none.
    if device.type == "cpu":
        torch.default_generator.manual_seed(stream)
    else:
        torch.manual_seed(stream)


def log_interval(most: int, steps: int) -> int:
    """Steps between two training losses that are logged: at most as many as were asked for (0: none are logged), and
    fewer in a run that would otherwise have a curve of less than CURVE_POINTS."""
    return min(most, max(steps // CURVE_POINTS, 1))


def loss_sum(logits: Tensor, labels: Tensor, regression: bool) -> Tensor:
    """Sum over the labels of the cross-entropy, or of the squared error for regression, in float32 or wider.

    Args:
        logits: (..., C); C is 1 for regression.
        labels: (...); IGNORED, or NaN for regression, where nothing is scored.
    """
    logits = logits if logits.dtype == torch.float64 else logits.float()
    if not regression:
        return cross_entropy(logits.flatten(0, -2), labels.flatten(), ignore_index=IGNORED, reduction="sum")
    unknown = labels.isnan()
    values = logits.squeeze(-1)
    return mse_loss(values.masked_fill(unknown, 0), labels.nan_to_num(0).to(values.dtype), reduction="sum")


def clip_gradients(parameters: Sequence[nn.Parameter], limit: float | None, by_value: bool) -> None:
    """Clip gradients together by their norm, or each element by its size.

    Args:
        limit: largest norm, or largest element; None does not clip.
    """
    if limit is None:
        return
    if by_value:
        clip_grad_value_(parameters, limit)
    else:
        clip_grad_norm_(parameters, limit)


def clip_in_step(optimizer: Optimizer, max_norm: float) -> None:
    """What clip_grad_norm_ does to float32 gradients, left to the next step of a fused optimizer on a device in
    SCALES_GRADIENTS. It has to read them anyway, and divides them by its attribute `grad_scale`.
    """
    norm = get_total_norm([p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None])
    optimizer.grad_scale = ((norm + 1e-6) / max_norm).clamp(min=1)  # type: ignore[attr-defined]


def can_fuse(precision: str, device: torch.device, clips_values: bool = False) -> bool:
    """Whether the fused optimizer can be used: not where Lightning clips under mixed precision, which it refuses to do
    for that kernel. `clip_in_step` does it where gradients are clipped by their norm and not scaled.

    Args:
        clips_values: gradients are clipped element by element.
    """
    lightning_clips = clips_values or device.type not in SCALES_GRADIENTS
    return not (precision == "16-mixed" or ("mixed" in precision and lightning_clips))
