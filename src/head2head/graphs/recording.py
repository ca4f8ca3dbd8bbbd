"""A module's forward and backward pass, recorded once for tensors of some sizes and replayed for all others of these.

On a GPU a replay is the launch of one CUDA graph, instead of some dozens of kernels a layer. The recording reads and
writes memory that stays in its place; what goes in is copied there.

torch.cuda.make_graphed_callables does as much, but has parameters' gradients overwritten by the next batch of its size
while they are still being summed (pytorch/pytorch#181723), and keeps gradients for each size apart, each time as many
as the encoder has parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

# How far a replay may be from what was recorded, by their norms. Kernels that add in no fixed order differ by a
# hundredth in 16 bits; other dropout masks make it half and more.
TOLERANCE = 0.03


class RecordingFailed(RuntimeError):
    """A replay does not give what the module does."""


class Memory:
    """What recordings of one module have in common, since no two of them are under way at once.

    Attributes:
        gradients: of the parameters that are trained, where every backward pass leaves them.
        turn: number of the last forward pass. What it kept for its gradient is gone with the next one.
    """

    def __init__(self, module: nn.Module):
        trained = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
        self.names, self.parameters = list(trained), list(trained.values())
        self.device = next(module.parameters()).device
        self.gradients = [torch.empty_like(parameter) for parameter in self.parameters]
        self.turn = 0
        cuda = self.device.type == "cuda"
        self.stream = torch.cuda.Stream(self.device) if cuda else None
        self.pool = torch.cuda.graph_pool_handle() if cuda else None

    @contextmanager
    def on_stream(self) -> Iterator[None]:
        """Inside the block a GPU works where recordings are made, behind all that it was given before."""
        if self.stream is None:
            yield
            return
        before = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(before)
        with torch.cuda.stream(self.stream):
            yield
        before.wait_stream(self.stream)

    def recorded(self, work: Callable[[], None]) -> Callable[[], None]:
        """What does some work again: on a GPU a graph of it, elsewhere the work itself."""
        if self.pool is None:
            return work
        graph = torch.cuda.CUDAGraph()
        # Other threads may ask the GPU for memory meanwhile, as one that pins batches does.
        with torch.cuda.graph(graph, self.pool, self.stream, capture_error_mode="thread_local"):
            work()
        return graph.replay

    def keep_sums(self) -> None:
        """Have gradients that are to be added to in memory of their own, which no backward pass writes to."""
        for parameter, gradient in zip(self.parameters, self.gradients, strict=True):
            if parameter.grad is not None and parameter.grad.data_ptr() == gradient.data_ptr():
                parameter.grad = parameter.grad.clone()

    @property
    def generator(self) -> torch.Generator:
        """That of the device's dropout."""
        if self.device.type == "cuda":
            return torch.cuda.default_generators[self.device.index]
        return torch.default_generator


class Recording:
    """Of module(x, offsets), a tuple of tensors.

    Args:
        module: with parameters that stay in their places.
        x: of the size it is for; has a gradient if it requires one.
        offsets: integers.

    Raises:
        RecordingFailed: the first replay, with other random numbers than those it was recorded with, gives something
            else than the module.
    """

    def __init__(self, module: nn.Module, x: Tensor, offsets: Tensor, memory: Memory):
        self.module, self.memory = module, memory
        memory.keep_sums()
        memory.turn += 1
        generator = memory.generator
        state = generator.get_state()
        with memory.on_stream():
            self.x = x.detach().clone().requires_grad_(x.requires_grad)
            self.offsets = offsets.clone()
            # Aliases, since a parameter may be tied to the stream of who else takes its gradient (as in DDP).
            aliases = [parameter.detach().requires_grad_() for parameter in memory.parameters]
            self.aliases = dict(zip(memory.names, aliases, strict=True))
            self.inputs = [*([self.x] if x.requires_grad else []), *self.aliases.values()]
            self._outputs = self._computed()
            self.outputs = [output.detach().clone() for output in self._outputs]
            self.differentiable = [output.requires_grad for output in self._outputs]  # those of frozen layers are not
            noise = torch.Generator(memory.device).manual_seed(0)
            self.output_gradients = [
                torch.randn(output.shape, dtype=output.dtype, device=memory.device, generator=noise)
                for output in self.outputs
            ]
            self.x_gradient = torch.empty_like(self.x)
            self._backward()
            expected = [part.clone() for part in self._found()]
        generator.manual_seed(0)  # a graph that kept this seed would be found out
        self.replay_forward = memory.recorded(self._forward)
        self.replay_backward = memory.recorded(self._backward)
        self._outputs = ()
        generator.set_state(state)
        for part in self._found():
            part.fill_(torch.nan)
        self.replay_forward()
        self.replay_backward()
        generator.set_state(state)
        distances = [distance(*pair) for pair in zip(self._found(), expected, strict=True)]
        if not all(found <= TOLERANCE for found in distances):
            told = ", ".join(f"{found:.1e}" for found in distances)
            raise RecordingFailed(f"a replay is away from what was recorded by {told} of its norm")

    def _computed(self) -> tuple[Tensor, ...]:
        # A weight's 16-bit copy must be made in the recording, not taken from before it.
        device = self.memory.device.type
        dtype, enabled = torch.get_autocast_dtype(device), torch.is_autocast_enabled(device)
        with torch.enable_grad(), torch.autocast(device, dtype, enabled, cache_enabled=False):
            return functional_call(self.module, self.aliases, (self.x, self.offsets))

    def _forward(self) -> None:
        self._outputs = self._computed()
        for place, output in zip(self.outputs, self._outputs, strict=True):
            place.copy_(output.detach())

    def _backward(self) -> None:
        pairs = zip(self._outputs, self.output_gradients, self.differentiable, strict=True)
        outputs, of_outputs = zip(*((output, gradient) for output, gradient, d in pairs if d), strict=True)
        gradients = torch.autograd.grad(outputs, self.inputs, of_outputs)
        if self.x.requires_grad:
            self.x_gradient.copy_(gradients[0])
            gradients = gradients[1:]
        torch._foreach_copy_(self.memory.gradients, gradients)

    def _found(self) -> list[Tensor]:
        """Some of what both passes give: all layers have a part in the gradients of x and of the lowest parameters."""
        of_x = [self.x_gradient] if self.x.requires_grad else []
        return [*self.outputs, *of_x, self.memory.gradients[0], self.memory.gradients[-1]]

    def __call__(self, x: Tensor, offsets: Tensor) -> tuple[Tensor, ...]:
        """What the module gives. The tensors are overwritten by the next call, gradients by the next backward pass
        (those of parameters only once they are no longer summed)."""
        return Replay.apply(self, x, offsets, *self.memory.parameters)

    def forward(self, x: Tensor, offsets: Tensor) -> int:
        """Leaves the module's outputs in `outputs`. Returns the turn, which its gradient has to name."""
        self.x.data.copy_(x)
        self.offsets.copy_(offsets)
        self.replay_forward()
        self.memory.turn += 1
        return self.memory.turn

    def backward(self, turn: int, gradients: Sequence[Tensor]) -> None:
        """Leaves the gradients in `x_gradient` and the memory's `gradients`.

        Raises:
            RuntimeError: it is not the gradient of the last forward pass.
        """
        if turn != self.memory.turn:
            raise RuntimeError("another batch ran before the gradient of this one was taken, in the same memory")
        self.memory.keep_sums()
        for place, gradient, differentiable in zip(self.output_gradients, gradients, self.differentiable, strict=True):
            if differentiable:
                place.copy_(gradient)
        self.replay_backward()


class Replay(torch.autograd.Function):
    """A recording as a function of its inputs and parameters."""

    @staticmethod
    def forward(ctx: Any, recording: Recording, x: Tensor, offsets: Tensor, *_: Tensor) -> tuple[Tensor, ...]:
        ctx.recording = recording
        ctx.turn = recording.forward(x, offsets)
        outputs = tuple(output.detach() for output in recording.outputs)
        pairs = zip(outputs, recording.differentiable, strict=True)
        ctx.mark_non_differentiable(*(output for output, differentiable in pairs if not differentiable))
        return outputs

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        recording = ctx.recording
        recording.backward(ctx.turn, gradients)
        of_x = recording.x_gradient.detach() if recording.x.requires_grad else None
        return None, of_x, None, *(gradient.detach() for gradient in recording.memory.gradients)


def distance(a: Tensor, b: Tensor) -> float:
    """Norm of the difference, as a share of that of b; NaN where one is."""
    a, b = a.double(), b.double()
    return ((a - b).norm() / b.norm().clamp(min=1e-30)).item()
