"""What a compiled layer is made of, against torch: products, attention, GELU, and what dropout draws."""

import ctypes
import functools
import subprocess
from pathlib import Path

import pytest
import torch
from torch import Tensor

from head2head.speed.cpu import library
from head2head.speed.dropout import STEPS, kept

REAL = [torch.float32, torch.float64]
PLAIN, GELU, GELU_GRADIENT = range(3)


@pytest.fixture(scope="session")
def code(tmp_path_factory):
    """Calls a function of parts.c: numbers are longs, tensors and lists of tensors pointers, None is none."""

    @functools.cache
    def compiled(dtype: torch.dtype) -> ctypes.CDLL:
        library.share_threads()
        path = tmp_path_factory.mktemp("parts") / "parts.so"
        command = [*library.compilers()[0], *library.FLAGS, f"-DREAL={library.REAL[dtype]}", "-I"]
        source = Path(__file__).with_name("parts.c")
        subprocess.run([*command, library.SOURCE.parent, "-c", source, "-o", path.with_suffix(".o")], check=True)
        subprocess.run([command[0], "-shared", path.with_suffix(".o"), "-o", path, "-lm"], check=True)
        return ctypes.CDLL(str(path))

    def pointer(argument):
        if isinstance(argument, list):
            return (ctypes.c_void_p * len(argument))(*(tensor.data_ptr() for tensor in argument))
        if isinstance(argument, Tensor):
            assert argument.is_contiguous()
            return ctypes.c_void_p(argument.data_ptr())
        return ctypes.c_long(argument) if isinstance(argument, int) else argument

    def call(name: str, dtype: torch.dtype, *arguments) -> None:
        getattr(compiled(dtype), f"test_{name}")(*map(pointer, arguments))

    return call


def offsets_of(*lengths: int) -> Tensor:
    return torch.tensor([0, *lengths]).cumsum(0)


SHAPES = [(1, 1, 1), (5, 3, 40), (12, 32, 16), (13, 33, 7), (11, 100, 31), (47, 20, 5), (130, 70, 20), (500, 40, 9)]


@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("shape", [*SHAPES, (30, 40, 3200)])
def test_products_with_weights_and_of_gradients_are_torchs(code, shape, parts, threads, dtype):
    """Rows, columns and terms that fill tiles and panels, and that do not; more terms than are summed at a time."""
    (m, n, k), near = shape, {"rtol": 0, "atol": (2e-5 if dtype == torch.float32 else 1e-13) * shape[2] ** 0.5}
    torch.manual_seed(0)
    x, weights = torch.randn(m, k, dtype=dtype), [torch.randn(n, k, dtype=dtype) for _ in range(parts)]
    biases = [torch.randn(n, dtype=dtype) for _ in range(parts)]
    found = torch.full((m, parts * n), torch.nan, dtype=dtype)
    code("multiply", dtype, m, n, k, parts, x, weights, 1, biases, found, None, 0, PLAIN, threads)
    expected = [torch.nn.functional.linear(x, *of) for of in zip(weights, biases, strict=True)]
    torch.testing.assert_close(found, torch.cat(expected, dim=1), **near)

    gradient, added = torch.randn(m, parts * n, dtype=dtype), torch.randn(m, k, dtype=dtype)
    for add, start in ((0, torch.full_like(added, torch.nan)), (1, added.clone())):
        code("multiply", dtype, m, k, n, parts, gradient, weights, 0, None, start, None, add, PLAIN, threads)
        expected = gradient @ torch.cat(weights) + (added if add else 0)
        torch.testing.assert_close(start, expected, **near | {"atol": near["atol"] * (parts * n) ** 0.5})

    of_weights = [torch.full((n, k), torch.nan, dtype=dtype) for _ in range(parts)]
    of_biases = [torch.full((n,), torch.nan, dtype=dtype) for _ in range(parts)]
    code("multiply_transposed", dtype, n, k, m, parts, gradient, x, of_weights, of_biases, threads)
    near["atol"] *= m**0.5
    torch.testing.assert_close(torch.cat(of_weights), gradient.t() @ x, **near)
    torch.testing.assert_close(torch.cat(of_biases), gradient.sum(0), **near)


def test_gradients_of_weights_are_torchs_over_more_rows_than_are_summed_at_a_time(code):
    gradient, x = torch.randn(3200, 50, dtype=torch.float64), torch.randn(3200, 33, dtype=torch.float64)
    weight, bias = torch.empty(50, 33, dtype=torch.float64), torch.empty(50, dtype=torch.float64)
    code("multiply_transposed", torch.float64, 50, 33, 3200, 1, gradient, x, [weight], [bias], 2)
    torch.testing.assert_close(weight, gradient.t() @ x)
    torch.testing.assert_close(bias, gradient.sum(0))


@pytest.mark.parametrize("shape", [*SHAPES, (30, 40, 3200)])
def test_gelu_and_its_gradient_go_with_the_products(code, shape):
    m, n, k = shape
    torch.manual_seed(0)
    x, weight, bias = (torch.randn(size, dtype=torch.float64) for size in ((m, k), (n, k), (n,)))
    inner, activated = torch.empty(m, n, dtype=torch.float64), torch.empty(m, n, dtype=torch.float64)
    code("multiply", torch.float64, m, n, k, 1, x, [weight], 1, [bias], activated, inner, 0, GELU, 2)
    torch.testing.assert_close(inner, torch.nn.functional.linear(x, weight, bias))
    torch.testing.assert_close(activated, torch.nn.functional.gelu(inner))

    gradient, down = torch.randn(m, k, dtype=torch.float64), torch.randn(k, n, dtype=torch.float64)
    given = inner.clone().requires_grad_()
    torch.nn.functional.gelu(given).backward(gradient @ down)
    found = torch.empty_like(inner)
    code("multiply", torch.float64, m, n, k, 1, gradient, [down], 0, None, found, inner, 0, GELU_GRADIENT, 2)
    torch.testing.assert_close(found, given.grad)
    torch.testing.assert_close(inner, activated)  # computed again


def masks(code, p: float, seed: int, dtype: torch.dtype, rows: int = 4000, hidden: int = 103) -> Tensor:
    """(rows, hidden): what dropout multiplies by, found through a LayerNorm's y that is overwritten with the sum of
    residual 0 and dropped-out 1, but for mean and deviation of the row."""
    y, ones = torch.ones(rows, hidden, dtype=dtype), torch.ones(hidden, dtype=dtype)
    zeros, out, rstd = torch.zeros_like(y), torch.empty_like(y), torch.empty(rows, dtype=dtype)
    keep = kept(p)
    code("add_norm", dtype, y, zeros, ones, torch.zeros_like(ones), rows, hidden, seed, keep, out, rstd, 2)
    spread = y / rstd.unsqueeze(1)  # 0 or 1 / (1 - p), less their mean
    return spread - spread.min(dim=1, keepdim=True).values


@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_values_are_dropped_with_the_probability_and_scaled_by_the_rest(code, p, dtype):
    found = masks(code, p, 7, dtype)
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
    other = masks(code, p, 8, dtype) > scale / 2  # of another seed
    assert (keep & other).float().mean().item() == pytest.approx((1 - p) ** 2, abs=2 * four_sigma)


def test_float_and_double_draw_the_same_masks(code):
    assert torch.equal(masks(code, 0.1, 7, torch.float32) > 0.5, masks(code, 0.1, 7, torch.float64) > 0.5)


def attention(code, qkv: Tensor, offsets: Tensor, heads: int, seed: int = 0, p: float = 0.0) -> tuple[Tensor, Tensor]:
    """(N, H) context, and (N, heads, 2) what softmax has found of each row of scores, from (N, 3 H)."""
    rows, hidden = len(qkv), qkv.shape[1] // 3
    context, softmax = qkv.new_empty(rows, hidden), qkv.new_empty(rows, heads, 2)
    sizes = (len(offsets) - 1, heads, hidden // heads, seed, STEPS if p == 0 else kept(p))
    code("attention", qkv.dtype, qkv, offsets, *sizes, context, softmax, 2)
    return context, softmax


def test_attentions_weights_are_dropped_with_the_probability_each_text_head_and_query_by_itself(code):
    """Values are one-hot, so that the context is the weights; scores are 0, so that these are the mask."""
    texts, heads, size, p = 60, 3, 32, 0.3
    qkv = torch.zeros(texts * size, 3, heads, size)
    qkv[:, 2] = torch.eye(size).repeat(texts, 1).unsqueeze(1)
    context, _ = attention(code, qkv.flatten(1), offsets_of(*(size,) * texts), heads, 5, p)
    weights = context.view(texts, size, heads, size) * size * kept(p) / STEPS
    keep = weights.round().bool()
    torch.testing.assert_close(weights, keep.float(), rtol=0, atol=1e-4)
    four_sigma = 4 * (p * (1 - p) / keep.numel()) ** 0.5
    assert keep.float().mean().item() == pytest.approx(1 - p, abs=four_sigma)
    for axis in range(4):
        both = (keep & keep.roll(1, axis)).float().mean().item()
        assert both == pytest.approx((1 - p) ** 2, abs=2 * four_sigma), axis


@pytest.mark.parametrize("length", [1, 15, 16, 17, 130, 512])
def test_attention_of_a_text_is_torchs_whatever_its_length(code, length):
    heads, size = 2, 24
    torch.manual_seed(0)
    qkv = torch.randn(length + 3, 3, heads, size, dtype=torch.float64, requires_grad=True)
    flat, offsets = qkv.detach().flatten(1), offsets_of(3, length)
    context, softmax = attention(code, flat, offsets, heads)
    parts = [
        torch.nn.functional.scaled_dot_product_attention(*part.permute(1, 2, 0, 3)).transpose(0, 1).flatten(1)
        for part in (qkv[:3], qkv[3:])
    ]
    expected = torch.cat(parts)
    torch.testing.assert_close(context, expected, rtol=1e-9, atol=1e-12)
    gradient = torch.randn_like(expected)
    expected.backward(gradient)
    found, sizes = torch.empty_like(flat), (2, heads, size)
    code("attention_gradient", flat.dtype, flat, context, gradient, softmax, offsets, *sizes, found, 2)
    torch.testing.assert_close(found, qkv.grad.flatten(1), rtol=1e-9, atol=1e-12)


def gelu(code, x: Tensor) -> tuple[Tensor, Tensor]:
    """The function and its derivative."""
    out, derivative = torch.empty_like(x), torch.empty_like(x)
    code("gelu", x.dtype, x, out, derivative, len(x))
    return out, derivative


def test_gelu_in_single_precision_is_that_of_double(code):
    x = torch.linspace(-30, 30, 40_001)  # no multiple of what is computed at a time
    exact = torch.nn.functional.gelu(x.double())
    (single, of_single), (double, of_double) = gelu(code, x), gelu(code, x.double())
    torch.testing.assert_close(double, exact)
    torch.testing.assert_close(single.double(), exact, rtol=1e-7, atol=5e-7)  # torch's: 1e-6
    torch.testing.assert_close(of_single.double(), of_double, rtol=1e-6, atol=1e-6)
    huge, _ = gelu(code, torch.tensor([1e30, -1e30, float("inf"), float("nan")]))
    assert huge[:3].tolist() == [torch.tensor(1e30).item(), 0.0, float("inf")]
    assert huge[3].isnan()


@pytest.mark.parametrize("far", [-3000.0, -50.0, 50.0, 3000.0])
def test_attention_is_torchs_wherever_its_scores_lie(code, far):
    """Weights do not change with what is added to all scores, below the zeros that fill up rows or above."""
    torch.manual_seed(0)
    length, size = 21, 16
    qkv = torch.randn(length, 3, size)
    qkv[:, 0, 0], qkv[:, 1, 0] = 4.0, far  # size ** 0.5 * far is added to all
    context, _ = attention(code, qkv.flatten(1), offsets_of(length), 1)
    expected = torch.nn.functional.scaled_dot_product_attention(*qkv.double().transpose(0, 1).unsqueeze(1))
    torch.testing.assert_close(context.double(), expected[0], rtol=0, atol=1e-6 + 1e-6 * abs(far))


@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("shape", [(1, 1), (16, 32), (17, 33), (130, 5), (3, 100)])
def test_turned_is_the_transpose_and_zeros(code, shape, dtype):
    matrix = torch.randn(shape, dtype=dtype)
    found = torch.full((shape[1], shape[0] + 3), torch.nan, dtype=dtype)
    code("turn", dtype, found, matrix, *shape, shape[0] + 3)
    assert torch.equal(found[:, : shape[0]], matrix.t())
    assert torch.equal(found[:, shape[0] :], torch.zeros(shape[1], 3, dtype=dtype))
