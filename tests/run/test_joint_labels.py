"""Runs whose head predicts a sentence's labels together."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from composed import compose
from head2head.cli.evaluate import evaluate
from head2head.run.run import run

SMALL = [
    *("head=ner_crf", "encoder=random-tiny", "trainer.max_steps=4", "trainer.accelerator=cpu", "threads=1"),
    *("trainer.enable_progress_bar=false", "trainer.log_every_n_steps=1", "optimizer.lr=1e-2"),
]
SENTENCES = 12
LONG = 50  # words of every third sentence: more than a window holds


def sentence(rng: np.random.Generator, words: int) -> str:
    tags, before = [], "O"
    for _ in range(words):
        follow = [before.replace("B-", "I-")] * 3 if before != "O" else []
        before = str(rng.choice(["O", "O", "B-LOC", "B-PER", *follow]))
        tags.append(before)
    return "".join(f"w{rng.integers(9)} {tag}\n" for tag in tags) + "\n"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run on short sentences and on long ones, which are cut into windows; its folder, and what it predicts."""
    place, rng = tmp_path_factory.mktemp("crf"), np.random.default_rng(0)
    for name in ("train", "dev"):
        text = "".join(sentence(rng, LONG if i % 3 == 0 else 5) for i in range(SENTENCES))
        (place / f"{name}.txt").write_text("\u200e B-PER\nSmith I-PER\n\n" + text, encoding="utf-8")
    typed = [*SMALL, "task=conll", f"task.train={place}/train.txt", f"task.validation={place}/dev.txt",
             "task.max_length=20", f"output_dir={place}/runs", f"cache_dir={place}/cache"]  # fmt: skip
    result = run(compose(typed), typed)
    return result, pq.read_table(f"{result.folder}/predictions-validation.parquet").to_pandas()


def test_every_word_is_predicted_once_also_of_sentences_that_are_cut_into_windows(finished):
    _, found = finished
    lengths = [2, *(LONG if i % 3 == 0 else 5 for i in range(SENTENCES))]
    assert len(found) == sum(lengths)
    assert found["logits"].isna().sum() == 1  # the word that has no word piece
    assert found["prediction"][0] == "O"


def test_no_sentence_that_is_one_window_has_a_label_that_the_scheme_forbids(finished):
    _, found = finished
    starts = np.cumsum([2, *(LONG if i % 3 == 0 else 5 for i in range(SENTENCES))])
    for i, start in enumerate(starts[:-1]):
        before = "O"
        for name in found["prediction"][start : start + 5] if i % 3 else ():
            assert not name.startswith("I-") or before[2:] == name[2:]
            before = name


def test_the_loss_is_a_mean_over_labels_and_goes_down(finished):
    result, _ = finished
    losses = pd.read_csv(f"{result.folder}/metrics.csv")["train/loss"].dropna().tolist()
    # Untrained, nothing but the scheme is known: about log 4 a word, and a little less where I-X is excluded.
    assert losses[0] == pytest.approx(np.log(4), abs=0.5)
    assert losses[-1] < losses[0]


def test_a_finished_run_predicts_the_same_when_it_is_scored_again(finished):
    result, found = finished
    evaluate(Path(result.folder), split="validation")
    again = pq.read_table(f"{result.folder}/predictions-{result.task}-validation.parquet").to_pandas()
    assert again["prediction"].tolist() == found["prediction"].tolist()
