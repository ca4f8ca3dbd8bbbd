"""Who is measured against whom, each in a process of its own: python benchmarks/contestants.py NAME TASK ROWS PATH
SEED SCRATCH

What one of them leaves in its process (settings of libraries, a heap in pieces) then helps or hinders nobody else.
"""

import json
import os
import sys
from pathlib import Path

from machine import command

FOUND = "found.json"  # what such a process leaves

# name -> how it is called in tables, how it is trained
TRAINER = {
    "padded": ("Trainer, padded to 128 (run_glue.py)", {"pad": True}),
    "dynamic": ("Trainer, dynamic padding", {}),
    "grouped": ("Trainer, dynamic padding, grouped by length", {"group": True}),
}
OURS = {
    "pooler": ("head2head, `head=pooler`", ("head=pooler", "speed=fast")),
    "mean": ("head2head, `head=mean`", ("head=mean", "speed=fast")),
}
NAMES = {name: told for name, (told, _) in (TRAINER | OURS).items()}


def train(name: str, task: str, rows: int, path: Path | None, seed: int, scratch: Path) -> dict:
    """Train a contestant for one epoch. The Trainer's load neither Lightning nor Hydra.

    Args:
        path: the same rows in a file, for the Trainer.
    """
    settings = (TRAINER | OURS)[name][1]
    if isinstance(settings, dict):
        import peers

        assert path is not None
        return peers.train(path, seed, scratch, **settings)
    import ours

    from head2head.run import processes

    processes.own()  # as the command line does
    return ours.train(task, rows, seed, scratch, *settings)


def apart(name: str, task: str, rows: int, path: Path, seed: int, scratch: Path, limit: float) -> dict:
    """`train` in a process of its own.

    Raises:
        RuntimeError: it failed or took longer than `limit` seconds.
    """
    command([sys.executable, __file__, name, task, rows, path, seed, scratch], limit)
    return json.loads((scratch / FOUND).read_text())


if __name__ == "__main__":
    name, task, rows, path, seed, scratch = sys.argv[1:]
    result = train(name, task, int(rows), Path(path), int(seed), Path(scratch))
    Path(scratch, FOUND).write_text(json.dumps(result))
    os._exit(0)  # nothing is left to do, and libraries take their time to end
