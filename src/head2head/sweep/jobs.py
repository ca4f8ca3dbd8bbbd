"""What a launcher is given at a time: runs one by one, and frozen ones that share features together, as a bank."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from head2head.frozen.eligible import group_of
from head2head.sweep.plan import Planned

LARGEST = 256  # runs in a bank: all of them are lost when it is killed
FILE = "bank"  # the override that tells a worker where the other runs of its bank stand


def jobs(runs: Sequence[Planned], settings_of: Callable[[Planned], dict[str, Any]], width: int) -> list[list[Planned]]:
    """The runs, those of a bank together, in the order of the first of each.

    Args:
        width: how many jobs the launcher works on at a time. Banks are cut when there would be fewer.
    """
    banks: dict[str, list[Planned]] = {}
    for run in runs:
        banks.setdefault(group_of(settings_of(run)) or run.key, []).append(run)
    pieces = math.ceil(width / max(1, len(banks)))
    return [piece for bank in banks.values() for piece in cut(bank, pieces)]


def cut(bank: Sequence[Planned], pieces: int) -> list[list[Planned]]:
    """A bank in some pieces of about the same size, by seed: each then has heads of every kind, cheap and dear."""
    pieces = min(len(bank), max(pieces, math.ceil(len(bank) / LARGEST)))
    ordered = sorted(bank, key=lambda run: run.identity.seed)
    ends = [round(i * len(bank) / pieces) for i in range(pieces + 1)]
    return [ordered[start:end] for start, end in itertools.pairwise(ends)]


def overrides_of(job: Sequence[Planned], folder: Path, number: int) -> list[str]:
    """What the launcher is given for a job. A bank is its first run, with a file that has them all."""
    first = list(job[0].overrides)
    if len(job) == 1:
        return first
    path = folder / f"bank-{number}.json"
    path.write_text(json.dumps([list(run.overrides) for run in job]), encoding="utf-8")
    return [*first, f"+{FILE}='{path}'"]
