"""Attention over texts in one row, against torch's over each of them."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from head2head.graphs import attention as module
from head2head.graphs.attention import (
    attention,
    flash_attention,
    masked_attention,
    memory_efficient_attention,
    refused,
)

OFFSETS = torch.tensor([0, 5, 6, 6, 13], dtype=torch.int32)  # one of the texts has no token
SCALE = 0.3


def tensors(dtype=torch.float64, device="cpu"):
    torch.manual_seed(0)
    return [torch.randn(13, 2, 8, dtype=dtype, device=device, requires_grad=True) for _ in range(3)]


def one_by_one(query, key, value):
    found = []
    for start, end in zip(OFFSETS[:-1].tolist(), OFFSETS[1:].tolist(), strict=True):
        q, k, v = (part[start:end].transpose(0, 1) for part in (query, key, value))
        found.append(scaled_dot_product_attention(q, k, v, scale=SCALE).transpose(0, 1))
    return torch.cat(found)


def test_each_text_is_attended_to_alone():
    parts = tensors()
    found, expected = attention(*parts, OFFSETS, 7, 0.0, SCALE), one_by_one(*parts)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    weights = torch.randn_like(expected)
    for a, b in zip(*(torch.autograd.grad((x * weights).sum(), parts) for x in (found, expected)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_dropout_keeps_the_mean():
    query, key, value = (part.detach() for part in tensors())
    torch.manual_seed(0)
    samples = torch.stack([masked_attention(query, key, value, OFFSETS, 0.3, SCALE) for _ in range(4000)])
    error = samples.std(dim=0) / 4000**0.5
    assert samples.std(dim=0).min() > 0
    assert ((samples.mean(dim=0) - one_by_one(query, key, value)) / error).abs().max() < 4.5


@pytest.mark.parametrize(
    ("kernel", "dtype"), [(flash_attention, torch.bfloat16), (memory_efficient_attention, torch.float32)]
)
def test_a_gpus_kernels_are_called_as_this_torch_declares_them(kernel, dtype):
    """On torch's meta device, which checks arguments and gives out shapes."""
    parts = tensors(dtype, "meta")
    found = kernel(*parts, OFFSETS.to("meta"), 128, 0.1, SCALE)
    assert found.shape == parts[0].shape
    assert found.dtype == dtype
    assert "AttentionBackward" in str(found.grad_fn if kernel is flash_attention else found.grad_fn.next_functions[0])


def test_what_a_device_refuses_is_told_in_one_line(monkeypatch):
    cpu = torch.device("cpu")
    assert refused(cpu, torch.float32, 2, 13) is None

    def refuse(*_):
        raise RuntimeError("head dimension should be a multiple of 8\nmore")

    monkeypatch.setattr(module, "attention", refuse)
    assert refused(cpu, torch.float32, 2, 13) == "head dimension should be a multiple of 8"
