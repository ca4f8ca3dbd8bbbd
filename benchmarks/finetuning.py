"""Fine-tuning beside the Hugging Face Trainer: speed, and memory."""

from collections.abc import Collection
from pathlib import Path

import contestants
from machine import Units, products, say
from sizes import Size


def speed(size: Size, scratch: Path, done: Collection[str]) -> Units:
    """A round: what the machine can do, then on each task every contestant, each time another one first.

    Raises:
        RuntimeError: contestants did not see the same real tokens.
    """
    import ours

    for number in range(size.rounds):
        if f"products/{number}" not in done:
            yield f"products/{number}", products()
        for task, rows in size.rows.items():
            if f"{task}/{number}" in done:
                continue
            ours.build(ours.settings(task, rows, scratch))  # tokenizes, so that no contestant has to
            found = {}
            for name in rotated(list(contestants.NAMES), number):
                say(f"finetuning: {task}, round {number + 1} of {size.rounds}, {name}")
                count = size.fewer_rows.get(name, rows)
                path = ours.write_rows(task, count, scratch)
                found[name] = contestants.apart(name, task, count, path, number, scratch, size.limit)
            if len({one["tokens"] for name, one in found.items() if name not in size.fewer_rows}) != 1:
                raise RuntimeError(f"{task}: contestants saw different tokens: {found}")
            yield f"{task}/{number}", found


def rotated(names: list[str], by: int) -> list[str]:
    """The names from another start."""
    by %= len(names)
    return names[by:] + names[:by]


def memory(size: Size, scratch: Path, done: Collection[str]) -> Units:
    """Each contestant on RTE: peak resident set at the end of the last training step."""
    import ours

    path = ours.write_rows("rte", size.memory_rows, scratch)
    ours.build(ours.settings("rte", size.memory_rows, scratch))  # tokenizes, so that no contestant has to
    for name in contestants.NAMES:
        if name in done:
            continue
        say(f"memory: {name}")
        yield name, contestants.apart(name, "rte", size.memory_rows, path, 0, scratch, size.limit)
