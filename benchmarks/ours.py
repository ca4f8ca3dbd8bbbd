"""head2head's own training, as train.py runs it."""

import contextlib
import io
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from flops import Shape
from machine import kernel_says
from sizes import BATCH, MAX_LENGTH

from head2head.model.checkpoint import Checkpoint
from head2head.run.configuration import compose
from head2head.run.key import build_task, identify
from head2head.run.record import Parts
from head2head.run.run import build_parts, quiet, run


class Clock(pl.Callback):
    """Seconds from the start of the first step to the end of the last, by the wall's clock and by the processor's, and
    the peak resident set then, in bytes."""

    started = before = 0.0

    def on_train_batch_start(self, *_) -> None:
        self.started = self.started or time.perf_counter()
        self.before = self.before or time.process_time()

    def on_train_batch_end(self, *_) -> None:
        self.seconds = time.perf_counter() - self.started
        self.processor_seconds = time.process_time() - self.before
        self.peak = kernel_says("VmHWM")


def settings(task: str, rows: int | None, scratch: Path, *overrides: str) -> list[str]:
    """Overrides of a run on a CPU that leaves nothing outside `scratch`. Tokenized texts are cached there."""
    return [
        f"task={task}",
        f"task.train_rows={'null' if rows is None else rows}",
        f"task.max_length={MAX_LENGTH}",
        f"batch_size={BATCH}",
        "trainer.accelerator=cpu",
        "trainer.enable_progress_bar=false",
        "save_model=false",
        f"output_dir={scratch}/runs",
        f"cache_dir={scratch}/cache",
        *overrides,
    ]


def write_rows(task: str, rows: int | None, scratch: Path) -> Path:
    """The training rows that a run has, as a file for the Trainer."""
    path = scratch / f"{task}-{rows}.json"
    if not path.exists():
        table = build_task(compose(settings(task, rows, scratch))).read("train")
        path.write_text(json.dumps(table.to_dict()))
    return path


def build(overrides: Sequence[str]) -> Parts:
    """What the run for some overrides is made of, its texts tokenized."""
    quiet()
    config = compose(overrides)
    return build_parts(config, identify(config))


def train(
    task: str, rows: int | None, seed: int, scratch: Path, *overrides: str, callbacks: Sequence[pl.Callback] = ()
) -> dict[str, Any]:
    """A run of one epoch, or as many as told, with all that it writes. What follows its last step, the validation, is
    not timed."""
    config = compose(settings(task, rows, scratch, f"seed={seed}", "trainer.max_epochs=1", *overrides))
    clock = Clock()
    with contextlib.redirect_stdout(io.StringIO()):
        result = run(config, overrides, [clock, *callbacks])
    return {
        "seconds": clock.seconds,
        "processor_seconds": clock.processor_seconds,
        "texts": rows,
        "tokens": result.tokens,
        "steps": result.steps,
        "peak": clock.peak,
        "shape": shape(config["encoder"]["name"]),
    }


def shape(encoder: str) -> Shape:
    """Sizes of an encoder."""
    config = Checkpoint(encoder).model_config()
    return Shape(hidden=config.hidden_size, intermediate=config.intermediate_size, layers=config.num_hidden_layers)
