"""Made-up results for the tests of reports: `from synthetic import make_result`."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from head2head.run.result import Result

FOLDS = 5
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
    fold: int | None = None,
    repeat: int = 0,
    settings: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Result:
    """A run's result. `score=None` is a failed run; `settings` are dotted names in its configuration."""
    config = copy.deepcopy(CONFIG)
    config["seed"] = seed
    if fold is not None:
        config |= {"fold": fold, "folds": FOLDS, "repeat": repeat}
    config["task"] |= {"name": task, "metrics": [metric]}
    if head.endswith("ner"):
        del config["head"]["pool"]
    for name, value in (settings or {}).items():
        part, _, last = name.rpartition(".")
        (config[part] if part else config)[last] = value
    extra = ",".join(f"{name}={value}" for name, value in (settings or {}).items())
    made: dict[str, Any] = {
        "key": f"{task}/{head}/{split}/{seed}/{extra}",
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
        made |= {
            "metrics": {"last": {split: {metric: score}}},
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


def cross_validated(
    folder: Path,
    heads: Mapping[str, Mapping[float, float]],
    task: str = "rte",
    rows: int = 200,
    repeats: int = 1,
    official: int = 0,
    **fields: Any,
) -> list[Result]:
    """Runs of a cross-validation with predictions in their folders: each head is right on a share of the rows.

    Rows lie in clusters of two. Heads share the rows that they find hard.

    Args:
        heads: head -> learning rate -> share of right predictions.
        official: rows of the official validation split; 0 for none.
    """
    rng = np.random.default_rng(0)
    gold, hard = rng.integers(0, 2, rows), rng.random(rows)
    beside, hard_beside = rng.integers(0, 2, official), rng.random(official)
    results = []
    for repeat in range(repeats):
        fold_of = np.repeat(rng.permutation(rows // 2), 2) % FOLDS
        for head, rates in heads.items():
            for (rate, share), fold in itertools.product(rates.items(), range(FOLDS)):
                held = np.flatnonzero(fold_of == fold)
                luck = rng.normal(0, 0.1, rows), rng.normal(0, 0.1, official)
                answers = {"fold": np.where(hard + luck[0] < share, gold, 1 - gold)[held]}
                splits = {"fold": (held, gold[held])}
                if official:
                    answers["validation"] = np.where(hard_beside + luck[1] < share, beside, 1 - beside)
                    splits["validation"] = (np.arange(official), beside)
                scores = {split: float((answers[split] == labels).mean()) for split, (_, labels) in splits.items()}
                result = make_result(
                    task, head, repeat * FOLDS + fold, scores["fold"], split="fold", fold=fold, repeat=repeat,
                    settings={"optimizer.lr": rate},
                )  # fmt: skip
                result.key = f"{result.key}/{rate:g}"
                result.metrics = {"last": {split: {"accuracy": score} for split, score in scores.items()}}
                result.baseline = {split: {"accuracy": 0.5} for split in splits}
                for name, value in fields.items():
                    setattr(result, name, value)
                result.folder = str(folder / "runs" / result.key.replace("/", "_"))
                for split, (numbers, labels) in splits.items():
                    write_predictions(Path(result.folder), split, numbers, numbers // 2, labels, answers[split])
                results.append(result)
    return results


def write_predictions(
    folder: Path, split: str, rows: np.ndarray, clusters: np.ndarray, gold: np.ndarray, answers: np.ndarray
) -> None:
    """What a run writes of its predictions, of the labels no and yes."""
    names = np.array(["no", "yes"], dtype=object)
    columns = {"index": np.arange(len(rows)), "row": rows, "cluster": clusters}
    table = pd.DataFrame(columns | {"prediction": names[answers], "label": names[gold]})
    folder.mkdir(parents=True, exist_ok=True)
    table.to_parquet(folder / f"predictions-{split}.parquet")
