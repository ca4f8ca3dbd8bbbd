"""What a sweep will cost, and what it can find, told before it starts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from head2head.data.task import Task
from head2head.errors import UserError
from head2head.run.result import Result, read_result
from head2head.statistics.uncertainty import POWER, detectable_by_design
from head2head.sweep.display import duration
from head2head.sweep.plan import Planned
from head2head.sweep.request import Request
from head2head.sweep.search import Search
from head2head.sweep.times import Times, estimate

ALPHA = 0.05


def counts(runs: Sequence[Planned]) -> str:
    """Number of runs by head and task, as a table."""
    found = Counter((run.identity.head, run.identity.task.name) for run in runs)
    heads, tasks = (list(dict.fromkeys(key[i] for key in found)) for i in (0, 1))
    rows = [["", *tasks], *([head, *(str(found[head, task] or "") for task in tasks)] for head in heads)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))]
        ).rstrip()
        for row in rows
    )


def time(runs: Sequence[Planned], known: Sequence[Result]) -> str:
    """How long runs will take one after another; "" where no run of their kind has finished.

    Args:
        known: results of the experiment. Of kinds that are not among them others are looked for in `output_dir`.
    """
    here = Times(known)
    unknown = [run for run in runs if here.of(run.kind) is None]
    elsewhere = Times(finished_beside(unknown))
    found = estimate([run.kind for run in runs], here, elsewhere)
    if not found.known:
        return ""
    of = (
        ""
        if found.known == found.runs
        else f" for {found.known} of them; of the others nothing of the kind has finished"
    )
    return f"time, one after another: about {duration(found.seconds)}{of}"


def finished_beside(runs: Sequence[Planned]) -> Iterator[Result]:
    """Results of any run on the tasks and heads of these, wherever they were made, below their `output_dir`."""
    for parent in sorted({run.identity.parent for run in runs}):
        for path in sorted(parent.glob("*/result.json")):
            try:
                yield read_result(path.parent)
            except UserError:  # of another version; nothing is taken from it
                continue


def later(search: Search) -> str:
    """How many runs may follow from the results; "" where none can."""
    more = search.most_followed()
    told = [
        f"{number} {what}" for number, what in zip(more, ("to grow grids", "to check epochs"), strict=True) if number
    ]
    return f"may follow, at most: {', '.join(told)}" if told else ""


def detectable(request: Request, runs: Sequence[Planned]) -> Iterator[str]:
    """For each task the smallest difference of two heads that the design can detect, under what is assumed.

    Tasks whose rows cannot be read, and designs of one run or one head, are left out.
    """
    by_task: dict[str, list[Planned]] = defaultdict(list)
    for run in runs:
        by_task[run.identity.task.name].append(run)
    lines = []
    for name, mine in by_task.items():
        seeds, heads = {run.identity.seed for run in mine}, {run.identity.head for run in mine}
        if len(seeds) < 2 or len(heads) < 2:
            continue
        try:
            rows, clusters = examples(mine[0].identity.task)
        except UserError:
            continue
        alpha = ALPHA / (len(heads) - 1)
        found = detectable_by_design(clusters, len(seeds), request.disagreement, request.run_spread, alpha)
        lines.append(f"  {name}: {100 * found:.1f} points ({rows} rows, {len(seeds)} runs a head, {len(heads)} heads)")
    if lines:
        yield (
            f"smallest difference of a head from the reference that {POWER:.0%} of such sweeps would detect, if two "
            f"heads disagree on {request.disagreement:.0%} of the rows and their difference spreads by "
            f"{100 * request.run_spread:g} points from run to run (disagreement=, run_spread=):"
        )
        yield from lines


def examples(task: Task) -> tuple[int, int]:
    """Rows that a task's runs are scored on, all folds together, and how many of them are independent (see
    `Task.clusters`).

    Raises:
        UserError: the data cannot be read.
    """
    if task.fold is None:
        clusters = task.clusters(task.validation_splits[0])
        return len(clusters), len(np.unique(clusters))
    whole = task.with_fold(task.fold)
    whole.train_rows = None  # does not change what is held out
    clusters = np.concatenate([whole.clusters("train"), whole.clusters("fold")])
    return len(clusters), len(np.unique(clusters))
