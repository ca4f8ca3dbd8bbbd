"""What is paid besides training: starting, and sweeps."""

import json
import shutil
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml
from machine import ROOT, Units, command, say
from sizes import Size

IMPORT = [sys.executable, "-c", "import torch, transformers, pytorch_lightning"]
COMMAND = ["${env}", "${interpreter}", "${program}", "${args_no_hyphens}"]
WORKERS = 2


def start(size: Size, scratch: Path, done: Collection[str]) -> Units:
    """From the command to the first training step, and the libraries' imports alone, in turn, with warm caches."""
    overrides = ["head=mean", "task=cola", f"output_dir={scratch}/starts", f"cache_dir={scratch}/cache"]
    first = [sys.executable, ROOT / "benchmarks/first_step.py", *overrides]
    say("start: warms up")
    for arguments in (first, IMPORT):
        command(arguments, size.limit)
    for number in range(size.rounds):
        if str(number) not in done:
            say(f"start: round {number + 1} of {size.rounds}")
            yield str(number), {"first_step": command(first, size.limit), "imports": command(IMPORT, size.limit)}


def launchers(size: Size, scratch: Path, done: Collection[str]) -> Units:
    """The same fine-tuned runs side by side with a thread each, and one after another with all threads, in turn."""
    sweep = {"task": ["cola"], "head": ["mean", "pooler"], "seed": list(range(size.sweep_seeds))}
    sweep |= {"task.train_rows": [size.sweep_rows], "trainer.max_epochs": [1]}
    write_experiment(scratch, "launchers", sweep)
    say("launchers: warms up")
    run_sweep(scratch, "launchers", size.limit, "threads=2", "seed=0", "head=mean", "task.train_rows=32")
    ways = {"joblib": [*joblib(), "threads=1"], "basic": [f"threads={WORKERS}"]}
    for number in range(size.sweep_rounds):
        if str(number) in done:
            continue
        found = {}
        for name, overrides in ways.items():
            say(f"launchers: round {number + 1} of {size.sweep_rounds}, {name}")
            found[name] = run_sweep(scratch, "launchers", size.limit, *overrides)
        yield str(number), found


def overhead(size: Size, scratch: Path, done: Collection[str]) -> Units:
    """A sweep of runs that train next to nothing, and a start of the interpreter with its libraries, in turn."""
    sweep: dict[str, list] = {"head": ["pooler", "cls", "mean", "max", "attention"], "task": ["needle"]}
    sweep |= {"encoder": ["random-tiny"], "seed": list(range(size.tiny_seeds)), "threads": [1]}
    sweep |= {"task.train_rows": [64], "task.rows.validation": [64], "trainer.max_epochs": [1]}
    write_experiment(scratch, "overhead", sweep)
    command(IMPORT, size.limit)
    for number in range(size.sweep_rounds):
        if str(number) not in done:
            say(f"overhead: round {number + 1} of {size.sweep_rounds}")
            found = run_sweep(scratch, "overhead", size.limit, *joblib())
            yield str(number), found | {"imports": command(IMPORT, size.limit), "workers": WORKERS}


def joblib() -> list[str]:
    """Overrides of a sweep that has WORKERS workers."""
    return ["hydra/launcher=joblib", f"hydra.launcher.n_jobs={WORKERS}"]


def write_experiment(scratch: Path, name: str, values: dict[str, list]) -> None:
    """An experiment of the benchmark's own: a sweep looks for it in the folder where it is started."""
    folder = scratch / "experiments" / name
    folder.mkdir(parents=True, exist_ok=True)
    always = {"save_model": [False], "trainer.accelerator": ["cpu"]}
    parameters = {setting: {"values": some} for setting, some in (values | always).items()}
    file = {"program": "train.py", "method": "grid", "parameters": parameters, "command": COMMAND}
    (folder / "sweep.yaml").write_text(yaml.safe_dump(file))


def run_sweep(scratch: Path, name: str, limit: float, *overrides: str, cache: str = "cache") -> dict[str, Any]:
    """A sweep from its command to its end, with no result of an earlier one: its seconds, and its runs' own.

    Raises:
        RuntimeError: a run of it failed.
    """
    runs, results = scratch / "sweep", scratch / "experiments" / name / "results.jsonl"
    results.unlink(missing_ok=True)
    arguments = [sys.executable, ROOT / "sweep.py", f"experiment={name}", f"output_dir={runs}"]
    try:
        wall = command([*arguments, f"cache_dir={scratch / cache}", *overrides], limit, cwd=scratch)
    finally:
        shutil.rmtree(runs, ignore_errors=True)
    found = [json.loads(line) for line in results.read_text().splitlines()]
    seconds = {part: sum(run["seconds"].get(part, 0) for run in found) for part in ("train", "validation", "total")}
    return {"wall": wall, "runs": len(found), "seconds": seconds}
