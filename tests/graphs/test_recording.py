"""What a recording promises. On a CPU, where a replay is the work done again, in the memory that a graph would use."""

import pytest
import torch
from torch import nn

from head2head.graphs.recording import Memory, Recording, RecordingFailed

OFFSETS = torch.tensor([0, 3, 5])


class Module(nn.Module):
    """Two outputs; what it gives depends on the offsets too."""

    def __init__(self, p=0.0):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.frozen = (nn.Linear(4, 4).double() for _ in range(3))
        self.frozen.requires_grad_(False)
        self.dropout = nn.Dropout(p)

    def forward(self, x, offsets):
        low = self.dropout(torch.tanh(self.first(x))) * offsets.diff().sum()
        return low, self.frozen(torch.tanh(self.second(low)))


def batch(seed, size=5, requires_grad=True):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(size, 4, dtype=torch.float64, generator=generator, requires_grad=requires_grad)


def recording(module, size=5, memory=None, requires_grad=True):
    return Recording(module, batch(99, size, requires_grad), OFFSETS, memory or Memory(module))


def loss(outputs):
    return sum(output.pow(2).sum() for output in outputs)


def gradients(work, x, parameters):
    for parameter in [x, *parameters]:
        parameter.grad = None
    loss(work(x, OFFSETS)).backward()
    return [parameter.grad.clone() for parameter in [x, *parameters] if parameter.grad is not None]


@pytest.mark.parametrize("p", [0.0, 0.4])
def test_outputs_and_gradients_are_the_modules(p):
    """With dropout too, whose masks are those that the module would have drawn."""
    module = Module(p)
    replay = recording(module)
    for seed in range(3):
        torch.manual_seed(seed)
        expected = gradients(module, batch(seed), list(module.parameters()))
        torch.manual_seed(seed)
        found = gradients(replay, batch(seed), list(module.parameters()))
        assert len(found) == 5
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_recording_draws_no_random_numbers_of_the_run():
    module = Module(0.4)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    recording(module)
    assert torch.equal(torch.get_rng_state(), state)


def test_offsets_are_those_of_the_call():
    module = Module()
    replay = recording(module)
    once, twice = (replay(batch(0), OFFSETS * factor)[0].clone() for factor in (1, 2))
    torch.testing.assert_close(twice, 2 * once)


def test_parameters_are_those_of_the_call():
    module = Module()
    replay = recording(module)
    with torch.no_grad():
        module.first.weight.mul_(3)
    torch.testing.assert_close(replay(batch(0), OFFSETS)[0], module(batch(0), OFFSETS)[0])


@pytest.mark.parametrize("sizes", [(5, 5, 5), (5, 7, 5)])
def test_gradients_of_several_batches_add_up(sizes):
    """Those of one size are left in the same memory, and all sizes share it."""
    module, memory = Module(), None
    memory = Memory(module)
    replays = {size: recording(module, size, memory) for size in set(sizes)}
    found = {}
    for name, work in (("module", dict.fromkeys(sizes, module)), ("replay", replays)):
        module.zero_grad()
        for seed, size in enumerate(sizes):
            loss(work[size](batch(seed, size), OFFSETS)).backward()
        found[name] = [parameter.grad for parameter in module.parameters() if parameter.requires_grad]
    for a, b in zip(found["replay"], found["module"], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_an_optimizer_that_sets_gradients_to_zero_instead_of_dropping_them_trains_alike():
    ends = []
    for recorded in (False, True):
        module = Module()
        work = recording(module) if recorded else module
        optimizer = torch.optim.AdamW(module.parameters(), lr=0.01)
        for seed in range(4):
            loss(work(batch(seed), OFFSETS)).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=False)
        ends.append([parameter.detach().clone() for parameter in module.parameters()])
    for a, b in zip(*ends, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_the_gradient_of_a_batch_that_another_one_has_overwritten_is_refused():
    module = Module()
    memory = Memory(module)
    first, other = recording(module, 5, memory), recording(module, 7, memory)
    outputs = first(batch(0), OFFSETS)
    other(batch(1, 7), OFFSETS)
    with pytest.raises(RuntimeError, match="another batch ran before the gradient of this one was taken"):
        loss(outputs).backward()


def test_an_input_without_a_gradient_needs_none():
    module = Module()
    replay = recording(module, requires_grad=False)
    loss(replay(batch(0, requires_grad=False), OFFSETS)).backward()
    expected = gradients(module, batch(0), list(module.parameters()))[1:]
    module.zero_grad()
    loss(replay(batch(0, requires_grad=False), OFFSETS)).backward()
    for parameter, gradient in zip([p for p in module.parameters() if p.requires_grad], expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-12, atol=1e-12)


def test_autocast_holds_in_the_recording_and_no_weights_copy_is_kept():
    module = Module().float()
    with torch.autocast("cpu", torch.bfloat16):
        x = batch(0).float().detach().requires_grad_()
        replay = Recording(module, x, OFFSETS, Memory(module))
        with torch.no_grad():
            module.first.weight.mul_(3)
        found, expected = replay(x, OFFSETS)[0], module(x, OFFSETS)[0]
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found, expected)


class Baked(Memory):
    """As if a graph had kept the random numbers that it was recorded with."""

    def recorded(self, work):
        baked = torch.get_rng_state()

        def again():
            state = torch.get_rng_state()
            torch.set_rng_state(baked)
            work()
            torch.set_rng_state(state)

        return again


class Idle(Memory):
    """As if nothing had been recorded."""

    def recorded(self, work):
        work()
        return lambda: None


@pytest.mark.parametrize(("memory", "p"), [(Baked, 0.4), (Idle, 0.0)])
def test_what_does_not_replay_what_it_recorded_is_refused(memory, p):
    module = Module(p)
    with pytest.raises(RecordingFailed, match="a replay is away from what was recorded by"):
        recording(module, memory=memory(module))
