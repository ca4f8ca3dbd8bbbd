"""What is recorded of a run: its Result, the validation predictions, the trained weights."""

from __future__ import annotations

import functools
import math
import platform
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import torch
from safetensors.torch import save
from torch import nn

from head2head.data.datamodule import DataModule
from head2head.data.task import Task
from head2head.metrics import constant_predictions, majority_baseline
from head2head.model.finetuner import FineTuner
from head2head.model.heads.layers import WeightedSum
from head2head.run.configuration import CONFIGS
from head2head.run.key import Identity
from head2head.run.result import Result


@dataclass(frozen=True)
class Parts:
    """What a run is made of.

    notes: what there is to know of how it came about.
    stream: the arithmetic and the random masks that it uses.
    """

    task: Any
    data: DataModule
    model: FineTuner
    notes: tuple[str, ...] = ()
    stream: str = ""


def blank_result(
    config: dict[str, Any], overrides: Sequence[str], identity: Identity, parts: Parts, device: torch.device
) -> Result:
    """What is known of a run before it trains."""
    model, splits = parts.model, parts.data.splits
    train = splits["train"]
    assert train.labels is not None  # every task's reader demands labels where it trains
    return Result(
        key=identity.key,
        overrides=list(overrides),
        config=config,
        task=identity.task.name,
        head=identity.head,
        seed=identity.seed,
        metric=identity.task.metrics[0],
        split=identity.task.validation_splits[0],
        experiment=config["experiment"],
        baseline={
            name: majority_baseline(
                model.metrics, model.labels, train.labels, targets.labels, train.sentences, targets.sentences
            )
            for name, targets in model.targets.items()
            if targets.labels is not None
        },
        parameters={
            "head": count(model.head),
            "trainable": sum(p.numel() for p in model.parameters() if p.requires_grad),
            "total": count(model),
        },
        truncated={name: split.truncated for name, split in splits.items()},
        notes=[*identity.task.notes, *parts.notes],
        data_warnings=parts.data.warnings,
        data={name: split.fingerprint for name, split in splits.items()},
        encoder=model.encoder.checkpoint_sha256,
        threads=torch.get_num_threads(),
        device=device_name(device),
        stream=parts.stream,
        git_commit=git_commit(),
        versions={"python": platform.python_version()}
        | {
            name: metadata.version(name)
            for name in ("head2head", "torch", "transformers", "pytorch-lightning", "datasets")
        },
    )


def conclude(
    result: Result,
    parts: Parts,
    folder: Path,
    steps: int,
    device: torch.device,
    seconds: Mapping[str, float],
    loggers: Sequence[Any],
) -> None:
    """Put into the result and the run's folder what training has shown; result.json itself is left to be written.

    Args:
        seconds: of training, validation and all.
    """
    fill(result, parts, steps, device)
    for split in parts.task.validation_splits:
        write_predictions(folder / f"predictions-{split}.parquet", parts.model, parts.task, split)
    if result.config["save_model"]:
        save_weights(parts.model, folder / "model.safetensors")
    result.url = next((url for logger in loggers if (url := run_url(logger))), None)
    result.seconds = dict(seconds)
    result.tokens_per_second = result.tokens / seconds["train"] if result.tokens else 0.0


def fill(result: Result, parts: Parts, steps: int, device: torch.device) -> None:
    """What training has shown."""
    history, split, metric = parts.model.history, result.split, result.metric
    best = max(history, key=lambda epoch: epoch["metrics"][split][metric])
    result.metrics = {"last": history[-1]["metrics"], "best": best["metrics"] | {"epoch": best["epoch"]}}
    result.curve = history
    if isinstance(mix := parts.model.head.layers, WeightedSum):
        result.layer_weights = {"layers": mix.reads, "weights": mix.mixture().tolist()}
    result.losses = parts.model.losses
    result.score = history[-1]["metrics"][split][metric]
    result.collapsed = constant_predictions(parts.model.predictions(split))
    result.above_baseline = result.score > result.baseline[split][metric]
    result.steps = steps
    result.tokens = parts.model.tokens_seen
    result.peak_memory = peak_memory(device)


def count(module: nn.Module) -> int:
    """Number of parameters."""
    return sum(p.numel() for p in module.parameters())


def peak_memory(device: torch.device) -> int:
    """Bytes: what was allocated on a GPU at the most, elsewhere the process's peak resident set."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def device_name(device: torch.device) -> str:
    """Name of the GPU that is used, or of the processor, of which Apple's GPU is a part: "mps (Apple M2)"."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return processor() if device.type == "cpu" else f"{device.type} ({processor()})"


def processor() -> str:
    """Name of the machine's processor."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    if sys.platform == "darwin":  # platform.processor() says "arm"
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return platform.processor() or platform.machine()


@functools.cache
def git_commit() -> str | None:
    """The checkout's commit when the process first asked, for its code stays what it was then; with + behind it when
    files had changed since. None for an installed wheel."""
    if CONFIGS.parent == Path(__file__).parents[1]:
        return None
    git = ["git", "-C", str(CONFIGS.parent)]
    try:
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run([*git, "diff", "--quiet", "HEAD"], capture_output=True).returncode != 0
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + "+" * changed


def write_predictions(path: Path, model: FineTuner, task: Task, split: str) -> None:
    """A parquet table with a row a prediction (a text, or a word).

    index: number of the prediction. row: number of the text or sentence in the file that the split is taken from, by
    which the predictions of all folds can be put together. cluster: a number that rows have in common which share a
    text or a document. prediction, label (where it is known): names, or values. logits: null for a word without word
    pieces, which is predicted O.
    """
    logits, labels, sentences = model.logits[split], model.targets[split].labels, model.targets[split].sentences
    predictions = model.predictions(split)
    if model.labels:
        names = np.array(model.labels, dtype=object)
        predictions = names[predictions]
    clusters = task.clusters(split)
    rows = task.row_numbers(split) if split == "fold" else np.arange(len(clusters))
    if sentences is not None:
        rows, clusters = (np.repeat(numbers, sentences) for numbers in (rows, clusters))
    columns: dict[str, Any] = {
        "index": np.arange(len(logits)), "row": rows, "cluster": clusters, "prediction": predictions
    }  # fmt: skip
    if labels is not None:
        columns["label"] = names[labels] if model.labels else labels
    columns["logits"] = pa.array([None if math.isnan(row[0]) else row for row in logits], type=pa.list_(pa.float32()))
    pa.parquet.write_table(pa.table(columns), path)


def kept_weights(model: FineTuner) -> set[str]:
    """Names of what of a model's state is not the checkpoint's: the weights that training changes (of a frozen encoder,
    none), and the head's buffers, such as the statistics by which it standardises."""
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    buffers = {f"head.{name}" for name, _ in model.head.named_buffers()}
    return trained | (buffers & model.state_dict().keys())


def save_weights(model: FineTuner, path: Path) -> None:
    """Write what `kept_weights` names."""
    kept = kept_weights(model)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items() if name in kept}
    path.write_bytes(save(state))


def run_url(logger: Any) -> str | None:
    """Address of the run's page, for loggers that have one. W&B warns who asks an offline run for it."""
    if type(logger).__name__ != "WandbLogger" or getattr(logger.experiment, "offline", False):
        return None
    return getattr(logger.experiment, "url", None)


def last_line(result: Result, folder: Path) -> str:
    """task · head · seed · score (majority baseline) · flags · seconds · folder."""
    baseline = result.baseline[result.split][result.metric]
    flag = " · COLLAPSED: one prediction for all" if result.collapsed else ""
    if result.converged is False:
        flag += " · NOT CONVERGED: the training loss still falls"
    return (
        f"{result.task} · {result.head} · seed {result.seed} · {result.metric} {result.score:.4f} "
        f"(majority baseline {baseline:.4f}){flag} · {result.seconds['total']:.0f} s · {folder}"
    )
