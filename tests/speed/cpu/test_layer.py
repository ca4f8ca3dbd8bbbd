"""One compiled layer and its gradient."""

import pytest
import torch
from torch import Tensor

from head2head.speed.cpu.layer import BertLayerFunction, Buffers, Layout

SIZES = {"small": (12, 3, 20), "one head": (9, 1, 7), "wide": (80, 2, 70)}
SEEDS = (3, 1 << 62, (1 << 64) - 1)


def layout(lengths: tuple[int, ...], heads: int) -> Layout:
    return Layout(torch.tensor([0, *lengths]).cumsum(0), heads, 1e-12, Buffers())


def parameters(hidden: int, inner: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """A layer's, in the order of BertLayerFunction."""
    generator = torch.Generator().manual_seed(1)
    shapes = [(hidden, hidden), (hidden,)] * 4 + [(hidden,), (hidden,), (inner, hidden), (inner,), (hidden, inner)]
    shapes += [(hidden,)] * 3
    return [torch.randn(s, generator=generator, dtype=dtype).mul_(0.5).requires_grad_() for s in shapes]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("p", [(0.0, 0.0), (0.2, 0.0), (0.0, 0.3), (0.1, 0.1)])
@pytest.mark.parametrize("threads", [1, 2, 7])
def test_the_gradient_is_that_of_what_is_computed(size, p, threads):
    """Against differences, dropout on: the same masks are drawn forward and backward, by any number of threads."""
    torch.set_num_threads(threads)
    hidden, heads, inner = SIZES[size]
    x = torch.randn(6, hidden, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    where = layout((3, 0, 1, 2), heads)
    own = parameters(hidden, inner)

    inputs = (x, *own)
    generator = torch.Generator().manual_seed(2)
    weight, *ways = (torch.randn(t.shape, dtype=t.dtype, generator=generator) for t in (x, *inputs))

    def loss(*inputs: Tensor) -> Tensor:
        return (BertLayerFunction.apply(inputs[0], where, SEEDS, p, *inputs[1:]) * weight).sum()

    step, gradients = 1e-6, torch.autograd.grad(loss(*inputs), inputs)
    for number, (gradient, way) in enumerate(zip(gradients, ways, strict=True)):
        with torch.no_grad():
            ahead, behind = (
                loss(*inputs[:number], inputs[number] + by * way, *inputs[number + 1 :]).item() for by in (step, -step)
            )
        assert (gradient * way).sum().item() == pytest.approx((ahead - behind) / (2 * step), rel=1e-6, abs=1e-6), number


def test_the_gradient_can_be_had_once():
    own = parameters(12, 20)
    x = torch.randn(6, 12, dtype=torch.float64, requires_grad=True)
    loss = BertLayerFunction.apply(x, layout((6,), 3), SEEDS, (0.0, 0.0), *own).sum()
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="asked for twice"):
        loss.backward()


def test_a_layer_without_gradient_passes_its_inputs_on_and_gets_none():
    found = []
    for trained in (True, False):
        own = parameters(12, 20)
        for parameter in own:
            parameter.requires_grad_(trained)
        x = torch.ones(6, 12, dtype=torch.float64, requires_grad=True) * torch.arange(6.0).unsqueeze(1)
        x.retain_grad()
        BertLayerFunction.apply(x, layout((2, 4), 3), SEEDS, (0.1, 0.1), *own).pow(3).sum().backward()
        found.append(x.grad)
        assert [parameter.grad is not None for parameter in own] == [trained] * 16
    assert torch.equal(*found)


def test_a_batch_without_a_token_has_gradients_of_zero():
    own = parameters(12, 20)
    x = torch.empty(0, 12, dtype=torch.float64, requires_grad=True)
    out = BertLayerFunction.apply(x, layout((0, 0), 3), SEEDS, (0.1, 0.1), *own)
    assert out.shape == (0, 12)
    assert all(gradient.count_nonzero() == 0 for gradient in torch.autograd.grad(out.sum(), own))


def test_results_are_the_same_bits_at_equal_threads():
    torch.set_num_threads(2)
    own, x = parameters(80, 70, torch.float32), torch.randn(300, 80, requires_grad=True)
    found = []
    for _ in range(2):
        out = BertLayerFunction.apply(x, layout((120, 1, 79, 100), 2), SEEDS, (0.1, 0.1), *own)
        found.append([out, *torch.autograd.grad(out.pow(2).sum(), (x, *own))])
    assert all(torch.equal(first, second) for first, second in zip(*found, strict=True))


def test_gradients_in_single_precision_are_those_of_double():
    found = []
    for dtype in (torch.float32, torch.float64):
        own = [tensor.detach().to(dtype).requires_grad_() for tensor in parameters(80, 170)]
        generator = torch.Generator().manual_seed(0)
        x, weight = (torch.randn(300, 80, generator=generator).to(dtype).requires_grad_() for _ in range(2))
        out = BertLayerFunction.apply(x, layout((120, 1, 79, 100), 2), SEEDS, (0.1, 0.1), *own)
        found.append([out, *torch.autograd.grad((out * weight).sum(), (x, *own))])
    for number, (single, double) in enumerate(zip(*found, strict=True)):
        largest = 1.0 if number == 5 else double.abs().max().item()  # a key's bias has none but for rounding
        torch.testing.assert_close(single.double(), double, rtol=0, atol=5e-5 * largest, msg=str(number))


def test_numbers_that_are_none_come_out_as_such():
    own = parameters(12, 20, torch.float32)
    x = torch.ones(6, 12)
    x[4, 2] = float("nan")
    out = BertLayerFunction.apply(x, layout((3, 3), 3), SEEDS, (0.0, 0.0), *own)
    assert out[:3].isfinite().all()
    assert out[3:].isnan().all()
