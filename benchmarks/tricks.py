"""What each trick of speed=fast buys, alone and with all others: python benchmarks/tricks.py WAY TASK ROWS SEED SCRATCH
trains one way, in a process of its own."""

import functools
import json
import os
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from finetuning import rotated
from machine import Units, command, say
from sizes import Size

from head2head.run import processes
from head2head.speed import apply as speed
from head2head.speed.apply import ALL, Trick

FOUND = "trick.json"  # what such a process leaves

EXACT, FAST = "exact", "fast"
# name -> what is used; `speed=exact` and none of them are the same
WAYS: dict[str, frozenset[Trick]] = {
    EXACT: frozenset(),
    FAST: ALL,
    **{f"only {trick.value}": frozenset({trick}) for trick in Trick},
    **{f"without {trick.value}": ALL - {trick} for trick in Trick},
}


def measure(size: Size, scratch: Path, done: Collection[str]) -> Units:
    """A round: on each task `head=pooler`, which every trick applies to, trained every way, each time another one
    first. Wall and processor seconds of training."""
    import ours

    for number in range(size.trick_rounds):
        for task, rows in size.trick_rows.items():
            if f"{task}/{number}" in done:
                continue
            ours.build(ours.settings(task, rows, scratch))  # tokenizes, so that no way has to
            found = {}
            for way in rotated(list(WAYS), number):
                say(f"tricks: {task}, round {number + 1} of {size.trick_rounds}, {way}")
                command([sys.executable, __file__, way, task, rows, number, scratch], size.limit)
                found[way] = json.loads((scratch / FOUND).read_text())
            yield f"{task}/{number}", found


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
    with using(WAYS[way]):
        result = ours.train(task, int(rows), int(seed), Path(scratch), "head=pooler", "speed=fast")
    Path(scratch, FOUND).write_text(json.dumps(result))
    os._exit(0)  # nothing is left to do, and libraries take their time to end
