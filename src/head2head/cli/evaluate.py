"""Score a finished run on another split or file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from head2head.data.own_file import task_of_file
from head2head.data.task import Task
from head2head.errors import UserError
from head2head.files import replacing, write_atomically
from head2head.model.build import build_data, targets_of
from head2head.model.finetuner import FineTuner
from head2head.model.heads import TokenHead
from head2head.predict.examples import of_dataset
from head2head.predict.forms import chosen_form, write
from head2head.predict.predictions import Prediction, SentencePrediction
from head2head.predict.predictions import predictions as predictions_of
from head2head.predict.predictor import windows
from head2head.run.configuration import compose
from head2head.run.key import build_task, held_out
from head2head.run.load import read_run, restore
from head2head.run.record import write_predictions
from head2head.run.run import ONE_DEVICE, build_trainer, quiet
from head2head.speed import apply as speed


def evaluate(
    run: Path,
    split: str = "test",
    file: Path | None = None,
    task_name: str | None = None,
    data_dir: Path | None = None,
    output: Path | None = None,
    trust: Sequence[str] = (),
    form: str | None = None,
) -> dict[str, float] | None:
    """Predict a split with a finished run, and score it where it has labels.

    Writes `predictions-<task>-<split>.parquet` into the run's folder (for a file, its name stands for the
    split), or `output`, and with labels the metrics beside it, as .json.

    Args:
        trust: packages with classes of the user's own that the run's configuration may name.
        form: of the predictions; by default that of the output's ending. parquet is the table that a run leaves of its
            validation, with logits (record.write_predictions); the others are those of `predict`.

    Returns:
        The metrics; None where the split has no labels.

    Raises:
        UserError: no finished run, no weights, no such split, or data that cannot be read.
    """
    quiet()
    finished = read_run(run, trust)
    form = chosen_form(finished.task, output, form, "parquet")
    config, result = finished.config, finished.result
    task = chosen_task(config, finished.task, file, task_name, data_dir)
    name = file.stem if file else split
    split = "test" if file else split
    trainer = build_trainer(config["trainer"] | ONE_DEVICE)
    model = restore(finished).model
    # The arithmetic of the run itself, so that the same split gives the same numbers.
    speed.apply(model.encoder, trainer.strategy.root_device, trainer.precision, fast=config["speed"] == "fast")
    model.metrics = list(task.metrics)
    data = build_data(config, task, config["seed"], [split])
    model.targets = targets_of(data, [split])
    trainer.validate(model, dataloaders=data.evaluation_dataloader(split), verbose=False)
    label = task_name or result.task
    predictions = output or run / f"predictions-{label}-{name}.{form}"
    if form == "parquet":
        with replacing(predictions) as path:
            write_predictions(path, model, task, split)
    else:
        write(predicted(task, split, model), form, predictions, f"{label} {name}")
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


def predicted(task: Task, split: str, model: FineTuner) -> Iterator[Prediction | SentencePrediction]:
    """The predictions of a split that has been validated."""
    joint = isinstance(model.head, TokenHead) and bool(model.head.classifier.joint)
    done = 0
    for window in windows(of_dataset(task, task.read(split))):
        count = sum(len(example.places) for example in window) if task.kind == "token" else len(window)
        yield from predictions_of(window, model.logits[split][done : done + count], task, joint)
        done += count


def chosen_task(
    config: dict[str, Any], trained: Task, file: Path | None, task_name: str | None, data_dir: Path | None
) -> Task:
    """The task to score: the run's own, another one with the same labels, or a file.

    Raises:
        UserError: another kind of task, or other labels.
    """
    if file is not None:
        return task_of_file(trained, file)
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
