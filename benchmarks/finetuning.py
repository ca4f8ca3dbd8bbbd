"""Fine-tuning beside the Hugging Face Trainer: speed, and memory."""

import json
import sys
from collections.abc import Collection
from pathlib import Path

import contestants
from machine import Units, command, matrix_products, say
from sizes import BATCH, Size


def speed(size: Size, scratch: Path, done: Collection[str]) -> Units:
    """A round: the machine's matrix products, then on each task every contestant, each time another one first.

    Raises:
        RuntimeError: contestants did not see the same real tokens.
    """
    import ours

    warm = False
    for number in range(size.rounds):
        if f"products/{number}" not in done:
            yield f"products/{number}", matrix_products()
        for task, rows in size.rows.items():
            if f"{task}/{number}" in done:
                continue
            if not warm:
                for name in contestants.NAMES:
                    say(f"finetuning: {name} warms up")
                    contestants.train(name, task, 2 * BATCH, ours.write_rows(task, 2 * BATCH, scratch), 0, scratch)
                warm = True
            found = {}
            for name in rotated(list(contestants.NAMES), number):
                say(f"finetuning: {task}, round {number + 1} of {size.rounds}, {name}")
                count = size.padded_rows if name == "padded" else rows
                path = ours.write_rows(task, count, scratch)
                found[name] = contestants.train(name, task, count, path, number, scratch)
            if len({one["tokens"] for name, one in found.items() if name != "padded"}) != 1:
                raise RuntimeError(f"{task}: contestants saw different tokens: {found}")
            yield f"{task}/{number}", found


def rotated(names: list[str], by: int) -> list[str]:
    """The names from another start."""
    by %= len(names)
    return names[by:] + names[:by]


def memory(size: Size, scratch: Path, done: Collection[str]) -> Units:
    """Each contestant in a process of its own on RTE: peak resident set at the end of the last training step."""
    import ours

    path = ours.write_rows("rte", size.memory_rows, scratch)
    ours.build(ours.settings("rte", size.memory_rows, scratch))  # tokenizes, so that no contestant has to
    for name in contestants.NAMES:
        if name in done:
            continue
        say(f"memory: {name}")
        command([sys.executable, contestants.__file__, name, "rte", size.memory_rows, path, scratch], size.limit)
        yield name, json.loads((scratch / "memory.json").read_text())
