"""Small finished runs of every kind, to predict with."""

from pathlib import Path

import numpy as np

from composed import compose
from head2head.run.result import Result
from head2head.run.run import run

SMALL = [
    *("encoder=random-tiny", "trainer.max_steps=4", "trainer.accelerator=cpu", "threads=1", "optimizer.lr=1e-2"),
    *("trainer.enable_progress_bar=false", "trainer.log_every_n_steps=1"),
]
WORDS = "the keys near cabinets door house is are open red old dog sleeps runs".split()


def sentence(rng: np.random.Generator, longest: int = 12) -> str:
    return " ".join(rng.choice(WORDS, size=rng.integers(1, longest)))


def texts_run(place: Path, *own: str, pairs: bool = False, values: bool = False) -> Result:
    """On a csv that stays in `place`, as train.csv and dev.csv."""
    rng = np.random.default_rng(0)
    for name in ("train", "dev"):
        rows = ["text," + "text_pair," * pairs + "label"]
        for i in range(40):
            label = f"{i / 10}" if values else ("neg", "pos")[i % 2]
            rows.append(f"{sentence(rng)}," + f"{sentence(rng)}," * pairs + label)
        (place / f"{name}.csv").write_text("\n".join(rows) + "\n")
    typed = [*SMALL, "task=table", f"task.train={place}/train.csv", f"task.validation={place}/dev.csv", "head=mean",
             f"output_dir={place}/runs", f"cache_dir={place}/cache", *(["task.text_pair=text_pair"] if pairs else []),
             *(["task.target=regression"] if values else []), *own]  # fmt: skip
    return run(compose(typed), typed)


def tagged(rng: np.random.Generator, words: int) -> str:
    """A sentence of a column file, with tags in IOB2."""
    tags, before = [], "O"
    for _ in range(words):
        follow = [before.replace("B-", "I-")] * 3 if before != "O" else []
        before = str(rng.choice(["O", "O", "B-LOC", "B-PER", *follow]))
        tags.append(before)
    return "".join(f"{rng.choice(WORDS)} {tag}\n" for tag in tags) + "\n"


def words_run(place: Path, head: str = "ner") -> Result:
    """On column files with long sentences, too, which stay in `place`, as train.conll and dev.conll."""
    rng = np.random.default_rng(0)
    for name in ("train", "dev"):
        text = "".join(tagged(rng, 50 if i % 5 == 0 else 6) for i in range(20))
        (place / f"{name}.conll").write_text("\u200e B-PER\nSmith I-PER\n\n" + text, encoding="utf-8")
    typed = [*SMALL, "task=conll", f"task.train={place}/train.conll", f"task.validation={place}/dev.conll",
             f"head={head}", "task.max_length=20", f"output_dir={place}/runs", f"cache_dir={place}/cache"]  # fmt: skip
    return run(compose(typed), typed)
