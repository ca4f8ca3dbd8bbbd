"""Our runs beside the Hugging Face Trainer's, as a Markdown table: python benchmarks/compare.py

Reads hf_trainer.jsonl (lines of hf_trainer.py) and head2head.jsonl (task, seed and metrics of finished runs).
"""

import json
import math
from pathlib import Path
from statistics import mean, stdev, variance

HERE = Path(__file__).parent


def read(name: str) -> dict[str, list[dict]]:
    runs: dict[str, list[dict]] = {}
    for line in (HERE / name).read_text().splitlines():
        run = json.loads(line)
        runs.setdefault(run["task"], []).append(run)
    return runs


def main() -> None:
    theirs, ours = read("hf_trainer.jsonl"), read("head2head.jsonl")
    print("| task | metric | Trainer | n | head2head | n | difference | its standard error |")
    print("|---|---|---|---|---|---|---|---|")
    for task, metric in (("cola", "mcc"), ("mrpc", "f1"), ("mrpc", "accuracy")):
        a, b = ([run[metric] for run in runs[task]] for runs in (theirs, ours))
        error = math.sqrt(variance(a) / len(a) + variance(b) / len(b))
        cells = [f"{mean(scores):.4f} ± {stdev(scores):.4f} | {len(scores)}" for scores in (a, b)]
        print(f"| {task} | {metric} | {cells[0]} | {cells[1]} | {mean(b) - mean(a):+.4f} | {error:.4f} |")


if __name__ == "__main__":
    main()
