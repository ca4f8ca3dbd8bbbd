"""A finished run, read back from its folder: what evaluating, predicting and exporting start from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from head2head.data.task import Task
from head2head.errors import UserError
from head2head.model.build import build_model
from head2head.model.finetuner import FineTuner
from head2head.run.key import build_task, held_out
from head2head.run.record import kept_weights
from head2head.run.result import Result, read_result
from head2head.run.stored import read_config


@dataclass(frozen=True)
class FinishedRun:
    """What a run's folder says of it.

    config: resolved, with the labels that were found in the data.
    task: what the run was trained on, without the rows of its fold.
    """

    folder: Path
    result: Result
    config: dict[str, Any]
    task: Task


@dataclass(frozen=True)
class LoadedRun(FinishedRun):
    """A finished run with its trained model, which computes by torch's own layers until `speed.apply` has seen it."""

    model: FineTuner


def load_run(run: Path, trust: Sequence[str] = ()) -> LoadedRun:
    """A finished run with its model.

    Args:
        run: its folder.
        trust: packages with classes of the user's own that the run's configuration may name.

    Raises:
        UserError: no finished run, or one that failed; no weights, or not those of its configuration; another encoder
            than it was trained on.
    """
    return restore(read_run(run, trust))


def read_run(run: Path, trust: Sequence[str] = ()) -> FinishedRun:
    """A finished run without its model, which takes seconds to build.

    Raises:
        UserError: no finished run, one that failed, or a configuration that names what may not be built.
    """
    result = read_result(run)
    if result.failed:
        raise UserError(f"{run}: this run has failed ({result.failed}); it has no model")
    config = read_config(run, trust)
    return FinishedRun(run, result, config, held_out(config, build_task(config)))


def restore(run: FinishedRun) -> LoadedRun:
    """A finished run with its trained weights.

    Raises:
        UserError: it was told to keep none, they do not fit, or the encoder is not the one it was trained on.
    """
    path = run.folder / "model.safetensors"
    if not path.exists():
        raise UserError(
            f"{run.folder}: the run kept no weights (save_model=false); train it again with save_model=true"
        )
    model = build_model(run.config, run.task, run.config["seed"])
    if model.encoder.checkpoint_sha256 != run.result.encoder:
        raise UserError(
            f"{run.folder}: encoder {run.config['encoder']['name']} is not the one that the run was "
            "trained on (its weights differ)"
        )
    weights = load_file(path)
    kept = kept_weights(model)
    if kept != set(weights):
        raise UserError(f"{path}: not the weights of this run's model ({len(kept ^ set(weights))} names differ)")
    model.load_state_dict(weights, strict=False)
    return LoadedRun(**vars(run), model=model)
