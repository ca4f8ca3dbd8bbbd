"""One compiled layer: its gradient, and what its dropout draws."""

import pytest
import torch
from torch import Tensor

from head2head.compiled.layer import BertLayerFunction, LayerCode, Layout
from head2head.dropout import STEPS, kept

SIZES = {"small": (12, 3, 20), "one head": (9, 1, 7), "wide": (80, 2, 70)}
SEEDS = (3, 1 << 62, (1 << 64) - 1)


def layout(lengths: tuple[int, ...], heads: int) -> Layout:
    return Layout(torch.tensor([0, *lengths]).cumsum(0), heads, 1e-12)


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


def masks(p: float, seed: int, dtype: torch.dtype, rows: int = 4000, hidden: int = 103) -> Tensor:
    """(rows, hidden): what dropout multiplies by, found through a LayerNorm's y that is overwritten with the sum of
    residual 0 and dropped-out 1, but for mean and deviation of the row."""
    code = LayerCode(torch.empty(rows, hidden, dtype=dtype), layout((rows,), 1), (0, seed, 0), (0.0, p))
    y, ones = torch.ones(rows, hidden, dtype=dtype), torch.ones(hidden, dtype=dtype)
    _, rstd = code.add_norm(y, torch.zeros_like(y), ones, torch.zeros_like(ones), 1)
    spread = y / rstd.unsqueeze(1)  # 0 or 1 / (1 - p), less their mean
    return spread - spread.min(dim=1, keepdim=True).values


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_values_are_dropped_with_the_probability_and_scaled_by_the_rest(p, dtype):
    found = masks(p, 7, dtype)
    scale = STEPS / kept(p)
    keep = found > scale / 2
    torch.testing.assert_close(found, keep.to(dtype) * scale, rtol=1e-3, atol=1e-3)
    count = keep.numel()
    four_sigma = 4 * (p * (1 - p) / count) ** 0.5
    assert keep.float().mean().item() == pytest.approx(1 - p, abs=four_sigma)
    for distance in (1, 2, 3, 4):  # elements of one number, and of neighbours, are independent
        both = (keep[:, distance:] & keep[:, :-distance]).float().mean().item()
        assert both == pytest.approx((1 - p) ** 2, abs=2 * four_sigma)
    assert (keep[1:] & keep[:-1]).float().mean().item() == pytest.approx((1 - p) ** 2, abs=2 * four_sigma)
    other = masks(p, 8, dtype) > scale / 2  # of another seed
    assert (keep & other).float().mean().item() == pytest.approx((1 - p) ** 2, abs=2 * four_sigma)


def test_float_and_double_draw_the_same_masks():
    assert torch.equal(masks(0.1, 7, torch.float32) > 0.5, masks(0.1, 7, torch.float64) > 0.5)


def test_attentions_weights_are_dropped_with_the_probability_each_text_head_and_query_by_itself():
    """Values are one-hot, so that the context is the weights; scores are 0, so that these are the mask."""
    texts, heads, size, p = 60, 3, 32, 0.3
    qkv = torch.zeros(texts * size, 3, heads, size)
    qkv[:, 2] = torch.eye(size).repeat(texts, 1).unsqueeze(1)
    code = LayerCode(torch.empty(texts * size, heads * size), layout((size,) * texts, heads), (5, 0, 0), (p, 0.0))
    context, _ = code.attention(qkv.flatten(1))
    weights = context.view(texts, size, heads, size) * size * kept(p) / STEPS
    keep = weights.round().bool()
    torch.testing.assert_close(weights, keep.float(), rtol=0, atol=1e-4)
    four_sigma = 4 * (p * (1 - p) / keep.numel()) ** 0.5
    assert keep.float().mean().item() == pytest.approx(1 - p, abs=four_sigma)
    for axis in range(4):
        both = (keep & keep.roll(1, axis)).float().mean().item()
        assert both == pytest.approx((1 - p) ** 2, abs=2 * four_sigma), axis


@pytest.mark.parametrize("length", [1, 15, 16, 17, 130, 512])
def test_attention_of_a_text_is_torchs_whatever_its_length(length):
    heads, size = 2, 24
    torch.manual_seed(0)
    qkv = torch.randn(length + 3, 3, heads, size, dtype=torch.float64, requires_grad=True)
    code = LayerCode(torch.empty(length + 3, heads * size).double(), layout((3, length), heads), (0, 0, 0), (0.0, 0.0))
    flat = qkv.detach().flatten(1)
    context, softmax = code.attention(flat)
    parts = [
        torch.nn.functional.scaled_dot_product_attention(*part.permute(1, 2, 0, 3)).transpose(0, 1).flatten(1)
        for part in (qkv[:3], qkv[3:])
    ]
    expected = torch.cat(parts)
    torch.testing.assert_close(context, expected, rtol=1e-9, atol=1e-12)
    gradient = torch.randn_like(expected)
    expected.backward(gradient)
    found = code.attention_gradient(flat, context, gradient, softmax)
    torch.testing.assert_close(found, qkv.grad.flatten(1), rtol=1e-9, atol=1e-12)


def test_functions_in_single_precision_are_those_of_double():
    x = torch.linspace(-30, 30, 40_001)  # no multiple of what is computed at a time
    code = {
        dtype: LayerCode(torch.empty(1, 1, dtype=dtype), layout((1,), 1), (0, 0, 0), (0.0, 0.0))
        for dtype in (torch.float32, torch.float64)
    }
    exact = torch.nn.functional.gelu(x.double())
    torch.testing.assert_close(code[torch.float64].gelu(x.double()), exact)
    torch.testing.assert_close(code[torch.float32].gelu(x).double(), exact, rtol=1e-7, atol=5e-7)  # torch's: 1e-6
    gradients = {}
    for dtype, one in code.items():
        inner, gradients[dtype] = x.to(dtype, copy=True).unsqueeze(0), torch.ones(1, len(x), dtype=dtype)
        one.gelu_gradient(inner, gradients[dtype])
    torch.testing.assert_close(gradients[torch.float32].double(), gradients[torch.float64], rtol=1e-6, atol=1e-6)
    huge = torch.tensor([1e30, -1e30, float("inf"), float("nan")])
    assert code[torch.float32].gelu(huge)[:3].tolist() == [torch.tensor(1e30).item(), 0.0, float("inf")]
    assert code[torch.float32].gelu(huge)[3].isnan()


def test_numbers_that_are_none_come_out_as_such():
    own = parameters(12, 20, torch.float32)
    x = torch.ones(6, 12)
    x[4, 2] = float("nan")
    out = BertLayerFunction.apply(x, layout((3, 3), 3), SEEDS, (0.0, 0.0), *own)
    assert out[:3].isfinite().all()
    assert out[3:].isnan().all()


@pytest.mark.parametrize("far", [-3000.0, -50.0, 50.0, 3000.0])
def test_attention_is_torchs_wherever_its_scores_lie(far):
    """Weights do not change with what is added to all scores, below the zeros that fill up rows or above."""
    torch.manual_seed(0)
    length, size = 21, 16
    qkv = torch.randn(length, 3, size)
    qkv[:, 0, 0], qkv[:, 1, 0] = 4.0, far  # size ** 0.5 * far is added to all
    code = LayerCode(torch.empty(length, size), layout((length,), 1), (0, 0, 0), (0.0, 0.0))
    context, _ = code.attention(qkv.flatten(1))
    expected = torch.nn.functional.scaled_dot_product_attention(*qkv.double().transpose(0, 1).unsqueeze(1))
    torch.testing.assert_close(context.double(), expected[0], rtol=0, atol=1e-6 + 1e-6 * abs(far))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(1, 1), (16, 32), (17, 33), (130, 5), (3, 100)])
def test_turned_is_the_transpose(shape, dtype):
    code = LayerCode(torch.empty(1, 1, dtype=dtype), layout((1,), 1), (0, 0, 0), (0.0, 0.0))
    matrix = torch.randn(shape, dtype=dtype)
    assert torch.equal(code.turned(matrix), matrix.t())


@pytest.mark.parametrize(("rows", "widths"), [(5, (40, 7)), (200, (40, 7)), (5, (7, 40)), (200, (7, 40))])
def test_gradients_of_weights_are_torchs_whichever_factor_is_turned(rows, widths):
    code = LayerCode(torch.empty(1, 1, dtype=torch.float64), layout((1,), 1), (0, 0, 0), (0.0, 0.0))
    gradient, inputs = (torch.randn(rows, width, dtype=torch.float64) for width in widths)
    torch.testing.assert_close(code.of_weight(gradient, inputs), gradient.t() @ inputs, rtol=1e-12, atol=1e-12)
