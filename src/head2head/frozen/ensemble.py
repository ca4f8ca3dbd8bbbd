"""Runs of a bank whose heads have the same shape, trained as one: their weights stand in one tensor, a slice a run.

Each slice has its own rows, dropout stream, gradient norm and learning rate, and no step mixes two of them.
"""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.functional import cross_entropy, mse_loss

from head2head.data.batching import IGNORED
from head2head.frozen.batches import NO_ROW, Batches
from head2head.frozen.head_parts import Rest
from head2head.frozen.member import Member, Schedule
from head2head.model.optimizer import optimizer_over, parameter_groups
from head2head.seeds import derive

CHUNK = 1 << 23  # numbers in a chunk of features that is evaluated at once


class GivenMask(nn.Module):
    """Dropout whose mask is drawn outside.

    mask: 0 where an element is dropped, else 1 / (1 - p).
    """

    mask: Tensor

    def __init__(self, p: float):
        super().__init__()
        self.p = p
        self.register_buffer("mask", torch.ones(()))

    def forward(self, input: Tensor) -> Tensor:
        return input * self.mask if self.training else input


class Stacked:
    """Several runs whose heads differ in their weights alone, in what they read, and in their settings.

    Args:
        members: those with equal optimizer settings side by side.
    """

    def __init__(self, members: Sequence[Member], schedule: Schedule):
        self.members, self.schedule = list(members), schedule
        self.skeleton, self.dropouts = with_given_masks(members[0].rest)
        each = [dict(member.rest.named_parameters()) for member in members]
        self.weights = {name: torch.stack([own[name].detach() for own in each]).requires_grad_() for name in each[0]}
        self.gradients = {name: torch.zeros_like(weight) for name, weight in self.weights.items()}
        self.optimizers = [self._optimizer(first, last) for first, last in self._segments()]
        self.streams = sorted({member.seed for member in members})

    def _segments(self) -> list[tuple[int, int]]:
        """First and last but one of each stretch of members with the same optimizer settings."""
        lengths = [len(list(group)) for _, group in itertools.groupby(m.settings for m in self.members)]
        ends = list(itertools.accumulate(lengths))
        return list(zip([0, *ends[:-1]], ends, strict=True))

    def _optimizer(self, first: int, last: int) -> tuple:
        """AdamW and its schedule over some members' slices."""
        member = self.members[first]
        slices = {}
        for name, own in member.rest.named_parameters():
            slices[id(own)] = self.weights[name].detach()[first:last]
            slices[id(own)].grad = self.gradients[name][first:last]
        groups = parameter_groups(member.model.encoder, member.rest, member.settings)
        for group in groups:
            group["params"] = [slices[id(parameter)] for parameter in group["params"]]
        return optimizer_over(groups, member.settings, self.schedule.steps, fused=True)

    def step(self, batches: Batches, epoch: int, number: int) -> Tensor:
        """(M,) training losses of a step."""
        rows = np.stack([batches.order(member.seed, epoch)[number] for member in self.members])
        masks = self._masks(epoch, number, rows, batches.device)
        labels = batches.labels("row", rows)
        counts = torch.from_numpy(batches.count(rows)).to(batches.device)
        self.skeleton.train()
        logits = vmap(self._call)(self.weights, masks, self._features(batches, rows))
        losses = row_losses(logits, labels) / counts
        found = torch.autograd.grad(losses.sum(), list(self.weights.values()))
        self._clip(found)
        for optimizer, schedule in self.optimizers:
            optimizer.step()
            schedule.step()
        return losses.detach()

    def _call(self, weights: dict[str, Tensor], masks: dict[str, Tensor], features: list[Tensor]) -> Tensor:
        return functional_call(self.skeleton, (weights, masks), (features, None, None))

    def _features(self, batches: Batches, rows: np.ndarray) -> list[Tensor]:
        """(M, B, width) for each reading."""
        found = []
        for place, reading in enumerate(self.members[0].rest.readings):
            parts, start = [], 0
            # Members that read the same array are looked up together.
            for read, group in itertools.groupby(member.rest.readings[place] for member in self.members):
                end = start + len(list(group))
                parts.append(batches.vectors(read, rows[start:end]))
                start = end
            found.append(parts[0] if len(parts) == 1 else torch.cat(parts))
            assert found[-1].shape[-1] == reading.width
        return found

    def _masks(self, epoch: int, number: int, rows: np.ndarray, device: torch.device) -> dict[str, Tensor]:
        """(M, B, ...) masks: those that nn.Dropout draws in a run of its own, from torch's own generator."""
        kept = (rows != NO_ROW).sum(axis=1)
        drawn: dict[tuple[int, int], list[Tensor]] = {}
        for member, size in zip(self.members, kept, strict=True):
            if (member.seed, int(size)) not in drawn:
                seed = derive(member.seed, "dropout", epoch, number, 0)
                drawn[member.seed, int(size)] = self._draw(seed, int(size), rows.shape[1], device)
        each = [drawn[member.seed, int(size)] for member, size in zip(self.members, kept, strict=True)]
        return {
            f"{name}.mask": torch.stack([masks[place] for masks in each])
            for place, (name, _, _) in enumerate(self.dropouts)
        }

    def _draw(self, seed: int, size: int, batch_size: int, device: torch.device) -> list[Tensor]:
        if not self.dropouts:
            return []
        generator = torch.default_generator if device.type == "cpu" else torch.Generator(device)
        generator.manual_seed(seed)
        masks = []
        dtype = next(iter(self.weights.values())).dtype
        for _, p, shape in self.dropouts:
            mask = torch.zeros(batch_size, *shape, dtype=dtype, device=device)
            mask[:size] = torch.empty(size, *shape, dtype=dtype, device=device).bernoulli_(1 - p, generator=generator)
            masks.append(mask.div_(1 - p))
        return masks

    @torch.no_grad()
    def _clip(self, found: Sequence[Tensor]) -> None:
        """Write each member's gradient, clipped by its own norm, to where the optimizers look for it."""
        limit = self.schedule.clip
        scale: Tensor | None = None
        if limit is not None and not self.schedule.clip_by_value:
            norms = torch.stack([torch.linalg.vector_norm(g.reshape(len(g), -1), dim=1) for g in found])
            scale = (limit / (torch.linalg.vector_norm(norms, dim=0) + 1e-6)).clamp(max=1.0)
        for gradient, buffer in zip(found, self.gradients.values(), strict=True):
            if scale is not None:
                torch.mul(gradient, scale.view(-1, *[1] * (gradient.dim() - 1)), out=buffer)
            elif limit is not None:
                torch.clamp(gradient, -limit, limit, out=buffer)
            else:
                buffer.copy_(gradient)

    @torch.no_grad()
    def predict(self, batches: Batches, units: int) -> tuple[np.ndarray, np.ndarray]:
        """(M, N, C) float32 logits, and (M,) whether they are finite."""
        self.skeleton.eval()
        widths = sum(reading.width for reading in self.members[0].rest.readings)
        size = max(1, CHUNK // (len(self.members) * widths))
        found = []
        for start in range(0, units, size):
            rows = np.arange(start, min(start + size, units))
            features = self._features(batches, np.broadcast_to(rows, (len(self.members), len(rows))))
            found.append(vmap(self._call, in_dims=(0, None, 0))(self.weights, {}, features).float().cpu())
        logits = torch.cat(found, dim=1).numpy()
        return logits, np.isfinite(logits).all(axis=(1, 2))

    @torch.no_grad()
    def finish(self) -> None:
        """Give each head its trained weights."""
        for number, member in enumerate(self.members):
            for name, parameter in member.rest.named_parameters():
                parameter.copy_(self.weights[name][number])


def row_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """(M,) sums over a batch (M, B) of what FineTuner.loss sums: cross-entropy, or the squared error of values."""
    logits = logits if logits.dtype == torch.float64 else logits.float()
    if labels.is_floating_point():
        unknown = labels.isnan()
        values = logits.squeeze(-1).masked_fill(unknown, 0)
        return mse_loss(values, labels.nan_to_num(0).to(values.dtype), reduction="none").sum(dim=1)
    each = cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="none")
    return each.view(labels.shape).sum(dim=1)


def with_given_masks(rest: Rest) -> tuple[nn.Module, list[tuple[str, float, tuple[int, ...]]]]:
    """A copy of a head's rest whose dropout takes its masks from outside, and of each of these, in the order in which
    they draw: name, probability, and shape of a row.

    Raises:
        RuntimeError: dropout that cannot be given a mask.
    """
    skeleton = copied(rest)
    calls: list[tuple[str, float, tuple[int, ...]]] = []
    for name, module in list(skeleton.named_modules()):
        if not isinstance(module, nn.Dropout):
            continue
        if type(module) is not nn.Dropout or module.p >= 1:
            raise RuntimeError(f"{name}: a dropout of its own kind")
        given: nn.Module = nn.Identity() if module.p == 0 else GivenMask(module.p)
        parent, _, own = name.rpartition(".")
        setattr(skeleton.get_submodule(parent), own, given)
        if module.p > 0:
            given.register_forward_hook(
                lambda m, inputs, _, name=name: calls.append((name, m.p, tuple(inputs[0].shape[1:])))
            )
    parameter = next(skeleton.parameters())
    rows = [parameter.new_zeros(3, reading.width) for reading in rest.readings]
    with torch.no_grad():
        skeleton.eval()(rows, None, None)
    if len({name for name, _, _ in calls}) != len(calls):
        raise RuntimeError("a dropout that is called twice")
    for module in skeleton.modules():
        module._forward_hooks.clear()
    return skeleton, calls


def copied(rest: Rest) -> Rest:
    """A copy of a head's rest, without what makes its features."""
    made_by, rest.made_by = rest.made_by, ()
    try:
        return copy.deepcopy(rest)
    finally:
        rest.made_by = made_by


def shape_of(rest: Rest) -> str:
    """What two heads must share to be stacked: classes, settings, and shapes of the weights."""

    def told(module: nn.Module) -> list:
        own = {} if isinstance(module, Rest) else {
            name: repr(value) for name, value in vars(module).items() if not name.startswith("_") and name != "training"
        }  # fmt: skip
        return [
            type(module).__module__, type(module).__qualname__, own,
            [(name, list(p.shape), p.requires_grad) for name, p in module.named_parameters(recurse=False)],
            [(name, told(child)) for name, child in module.named_children()],
        ]  # fmt: skip

    return json.dumps([told(rest), len(rest.readings), [reading.width for reading in rest.readings]])


def can_be_stacked(rest: Rest) -> bool:
    """Whether a head's rest may be trained in a stack: a row is a vector, nothing but weights is kept from step to
    step, no numbers are drawn but by dropout; seen by trying it, against the head by itself."""
    parameters = list(rest.parameters())
    if not rest.fixed_size or any(True for _ in rest.buffers()) or not all(p.requires_grad for p in parameters):
        return False
    if not parameters:
        return False
    like = parameters[0]
    rows = [torch.linspace(-1, 1, 3 * r.width, dtype=like.dtype, device=like.device).view(3, -1) for r in rest.readings]
    try:
        skeleton = with_given_masks(rest)[0].train()  # where a mask is not given it is 1
        weights = {name: torch.stack([p.detach(), p.detach()]) for name, p in skeleton.named_parameters()}
        twice = [torch.stack([row, row.flip(0)]) for row in rows]

        def call(weights: dict[str, Tensor], features: list[Tensor]) -> Tensor:
            return functional_call(skeleton, weights, (features, None, None))

        with torch.no_grad():
            stacked = vmap(call)(weights, twice)
            single = copied(rest).eval()
            expected = [single(features, None, None) for features in (rows, [row.flip(0) for row in rows])]
    except (RuntimeError, ValueError, TypeError, NotImplementedError):
        return False
    return torch.allclose(stacked, torch.stack(expected), rtol=1e-3, atol=1e-5)
