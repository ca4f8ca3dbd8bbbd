"""What each trick of speed=fast buys, alone and with all others.

    python benchmarks/tricks.py WAY TASK ROWS SEED SCRATCH     # trains one way, as `measure` lets it: a step each time
                                                               # that it reads a line on stdin

A processor's clock may drift by a third within minutes, and a trick may buy a twentieth. So the ways that are held
against each other train at the same time, each in a process of its own, and take turns step by step.
"""

import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytorch_lightning as pl
from finetuning import rotated
from machine import Units, say
from sizes import Size

from head2head.run import processes
from head2head.speed import apply as speed
from head2head.speed.apply import ALL, Trick

EXACT, FAST = "exact", "fast"
# name -> what is used; `speed=exact` and none of them are the same
WAYS: dict[str, frozenset[Trick]] = {
    EXACT: frozenset(),
    FAST: ALL,
    **{f"only {trick.value}": frozenset({trick}) for trick in Trick},
    **{f"without {trick.value}": ALL - {trick} for trick in Trick},
}
# What is held against each other: the first way, and each of the others.
SIDES = {
    "alone": [EXACT, FAST, *(way for way in WAYS if way.startswith("only "))],
    "last": [FAST, *(way for way in WAYS if way.startswith("without "))],
}
WARM = 2  # steps of each way that are not counted
READY = b"ready\n"


class Turns(pl.Callback):
    """Waits for its turn before each step, and notes how long each took, by the wall's clock and the processor's."""

    def __init__(self) -> None:
        self.steps: list[tuple[float, float]] = []

    def on_train_batch_start(self, *_) -> None:
        os.write(1, READY)
        os.read(0, 1)
        self.began = time.perf_counter(), time.process_time()

    def on_train_batch_end(self, *_) -> None:
        self.steps.append((time.perf_counter() - self.began[0], time.process_time() - self.began[1]))


def measure(size: Size, scratch: Path, done: Collection[str]) -> Units:
    """A round: on each task `head=pooler`, which every trick applies to, trained every way. Wall and processor seconds
    of training."""
    import ours

    for number in range(size.trick_rounds):
        for task, rows in size.trick_rows.items():
            if f"{task}/{number}" in done:
                continue
            ours.build(ours.settings(task, rows, scratch))  # tokenizes, so that no way has to
            found = {}
            for side, ways in SIDES.items():
                say(f"tricks: {task}, round {number + 1} of {size.trick_rounds}, {side}: {len(ways)} ways in turn")
                found[side] = in_turn(ways, [task, rows, number, scratch], scratch)
            yield f"{task}/{number}", found


def in_turn(ways: Sequence[str], arguments: Sequence[Any], scratch: Path) -> dict[str, dict[str, Any]]:
    """Train several ways at once, of which one at a time makes a step, each time another one first. Returns what each
    has taken.

    Raises:
        RuntimeError: one of them failed.
    """
    texts = [str(argument) for argument in arguments]
    logs = {way: (scratch / f"{way}.log").open("w+b") for way in ways}
    children = {
        way: subprocess.Popen(
            [sys.executable, __file__, way, *texts], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=logs[way],
            bufsize=0,
        )
        for way in ways
    }  # fmt: skip
    try:
        left, turn = list(ways), 0
        said = {way: said_by(children[way]) for way in ways}  # all have started when the first one begins
        while left:
            for way in rotated(left, turn):
                if said[way] == READY:
                    take_turn(children[way])
                    said[way] = said_by(children[way])
                else:
                    left.remove(way)  # it has ended
            turn += 1
        for way, child in children.items():
            if child.wait():
                logs[way].seek(0)
                raise RuntimeError(f"{way}: status {child.returncode}: {logs[way].read()[-2000:].decode()}")
        return {way: json.loads(text) for way, text in said.items()}
    finally:
        for way, child in children.items():
            child.kill()
            logs[way].close()


def said_by(child: subprocess.Popen) -> bytes:
    """A line of a child's; nothing where it has ended."""
    assert child.stdout is not None
    return child.stdout.readline()


def take_turn(child: subprocess.Popen) -> None:
    """Let a child make a step."""
    assert child.stdin is not None
    child.stdin.write(b"\n")


@contextmanager
def using(tricks: frozenset[Trick]) -> Iterator[None]:
    """Inside the block speed=fast is these tricks."""
    apply, training = (functools.partial(function, only=tricks) for function in (speed.apply, speed.training))
    with patch.object(speed, "apply", apply), patch.object(speed, "training", training):
        yield


if __name__ == "__main__":
    import ours

    way, task, rows, seed, scratch = sys.argv[1:]
    processes.own()
    turns = Turns()
    with using(WAYS[way]):
        result = ours.train(
            task, int(rows), int(seed), Path(scratch, way), "head=pooler", f"cache_dir={scratch}/cache",
            "task.rows.validation=32", callbacks=[turns],
        )  # fmt: skip
    wall, processor = (sum(clock) for clock in zip(*turns.steps[WARM:], strict=True))
    result |= {"seconds": wall, "processor_seconds": processor, "steps": len(turns.steps) - WARM}
    os.write(1, json.dumps(result).encode() + b"\n")
    os._exit(0)  # nothing is left to do, and libraries take their time to end
