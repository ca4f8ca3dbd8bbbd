"""What a launcher is given at a time: runs one by one, and in groups those that share frozen features."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from head2head.frozen.eligible import group_of
from head2head.sweep.plan import Planned

LARGEST = 256  # runs in a group: all of them are lost when it is killed
GROUP = "group"  # the override that tells a worker which file lists the runs of its group


def jobs(runs: Sequence[Planned], settings_of: Callable[[Planned], dict[str, Any]], width: int) -> list[list[Planned]]:
    """The runs, those of a group together, in the order of the first of each.

    Args:
        width: how many jobs the launcher works on at a time. Groups are cut when there would be fewer.
    """
    groups: dict[str, list[Planned]] = {}
    for run in runs:
        groups.setdefault(group_of(settings_of(run)) or run.key, []).append(run)
    pieces = math.ceil(width / max(1, len(groups)))
    return [piece for group in groups.values() for piece in cut(group, pieces)]


def cut(group: Sequence[Planned], pieces: int) -> list[list[Planned]]:
    """A group in some pieces of about the same size, by seed: each then has heads of every kind, cheap and dear."""
    pieces = min(len(group), max(pieces, math.ceil(len(group) / LARGEST)))
    ordered = sorted(group, key=lambda run: run.identity.seed)
    ends = [round(i * len(group) / pieces) for i in range(pieces + 1)]
    return [ordered[start:end] for start, end in itertools.pairwise(ends)]


def overrides_of(job: Sequence[Planned], folder: Path, number: int) -> list[str]:
    """What the launcher is given for a job. A group is its first run, with a file that lists them all."""
    first = list(job[0].overrides)
    if len(job) == 1:
        return first
    path = folder / f"group-{number}.json"
    path.write_text(json.dumps([list(run.overrides) for run in job]), encoding="utf-8")
    return [*first, f"+{GROUP}='{path}'"]
