"""The Hugging Face Trainer's ways to fine-tune BertForSequenceClassification."""

import json
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, disable_progress_bars
from machine import kernel_says
from sizes import BATCH, MAX_LENGTH, MODEL
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    default_data_collator,
    set_seed,
)
from transformers.trainer_callback import PrinterCallback
from transformers.utils import logging

from head2head.model.checkpoint import Checkpoint


class Clock(TrainerCallback):
    """Seconds from the start of the first step to the end of the last, and the peak resident set then, in bytes."""

    started = 0.0

    def on_step_begin(self, args, state, control, **kwargs):
        self.started = self.started or time.perf_counter()

    def on_step_end(self, args, state, control, **kwargs):
        self.seconds = time.perf_counter() - self.started
        self.peak = kernel_says("VmHWM")


def quiet() -> None:
    """No bars, and no report that a classifier is new."""
    disable_progress_bars()
    logging.set_verbosity_error()
    logging.disable_progress_bar()


def tokenized(rows: Path, tokenizer: Any, pad: bool) -> Dataset:
    """The rows of a JSON file, padded to the full length or not at all."""
    padding: Any = "max_length" if pad else False

    def encode(texts: dict) -> dict:
        return tokenizer(texts["text"], texts.get("text_pair"), padding=padding, truncation=True, max_length=MAX_LENGTH)

    return Dataset.from_dict(json.loads(rows.read_text())).map(lambda texts: encode(dict(texts)), batched=True)


def train(
    rows: Path,
    seed: int,
    scratch: Path,
    pad: bool = False,
    group: bool = False,
    frozen: bool = False,
) -> dict:
    """Train as transformers' `run_glue.py` does: TrainingArguments as they come, but for batch and output.

    Args:
        rows: JSON file with the columns text, text_pair (pairs only) and label.
        pad: to the full length, as run_glue.py does unless told otherwise; else to a batch's longest text.
        group: texts of like length meet in a batch.
        frozen: nothing but the classifier is trained.
    """
    quiet()
    set_seed(seed)
    path = Checkpoint(MODEL).path()
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForSequenceClassification.from_pretrained(path, num_labels=2, dtype=torch.float32)
    if frozen:
        model.base_model.requires_grad_(False)
    data = tokenized(rows, tokenizer, pad)
    clock = Clock()
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(scratch / "trainer"),
            per_device_train_batch_size=BATCH,
            num_train_epochs=1,
            train_sampling_strategy="group_by_length" if group else "random",
            seed=seed,
            use_cpu=True,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
        ),
        train_dataset=data,
        data_collator=default_data_collator if pad else DataCollatorWithPadding(tokenizer),
        callbacks=[clock],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    tokens = sum(sum(mask) for mask in data["attention_mask"])
    return {
        "seconds": clock.seconds,
        "texts": len(data),
        "tokens": tokens,
        "steps": trainer.state.global_step,
        "peak": clock.peak,
        "optimizer": trainer.args.optim.value,
    }
