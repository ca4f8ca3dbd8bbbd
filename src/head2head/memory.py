"""Memory: what is freed goes back to the system, or is kept for what comes next."""

from __future__ import annotations

import ctypes
import math
import sys
from collections import defaultdict

import torch
from torch import Tensor


def give_back_freed_memory() -> None:
    """Have the heap return what lies free in it.

    torch asks for places at multiples of 64 bytes, and glibc (bug 14581; seen with 2.36) passes over the hole that a
    block of the same size has left. Where large tensors come and go the heap therefore grows, and holds many times what
    is in use. What is returned costs page faults when the next tensors are made: call this between batches, not within.
    Does nothing where the C library is another one.
    """
    if not sys.platform.startswith("linux"):
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


class Pool:
    """Memory for tensors that are let go of and needed again in every step, at the same sizes: gradients. Taken anew
    from the system, they cost a page fault for each 4 kB, a tenth of a step on short texts.

    What was given out is given out again when nothing refers to it any more, and not before.
    """

    def __init__(self) -> None:
        self._blocks: dict[tuple[int, torch.dtype], list[Tensor]] = defaultdict(list)

    def take(self, *shape: int, dtype: torch.dtype) -> Tensor:
        """A tensor on the CPU with anything in it."""
        blocks = self._blocks[math.prod(shape), dtype]
        block = next(filter(unused, blocks), None)
        if block is None:
            block = torch.empty(math.prod(shape), dtype=dtype)
            if unused(block):
                blocks.append(block)
        # A tensor of its own on the same memory: autograd takes it for a parameter's gradient as it is, without a copy.
        return block.view(shape)


def unused(block: Tensor) -> bool:
    """Whether no other tensor shares this one's memory. Never, where torch does not tell."""
    count = getattr(torch._C, "_storage_Use_Count", None)
    return count is not None and count(block.untyped_storage()._cdata) == 2  # the tensor, and what was just asked for
