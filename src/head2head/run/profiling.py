"""Where the time of a training step goes: PyTorch's profiler on a few of a run's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from torch.profiler import ProfilerActivity, profile, schedule

ROWS = 20  # of the table


class Profile(pl.Callback):
    """Writes into a run's folder a trace of ten training batches in Chrome's format, `trace.json.gz`, and a table of
    the operators that cost most, `profile.txt`.

    The batches come before the first validation, which would make the trace as large as its split.

    Attributes:
        batches: number of those profiled, once they are.
    """

    def __init__(self, folder: Path):
        self.trace, self.table = folder / "trace.json.gz", folder / "profile.txt"
        self.batches = 0
        self._profiler: profile | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        gpu = trainer.strategy.root_device.type == "cuda"
        # val_check_batch is None where validation goes by the clock.
        ends = (trainer.estimated_stepping_batches, trainer.num_training_batches, trainer.val_check_batch)
        plan = window(int(min(end for end in ends if end is not None)))

        def write(profiler: profile) -> None:
            profiler.export_chrome_trace(str(self.trace))
            table = profiler.key_averages().table(f"self_{'cuda' if gpu else 'cpu'}_time_total", ROWS)
            self.table.write_text(table, encoding="utf-8")
            self.batches = profiler.step_num - plan["wait"] - plan["warmup"]

        self._profiler = profile(
            activities=[ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * gpu],
            schedule=schedule(**plan, repeat=1),
            on_trace_ready=write,
        )
        self._profiler.start()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._profiler is not None:
            self._profiler.step()
            if self.batches:
                self._stop()

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stop()
        if self.batches:
            print(f"profile of {self.batches} batches: {self.trace} (for ui.perfetto.dev), {self.table}", flush=True)
        else:
            print("no profile: training ended before the first batch that would have been profiled", flush=True)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._profiler is not None:
            self._profiler.stop()
            self._profiler = None


def window(batches: int) -> dict[str, int]:
    """Which of some batches are profiled: ten (`active`), behind five that are slow since they are the first (`wait`)
    and five with the profiler already running, whose start costs time, too (`warmup`).

    Where there are fewer, waiting is left out first, then warming up.

    >>> window(12)
    {'wait': 0, 'warmup': 2, 'active': 10}
    """
    active = min(10, batches)
    warmup = min(5, batches - active)
    return {"wait": min(5, batches - active - warmup), "warmup": warmup, "active": active}
