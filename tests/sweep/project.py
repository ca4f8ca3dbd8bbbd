"""A folder with the smoke experiment, shrunken, and sweeps in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from forked import ROOT, Forked

SMALL = {"task": ["majority"], "head": ["mean", "max"], "seed": [0, 1]}


def ended(sweep: Forked | subprocess.Popen) -> subprocess.CompletedProcess:
    """A sweep at its end."""
    out, err = sweep.communicate(timeout=300)
    return subprocess.CompletedProcess("sweep", sweep.returncode, out, err)


class Project:
    """A folder with experiments/smoke in it."""

    def __init__(self, folder: Path, **parameters: list):
        self.folder = folder
        self.home = folder / "experiments/smoke"
        self.home.mkdir(parents=True)
        content = yaml.safe_load((ROOT / "experiments/smoke/sweep.yaml").read_text())
        content["parameters"]["task.rows.train"] = {"value": 256}  # no more than are trained on
        for name, values in parameters.items():
            content["parameters"][name] = {"values": values}
        (self.home / "sweep.yaml").write_text(yaml.safe_dump(content))

    @classmethod
    def at(cls, folder: Path) -> Project:
        """One that is there."""
        place = cls.__new__(cls)
        place.folder, place.home = folder, folder / "experiments/smoke"
        return place

    def start(self, *overrides: str) -> Forked:
        return Forked("sweep", ["experiment=smoke", *overrides], self.folder)

    def sweep(self, *overrides: str) -> subprocess.CompletedProcess:
        return ended(self.start(*overrides))

    def command(self, *overrides: str) -> subprocess.Popen:
        """Started as a user does it."""
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAY_DISABLE_IMPORT_WARNING": "1"}
        return subprocess.Popen(
            [sys.executable, str(ROOT / "sweep.py"), "experiment=smoke", *overrides],
            cwd=self.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def results(self) -> list[dict]:
        path = self.home / "results.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def folders(self) -> dict[str, int]:
        """Run folders with a result, and when the result was written."""
        found = sorted((self.folder / "lightning_logs").glob("*/*/*/result.json"))
        return {str(path.parent.relative_to(self.folder)): path.stat().st_mtime_ns for path in found}

    def outcome(self) -> dict[str, list]:
        """What came out of each run, by key: everything that may not depend on how it was run."""
        kept = ("task", "head", "seed", "score", "metrics", "curve", "collapsed", "baseline", "steps", "tokens", "data")
        return {result["key"]: [result[name] for name in kept] for result in self.results()}

    def outcome_of(self, head: str, seed: int) -> dict[str, list]:
        """The same, of one run."""
        return {key: found for key, found in self.outcome().items() if (found[1], found[2]) == (head, seed)}

    def wait(self, condition: Callable[[], bool], seconds: float = 200) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.05)
