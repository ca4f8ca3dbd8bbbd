"""Separate random streams from one seed, so that no part of a run shifts the numbers of another.

Heads draw numbers while they are built. With one stream for everything, two heads with the same seed
would see different batches and different dropout.
"""

import contextlib
from collections.abc import Iterator

import numpy as np
import torch

PURPOSES = {"head": 1, "order": 2, "dropout": 3, "pooler": 4}


def derive(seed: int, purpose: str, *counters: int) -> int:
    """A 63-bit seed for one purpose (and step, epoch, rank ...), by numpy's SeedSequence."""
    sequence = np.random.SeedSequence([seed, PURPOSES[purpose], *counters])
    return int(sequence.generate_state(1, np.uint64)[0] >> 1)


@contextlib.contextmanager
def seeded(seed: int, purpose: str) -> Iterator[None]:
    """torch's global generator, seeded for one purpose inside the block and put back behind it."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive(seed, purpose))
        yield
