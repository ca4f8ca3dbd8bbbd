"""That freed memory goes back although the heap goes on behind it, seen by what the kernel counts; and that memory kept
for gradients is never given out twice."""

import platform
import subprocess
import sys

import pytest
import torch

from head2head.memory import Pool

# Twenty tensors of 4 MB with something behind each that stays. They lie in the heap, since a larger one was freed.
MAKE_AND_FREE = """
from pathlib import Path
import torch
from head2head.memory import give_back_freed_memory

def anonymous():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))

torch.ones(4_000_000)
large, small = [], []
for _ in range(20):
    large.append(torch.ones(1_000_000))
    small.append(torch.ones(1_000))
large.clear()
before = anonymous()
give_back_freed_memory()
print(before - anonymous())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's malloc")
def test_what_lies_free_between_blocks_in_use_goes_back():
    done = subprocess.run([sys.executable, "-c", MAKE_AND_FREE], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 0.9 * 20 * 4_000_000


def test_a_pool_gives_out_again_what_nothing_refers_to():
    pool = Pool()
    first = pool.take(3, 4, dtype=torch.float32)
    place, row = first.data_ptr(), first[0]
    assert pool.take(3, 4, dtype=torch.float32).data_ptr() != place  # in use
    del first
    assert pool.take(4, 3, dtype=torch.float32).data_ptr() != place  # a part of it still is
    del row
    assert pool.take(12, dtype=torch.float64).data_ptr() != place  # another type
    assert pool.take(12, dtype=torch.float32).data_ptr() == place


def test_a_parameters_gradient_stays_as_it_is_while_it_is_held():
    """Where gradients are added up over batches, or looked at later, their memory is not given out again."""
    pool, parameter = Pool(), torch.nn.Parameter(torch.ones(3))

    class Tripled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, values):  # noqa: ARG004
            return 3 * values

        @staticmethod
        def backward(ctx, gradient):  # noqa: ARG004
            return torch.mul(gradient, 3, out=pool.take(3, dtype=torch.float32))

    Tripled.apply(parameter).sum().backward()
    held, place = parameter.grad, parameter.grad.data_ptr()
    Tripled.apply(parameter).sum().backward()  # added to the first
    assert parameter.grad.tolist() == [6, 6, 6]
    parameter.grad = None
    Tripled.apply(parameter).sum().backward()
    assert held.tolist() == [6, 6, 6]
    assert parameter.grad.data_ptr() != place
    del held
    parameter.grad = None
    Tripled.apply(parameter).sum().backward()
    assert parameter.grad.tolist() == [3, 3, 3]
