"""Memory that is freed goes back to the system."""

from __future__ import annotations

import ctypes
import sys


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
