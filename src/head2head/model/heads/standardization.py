"""Standardised features: (x - mean) / standard deviation over the training rows, computed once before training.

The features of two pools may differ in spread by a factor of twenty, and with them the learning rate that trains a
classifier on a frozen encoder. Standardised, all heads start from the same scale. Nothing is lost: a linear layer can
undo it (see `folded`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

# A spread below this share of the mean's size is the rounding of single precision, not a feature.
ROUNDING = 1e-6

Batch = TypeVar("Batch")


class Standardization(nn.Module):
    """(x - mean) / scale, with what `fit` has found in the training rows; NaN before.

    Attributes:
        mean, scale: (D,) buffers: fixed while the head trains, and saved with its weights. `scale` is the standard
            deviation, and 1 where a feature does not vary.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, size: int):
        super().__init__()
        self.register_buffer("mean", torch.full((size,), torch.nan))
        self.register_buffer("scale", torch.full((size,), torch.nan))

    @property
    def fitted(self) -> bool:
        """Whether it has its mean and scale."""
        return not bool(self.mean.isnan().any())

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """Features (..., D), standardised. `mask` (...) says where there is one, for those who count them."""
        return ((features - self.mean) / self.scale).to(features.dtype)


class Unchanged(nn.Module):
    """Gives back what it is given."""

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        return features


def standardization(size: int, wanted: bool) -> nn.Module:
    """A standardisation of D = `size` features, or what leaves them as they are."""
    return Standardization(size) if wanted else Unchanged()


class Moments:
    """Mean and standard deviation of vectors that come in batches, in float64 (Chan et al. 1983, which does not
    subtract large squares)."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = self.squares = torch.zeros((), dtype=torch.float64)

    def add(self, vectors: Tensor) -> None:
        """Take in (n, D) vectors."""
        if len(vectors) == 0:
            return
        values = vectors.detach().to("cpu", torch.float64)
        mean, count = values.mean(dim=0), self.count + len(values)
        away = mean - self.mean
        self.squares = self.squares + (values - mean).square().sum(dim=0)
        self.squares = self.squares + away.square() * (self.count * len(values) / count)
        self.mean, self.count = self.mean + away * len(values) / count, count

    @property
    def scale(self) -> Tensor:
        """(D,) standard deviation over all vectors; 1 where they differ by rounding alone."""
        deviation = (self.squares / self.count).sqrt()
        return torch.where(deviation > ROUNDING * self.mean.abs(), deviation, 1.0)


class Reached(Exception):
    """A forward pass has come to the module that was waited for."""


@torch.no_grad()
def reaching(
    module: nn.Module, batches: Iterable[Batch], forward: Callable[[Batch], Any], seen: Callable[..., None]
) -> None:
    """Run forward passes up to a module, and hand over what it would be called with.

    Args:
        forward: of a model that the module is a part of.
        seen: called with the module's arguments.
    """

    def stop(_module: nn.Module, arguments: tuple[Any, ...]) -> None:
        seen(*arguments)
        raise Reached

    handle = module.register_forward_pre_hook(stop)
    try:
        for batch in batches:
            try:
                forward(batch)
            except Reached:
                continue
            raise RuntimeError(f"{type(module).__name__} was not called")
    finally:
        handle.remove()


def fit(head: nn.Module, batches: Callable[[], Iterable[Batch]], forward: Callable[[Batch], Any]) -> None:
    """Give each Standardization of a head its mean and scale, those that come first in the head first. Layers and pools
    that learn are taken as they are. What is fitted already stays.

    Args:
        batches: the training rows, in an order that does not depend on the seed.
        forward: of a model in eval mode with this head.
    """
    for module in head.modules():
        if isinstance(module, Standardization) and not module.fitted:
            moments = Moments()

            def add(features: Tensor, mask: Tensor | None = None, moments: Moments = moments) -> None:
                moments.add(features.flatten(0, -2) if mask is None else features[mask.bool()])

            reaching(module, batches(), forward, add)
            module.mean.copy_(moments.mean)
            module.scale.copy_(moments.scale)


def folded(standardization: Standardization, linear: nn.Linear) -> nn.Linear:
    """One linear layer that does what the two do: W (x - m) / s + b = (W / s) x + (b - W m / s)."""
    one = nn.Linear(linear.in_features, linear.out_features, device=linear.weight.device, dtype=linear.weight.dtype)
    weight = linear.weight.detach().double() / standardization.scale.double()
    bias = -(weight @ standardization.mean.double())
    if linear.bias is not None:
        bias = bias + linear.bias.detach().double()
    with torch.no_grad():
        one.weight.copy_(weight)
        one.bias.copy_(bias)
    return one
