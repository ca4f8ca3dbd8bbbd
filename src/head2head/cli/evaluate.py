"""Score a finished run on another split or file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from head2head.data.conll import Conll
from head2head.data.table import Table
from head2head.data.task import Task
from head2head.errors import UserError
from head2head.files import write_atomically
from head2head.model.build import build_data, targets_of
from head2head.run.configuration import compose
from head2head.run.key import build_task, held_out
from head2head.run.load import read_run, restore
from head2head.run.record import write_predictions
from head2head.run.run import build_trainer, quiet
from head2head.speed import apply as speed


def evaluate(
    run: Path,
    split: str = "test",
    file: Path | None = None,
    task_name: str | None = None,
    data_dir: Path | None = None,
    output: Path | None = None,
    trust: Sequence[str] = (),
) -> dict[str, float] | None:
    """Predict a split with a finished run, and score it where it has labels.

    Writes `predictions-<task>-<split>.parquet` into the run's folder (for a file, its name stands for the
    split), or `output`, and with labels the metrics beside it, as .json.

    Args:
        trust: packages with classes of the user's own that the run's configuration may name.

    Returns:
        The metrics; None where the split has no labels.

    Raises:
        UserError: no finished run, no weights, no such split, or data that cannot be read.
    """
    quiet()
    if output is not None and output.suffix != ".parquet":
        raise UserError(f"--output {output}: predictions are written as parquet; give a name that ends in .parquet")
    finished = read_run(run, trust)
    config, result = finished.config, finished.result
    task = chosen_task(config, finished.task, file, task_name, data_dir)
    name = file.stem if file else split
    split = "test" if file else split
    trainer = build_trainer(config["trainer"] | {"devices": 1, "num_nodes": 1, "strategy": "auto"})
    model = restore(finished).model
    # The arithmetic of the run itself, so that the same split gives the same numbers.
    speed.apply(model.encoder, trainer.strategy.root_device, trainer.precision, fast=config["speed"] == "fast")
    model.metrics = list(task.metrics)
    data = build_data(config, task, config["seed"], [split])
    model.targets = targets_of(data, [split])
    trainer.validate(model, dataloaders=data.evaluation_dataloader(split), verbose=False)
    label = task_name or result.task
    predictions = output or run / f"predictions-{label}-{name}.parquet"
    try:
        write_predictions(predictions, model, task, split)
    except OSError as error:
        raise UserError(f"{predictions}: cannot be written: {error.strerror}") from None
    targets = model.targets[split]
    if targets.labels is None:
        print(f"{label} {name}: no labels to score against; {targets.num_predictions} predictions in {predictions}")
        return None
    metrics = model.history[-1]["metrics"][split]
    text = json.dumps({"run": result.key, "task": label, "split": name, "metrics": metrics}, indent=2)
    write_atomically(predictions.with_suffix(".json"), text + "\n")
    scores = " · ".join(f"{metric} {metrics[metric]:.4f}" for metric in task.metrics)
    print(f"{label} {name} · {result.head} · seed {result.seed} · {scores} · predictions in {predictions}")
    return metrics


def chosen_task(
    config: dict[str, Any], trained: Task, file: Path | None, task_name: str | None, data_dir: Path | None
) -> Task:
    """The task to score: the run's own, another one with the same labels, or a file.

    Raises:
        UserError: another kind of task, or other labels.
    """
    if file is not None:
        common = {
            "name": trained.name,
            "metrics": trained.metrics,
            "labels": trained.labels,
            "max_length": trained.max_length,
            "pairs": trained.pairs,
        }
        if isinstance(trained, Conll):
            kept = {name: getattr(trained, name) for name in ("token_column", "tag_column", "context")}
            return Conll(**common, **kept, train=str(file), validation=str(file), test=str(file))  # type: ignore[arg-type]
        if trained.kind == "token":
            return Conll(**common, train=str(file), validation=str(file), test=str(file))  # type: ignore[arg-type]
        target = "regression" if trained.regression else "classification"
        names: dict[str, Any] = {}
        if isinstance(trained, Table):
            names = {name: getattr(trained, name) for name in ("text", "text_pair", "label", "columns")}
        elif trained.has_pairs:
            names = {"text_pair": "text_pair"}
        return Table(**common, **names, target=target, train=str(file), validation=str(file), test=str(file))  # type: ignore[arg-type]
    settings = config["task"]
    if task_name is not None and task_name != trained.name:
        settings = compose([f"task={task_name}"])["task"]
        settings = settings | {"max_length": trained.max_length, "pairs": trained.pairs}
        if "data_dir" in settings:
            settings["data_dir"] = config["data_dir"]
    if data_dir is not None:
        if "data_dir" not in settings:
            raise UserError(f"--data-dir: task {settings['name']} has no data folder; use --input FILE")
        settings = settings | {"data_dir": str(data_dir)}
    task = build_task({"task": settings, "trust": config.get("trust")})
    task = task if task_name else held_out(config, task)
    if task.kind != trained.kind or list(task.labels) != list(trained.labels):
        raise UserError(f"task {task.name} has other labels than {trained.name}, which the run was trained on")
    return task
