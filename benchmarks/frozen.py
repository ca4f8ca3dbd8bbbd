"""Frozen encoders: what one pass of the encoder costs, and what many heads on its features cost."""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection
from pathlib import Path

import sweeps
from machine import ROOT, Units, kernel_says, say
from sizes import Size

# Heads that read a vector of each text, and one that reads every token in every epoch.
HEADS = ["pooler", "cls", "mean", "max", "sqrt_mean", "mean_max", "weighted_sum", "second_to_last"]
TOKENS = ["attention"]


def speed(size: Size, scratch: Path, done: Collection[str]) -> Units:
    """On CoLA: one pass of the encoder over training and validation data; a sweep of heads x seeds that has to make
    its features first; one epoch of the Trainer with a frozen encoder."""
    if "pass" not in done:
        say("frozen: one pass of the encoder")
        yield "pass", encoder_pass(size, scratch)
    if "sweep" not in done:
        say(f"frozen: a sweep of {len(HEADS)} heads x {size.frozen_seeds} seeds x {size.frozen_epochs} epochs")
        yield "sweep", sweep(size, scratch, HEADS)
    if "attention" not in done:
        say("frozen: a sweep of attention")
        yield "attention", sweep(size, scratch, TOKENS)
    if "trainer" not in done:
        say("frozen: an epoch of the Trainer")
        yield "trainer", trainer(size, scratch)


def encoder_pass(size: Size, scratch: Path) -> dict:
    """The encoder over every text once, in evaluation batches, the texts being tokenized."""
    import ours
    import torch

    overrides = ours.settings("cola", size.frozen_rows, scratch, "head=mean", "encoder.frozen=true")
    parts = ours.build(overrides)
    encoder = parts.model.encoder.eval()
    names = ("input_ids", "attention_mask", "token_type_ids", "special_tokens_mask")
    started = time.perf_counter()
    with torch.inference_mode():
        for split in ("train", "validation"):
            for batch in parts.data.evaluation_dataloader(split):
                encoder(*(getattr(batch, name) for name in names))
    seconds = time.perf_counter() - started
    rows = [split.rows for split in parts.data.splits.values()]
    return {
        "seconds": seconds,
        "texts": sum(map(len, rows)),
        "tokens": sum(int(one.lengths.sum()) for one in rows),
    }


def sweep(size: Size, scratch: Path, heads: list[str]) -> dict:
    """The sweep from its command to its end, with no features and no tokenized texts cached."""
    values = {"task": ["cola"], "head": heads, "seed": list(range(size.frozen_seeds))}
    values |= {"encoder.frozen": [True], "trainer.max_epochs": [size.frozen_epochs]}
    values |= {"task.train_rows": [size.frozen_rows]} if size.frozen_rows else {}
    sweeps.write_experiment(scratch, "frozen", values)
    with tempfile.TemporaryDirectory(dir=scratch) as cache:
        found = sweeps.run_sweep(scratch, "frozen", size.limit, cache=cache)
    return found | {"epochs": size.frozen_epochs, "heads": heads}


def trainer(size: Size, scratch: Path) -> dict:
    """One epoch, grouped by length, only the classifier trained: its first step to its last."""
    import ours
    import peers

    peers.train(ours.write_rows("cola", 64, scratch), 0, scratch, group=True, frozen=True)  # warms up
    return peers.train(ours.write_rows("cola", size.frozen_rows, scratch), 0, scratch, group=True, frozen=True)


def memory(size: Size, scratch: Path, done: Collection[str]) -> Units:
    """Anonymous memory of a run that reads every token's features, on few rows of SST-2 and on many."""
    for rows in size.mapped_rows:
        if str(rows) in done:
            continue
        say(f"frozen_memory: {rows} rows")
        cache = Path(tempfile.mkdtemp(dir=scratch))
        try:
            yield str(rows), anonymous_memory(rows, cache, size.limit)
        finally:
            shutil.rmtree(cache, ignore_errors=True)


def anonymous_memory(rows: int, folder: Path, limit: float) -> dict:
    """Peak of RssAnon over `train.py head=attention encoder.frozen=true`, one epoch, features made anew: the memory
    that is the process's own, without mapped files.

    Raises:
        RuntimeError: the run failed or took longer than `limit` seconds.
    """
    overrides = [
        "task=sst2",
        "head=attention",
        "encoder.frozen=true",
        "trainer.max_epochs=1",
        f"task.train_rows={rows}",
    ]
    overrides += ["trainer.accelerator=cpu", "save_model=false", f"output_dir={folder}/runs", f"cache_dir={folder}"]
    started, peak = time.perf_counter(), 0
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "train.py"), *overrides], stdout=log, stderr=subprocess.STDOUT
        )
        while process.poll() is None:
            peak = max(peak, kernel_says("RssAnon", process.pid))
            if time.perf_counter() - started > limit:
                process.kill()
                process.wait()
                raise RuntimeError(f"{rows} rows took longer than {limit} s")
            time.sleep(0.02)
    if process.returncode:
        raise RuntimeError((folder / "log.txt").read_text()[-2000:])
    return {"peak": peak, "seconds": time.perf_counter() - started, "cached": cached(folder)}


def cached(folder: Path) -> int:
    """Bytes of the files below a cache folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
