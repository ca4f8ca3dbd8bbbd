"""Our scores beside the Hugging Face Trainer's, and with speed=fast and with speed=exact, as Markdown
tables: python benchmarks/compare.py

Reads hf_trainer.jsonl (lines of hf_trainer.py) and head2head.jsonl. A line is added to the latter from a finished run
with: python benchmarks/compare.py RUN_FOLDER ... >> benchmarks/head2head.jsonl
"""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev, variance

HERE = Path(__file__).parent
SCORES = (("cola", "mcc"), ("mrpc", "f1"), ("mrpc", "accuracy"))


def read(name: str, **kept: bool) -> dict[str, list[dict]]:
    """Runs by task, those that have some values."""
    runs: dict[str, list[dict]] = {}
    for line in (HERE / name).read_text().splitlines():
        run = json.loads(line)
        if all(run[key] == value for key, value in kept.items()):
            runs.setdefault(run["task"], []).append(run)
    return runs


def line_of(folder: Path) -> str:
    """A finished run's line in head2head.jsonl: the scores of its last epoch."""
    result = json.loads((folder / "result.json").read_text())
    scores = result["metrics"]["last"]["validation"]
    return json.dumps(
        {"task": result["task"], "seed": result["seed"], "fast": result["config"]["speed"] == "fast", **scores}
    )


def table(first: str, theirs: Mapping[str, Sequence[dict]], second: str, ours: Mapping[str, Sequence[dict]]) -> None:
    """Print means, and differences with their standard errors (of independent samples)."""
    print(f"| task | metric | {first} | n | {second} | n | difference | its standard error |")
    print("|---|---|---|---|---|---|---|---|")
    for task, metric in SCORES:
        a, b = ([run[metric] for run in runs[task]] for runs in (theirs, ours))
        error = math.sqrt(variance(a) / len(a) + variance(b) / len(b))
        cells = [f"{mean(scores):.4f} ± {stdev(scores):.4f} | {len(scores)}" for scores in (a, b)]
        print(f"| {task} | {metric} | {cells[0]} | {cells[1]} | {mean(b) - mean(a):+.4f} | {error:.4f} |")
    print()


def main() -> None:
    if folders := sys.argv[1:]:
        for folder in folders:
            print(line_of(Path(folder)))
        return
    on, off = (read("head2head.jsonl", fast=value) for value in (True, False))
    table("Trainer", read("hf_trainer.jsonl"), "head2head", on)
    table("`speed=exact`", off, "`speed=fast`", on)


if __name__ == "__main__":
    main()
