"""What a run shows while it works: a bar in a terminal, a line an epoch elsewhere."""

import sys
import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, TQDMProgressBar


class EpochLines(Callback):
    """One line for each validation, for logs and pipes, where a bar would be hundreds of lines."""

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.started = time.perf_counter()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero or trainer.state.fn != "fit":
            return
        last: dict[str, Any] = pl_module.history[-1]  # type: ignore[index,assignment]
        scores = ", ".join(
            f"{split} {name} {values[name]:.4f}"
            for split, values in last["metrics"].items()
            for name in pl_module.metrics[:1]  # type: ignore[index]
        )
        loss = trainer.callback_metrics.get("train/loss")
        seconds = time.perf_counter() - self.started
        loss_text = f"loss {float(loss):.4f}, " if loss is not None else ""
        print(f"epoch {last['epoch']}, step {last['step']}: {loss_text}{scores} ({seconds:.0f} s)", flush=True)


def progress_callback() -> Callback:
    """The bar in a terminal, lines elsewhere."""
    return TQDMProgressBar(refresh_rate=5) if sys.stdout.isatty() else EpochLines()
