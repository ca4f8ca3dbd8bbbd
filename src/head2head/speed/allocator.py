"""Whether memory that is freed stays with the process or goes back to the system."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of malloc.h


def keep_freed_memory() -> None:
    """From now on the heap keeps what is freed, for what comes next, until the process ends or asks for its return.

    glibc maps large blocks one by one and returns them when they are freed. A training step on a CPU makes and frees
    its activations each time, and waits for the kernel to hand out the same pages again, filled with zeros.
    """
    mallopt = in_the_c_library("mallopt")
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, -1)


def give_back_freed_memory() -> None:
    """Have the heap return what lies free in it.

    torch asks for places at multiples of 64 bytes, and glibc (bug 14581; seen with 2.36) passes over the hole that a
    block of the same size has left. Where large tensors come and go the heap therefore grows, and holds many times what
    is in use. What is returned costs page faults when the next tensors are made: call this between batches, not within.
    Does nothing where the C library is another one.
    """
    trim = in_the_c_library("malloc_trim")
    if trim is not None:
        trim(0)


def in_the_c_library(name: str) -> Any:
    """A function of glibc's; None where the C library has none of that name."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform.startswith("linux") else None
