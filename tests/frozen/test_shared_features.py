"""All folds of a task share one tokenization and one pass of the encoder, and see what they would see alone."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from frozen_runs import SETTINGS, logits

from composed import compose
from head2head.data.batching import EvaluationBatches, TrainBatches
from head2head.frozen.dispatch import run_one
from head2head.model.build import build_data
from head2head.model.encoder import Encoder
from head2head.run.key import identify
from head2head.run.result import Result

ROWS = ["task.rows.train=90", "task.rows.validation=40"]
FOLDS = [*(s for s in SETTINGS if not s.startswith("task.")), *ROWS, "folds=3"]
CONLL = ["Ann B-PER", "met O", "Bo B-PER", "in O", "Rome B-LOC"]


@pytest.fixture
def encoded(monkeypatch):
    """Number of rows that an encoder has encoded."""
    rows = []
    forward = Encoder.forward
    monkeypatch.setattr(Encoder, "forward", lambda self, *batch: rows.append(len(batch[0])) or forward(self, *batch))
    return rows


def tokens_file(folder: Path) -> str:
    """Sentences in documents, some too long for a window, one with a word without pieces, one empty of them."""
    lines = []
    rng = np.random.default_rng(1)
    for document in range(9):
        lines += ["-DOCSTART- O", ""]
        for _ in range(4):
            words = rng.choice(CONLL, size=rng.integers(1, 30)).tolist()
            lines += [*words, *(["\u200e O"] if document == 3 else []), ""]
    (folder / "train.txt").write_text("\n".join(lines), encoding="utf-8")
    return f"{folder}/train.txt"


@pytest.mark.parametrize("head", [["head=mean"], ["head=attention"], ["head=ner", "task=entities"]])
def test_the_encoder_reads_each_training_row_once_for_all_folds(bank, encoded, head, tmp_path):
    settings = [*head, *FOLDS]
    for fold in range(3):
        (result,) = bank([f"fold={fold}"], settings=settings, output=str(fold))
        assert isinstance(result, Result)
        assert result.split == "fold"
    assert sum(encoded) == 90 + 40
    assert len(list(tmp_path.glob("cache/tokenized/*.arrow"))) == 2
    bank(["fold=1", "repeat=1"], settings=settings, output="repeat")
    assert sum(encoded) == 90 + 40


def test_rows_that_are_left_out_of_all_folds_are_not_encoded(bank, encoded, tmp_path):
    rows = [f"text {n} of its own,{'yes' if n % 3 else 'no'}" for n in range(30)]
    (tmp_path / "t.csv").write_text("\n".join(["text,label", *rows, *(f"{n} of its own,no" for n in range(30))]))
    settings = [s for s in SETTINGS if not s.startswith("task.")]
    settings += ["task=table", f"task.train={tmp_path}/t.csv", "task.leave_out_contained=true"]
    for fold in range(2):
        (result,) = bank(["head=mean", f"fold={fold}"], settings=settings, output=str(fold))
        assert isinstance(result, Result)
    assert sum(encoded) == 30


def splits_of(settings, tmp_path, monkeypatch, shared: bool):
    config = compose([*settings, f"cache_dir={tmp_path}/cache-{shared}", f"output_dir={tmp_path}"])
    task = identify(config).task
    if not shared:
        monkeypatch.setattr("head2head.data.datamodule.DataModule._part_of_training", lambda *_: None)
    data = build_data(config, task, 0, ["train", "fold"])
    monkeypatch.undo()
    return data


@pytest.mark.parametrize("kind", ["sentence", "train_rows", "token", "token_rows"])
def test_a_part_of_the_whole_is_what_the_fold_would_be_if_it_were_tokenized_by_itself(kind, tmp_path, monkeypatch):
    if kind.startswith("token"):
        settings = ["task=conll", f"task.train={tokens_file(tmp_path)}", "head=ner", "task.max_length=16"]
        settings += ["task.train_rows=11"] if kind == "token_rows" else []
    else:
        settings = ["task.rows.train=90", *(["task.train_rows=20"] if kind == "train_rows" else [])]
    settings += ["encoder=random-tiny", "fold=1", "folds=3"]
    alone, shared = (splits_of(settings, tmp_path, monkeypatch, shared) for shared in (False, True))
    np.testing.assert_array_equal(shared.word_pieces(), alone.word_pieces())
    for name in ("train", "fold"):
        a, b = alone.splits[name], shared.splits[name]
        assert b.whole is not None
        for field in ("labels", "sentences", "num_predictions", "fingerprint", "truncated"):
            np.testing.assert_array_equal(getattr(a, field), getattr(b, field), err_msg=field)
        orders = [TrainBatches(s.rows.lengths, s.rows.label_counts, 5, 3).order() for s in (a, b)]
        assert all(np.array_equal(x, y) for x, y in zip(*orders, strict=True))
        for step in EvaluationBatches(a.rows.lengths, 100):
            for field, value in vars(a.rows.__getitems__(step)).items():
                other = getattr(b.rows.__getitems__(step), field)
                np.testing.assert_array_equal(value, other, err_msg=f"{name} {field}")


def test_sentences_that_are_read_with_their_neighbours_are_not_shared(tmp_path, monkeypatch):
    settings = ["task=conll", f"task.train={tokens_file(tmp_path)}", "head=ner", "task.context=document"]
    data = splits_of([*settings, "encoder=random-tiny", "fold=0", "folds=3"], tmp_path, monkeypatch, shared=True)
    assert data.splits["train"].whole is None


def test_layers_below_the_trained_ones_are_read_once_for_all_folds_too(tmp_path):
    settings = [*FOLDS, "encoder.frozen=1", f"cache_dir={tmp_path}/cache", "head=mean"]
    results = []
    for fold in range(2):
        typed = [*settings, f"fold={fold}", f"output_dir={tmp_path}/{fold}"]
        results.append(run_one(compose(typed), typed))
    assert len(list(tmp_path.glob("cache/features/*/token-*.npy"))) == 2  # training and validation
    exact = [*settings, "fold=1", "speed=exact", f"output_dir={tmp_path}/exact", "trainer.precision=64-true"]
    cached = [*settings, "fold=1", f"output_dir={tmp_path}/cached", "trainer.precision=64-true", "head.dropout=0",
              "encoder.dropout=0"]  # fmt: skip
    found = [run_one(compose(typed), typed) for typed in ([*exact, "head.dropout=0", "encoder.dropout=0"], cached)]
    both = [logits(result, "predictions-fold.parquet") for result in found]
    np.testing.assert_allclose(*both, rtol=0, atol=2e-6)
    assert dataclasses.asdict(found[0])["score"] == found[1].score
