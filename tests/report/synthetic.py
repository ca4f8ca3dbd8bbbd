"""Made-up results for the tests of reports: `from synthetic import make_result`."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from head2head.run.result import Result

CONFIG: dict[str, Any] = {
    "encoder": {"name": "sentence-transformers/all-MiniLM-L6-v2", "revision": None, "frozen": False},
    "head": {"layers": {"index": -1}, "pool": {}, "classifier": {}, "dropout": None},
    "task": {"labels": ["no", "yes"], "metrics": ["accuracy"], "max_length": 64},
    "optimizer": {"lr": 5e-05, "head_lr": None},
    "trainer": {"max_epochs": 3, "enable_progress_bar": True},
    "logger": {},
    "seed": 0,
    "batch_size": 32,
    "data_dir": None,
    "output_dir": "lightning_logs",
    "cache_dir": "~/.cache/head2head",
    "threads": 1,
}


def make_result(
    task: str,
    head: str,
    seed: int,
    score: float | None,
    *,
    metric: str = "accuracy",
    split: str = "validation",
    baseline: float = 0.5,
    best: float | None = None,
    settings: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Result:
    """A run's result. `score=None` is a failed run; `settings` are dotted names in its configuration."""
    config = copy.deepcopy(CONFIG)
    config["seed"] = seed
    config["task"] |= {"name": task, "metrics": [metric]}
    if head.endswith("ner"):
        del config["head"]["pool"]
    for name, value in (settings or {}).items():
        part, _, last = name.rpartition(".")
        (config[part] if part else config)[last] = value
    extra = ",".join(f"{name}={value}" for name, value in (settings or {}).items())
    made: dict[str, Any] = {
        "key": f"{task}/{head}/{seed}/{extra}",
        "overrides": [f"task={task}", f"head={head}", f"seed={seed}"],
        "config": config,
        "task": task,
        "head": head,
        "seed": seed,
        "metric": metric,
        "split": split,
        "score": score,
        "parameters": {"head": 770, "trainable": 22_000_770, "total": 22_000_770},
        "device": "cpu",
        "threads": 1,
        "git_commit": "0" * 40,
        "encoder": "e" * 64,
    }
    if score is None:
        made["failed"] = "the loss is nan at step 7"
    else:
        best = score if best is None else best
        made |= {
            "metrics": {"last": {split: {metric: score}}, "best": {split: {metric: best}, "epoch": 3}},
            "curve": [
                {"epoch": e, "step": 10 * e, "metrics": {split: {metric: score - 0.01 * (3 - e)}}} for e in (1, 2, 3)
            ],
            "baseline": {split: {metric: baseline}},
            "collapsed": False,
            "above_baseline": score > baseline,
            "seconds": {"train": 10.0 + seed, "validation": 1.0, "total": 12.0 + seed},
            "tokens": 1000,
            "tokens_per_second": 100.0,
            "steps": 30,
        }
    return Result(**(made | fields))


def write_experiment(folder: Path, results: Iterable[Result], name: str = "trial") -> Path:
    """Write experiments/NAME/results.jsonl below `folder`; returns experiments/NAME."""
    experiment = folder / "experiments" / name
    experiment.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(asdict(result)) for result in results]
    (experiment / "results.jsonl").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return experiment
