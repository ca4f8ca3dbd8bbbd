"""Splits as they come out of the data module."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from head2head.data.batching import TrainBatches
from head2head.data.datamodule import DataModule
from head2head.data.vocabulary import built_in_tokenizer


@pytest.fixture
def build(make_task, tmp_path):
    def module(task="agreement", seed=1, settings=None, **options):
        task = make_task(task, **(settings or {})) if isinstance(task, str) else task
        data = DataModule(task, built_in_tokenizer(), seed, cache_dir=tmp_path / "cache", **options)
        data.trainer = pl.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
        return data

    return module


@pytest.mark.parametrize(("device", "pinned"), [("cpu", False), ("cuda", True)])
def test_batches_lie_in_pinned_memory_where_they_go_to_a_gpu(build, device, pinned):
    data = build(settings=small())
    data.load(["train", "validation"])
    data.trainer = SimpleNamespace(
        strategy=SimpleNamespace(root_device=torch.device(device)),
        global_rank=0, world_size=1, accumulate_grad_batches=1,
    )  # fmt: skip
    for loader in (data.train_dataloader(), *data.val_dataloader()):
        assert loader.pin_memory == pinned


def small(**rows):
    return {"rows": {"train": 50, "validation": 20, "test": 10} | rows}


def units(loader):
    return np.concatenate([batch.prediction_ids.numpy().ravel() for batch in loader])


def test_only_the_splits_asked_for_are_read_and_only_once(build, monkeypatch):
    data = build(settings=small())
    read = []
    original = data.task.read
    monkeypatch.setattr(data.task, "read", lambda split: read.append(split) or original(split))
    data.load(["train", "validation"])
    data.load(["validation"])
    assert read == ["train", "validation"]
    assert set(data.splits) == {"train", "validation"}


def test_a_sentence_split_has_its_gold_labels(build):
    data = build(settings=small())
    data.load(["validation"])
    split = data.splits["validation"]
    assert split.labels.tolist() == data.task.read("validation")["label"][:]
    assert split.sentences is None
    assert split.num_predictions == len(split.rows) == 20
    assert split.truncated == {"examples": 0, "words": 0}


def test_a_token_split_has_one_unit_a_word(build):
    data = build("entities", settings=small())
    data.load(["validation"])
    split, rows = data.splits["validation"], data.task.read("validation")
    assert split.labels.tolist() == [tag for tags in rows["tags"] for tag in tags]
    assert split.sentences.tolist() == [len(tokens) for tokens in rows["tokens"]]
    assert split.num_predictions == split.sentences.sum()


def test_truncation_is_summed_over_the_split(build):
    data = build("needle", settings=small() | {"max_length": 30})
    data.load(["train", "validation"])
    lost = [len(text.split()) - 28 for text in data.task.read("validation")["text"]]
    assert data.splits["validation"].truncated == {"examples": 20, "words": sum(lost)}
    assert data.splits["train"].truncated["words"] == 0


def test_a_split_without_labels_has_none(build, make_task, write):
    train = write("train.csv", "text,label\nthe key,a\nthe door,b\n")
    task = make_task("table", train=train, validation=train, test=write("test.csv", "text\nthe key\n"))
    data = build(task)
    data.load(["test"])
    assert data.splits["test"].labels is None
    assert data.splits["test"].num_predictions == 1
    assert next(iter(data.evaluation_dataloader("test"))).labels is None


def test_the_training_loader_has_every_row_once_in_batches_of_the_size_asked_for(build):
    data = build(settings=small(), batch_size=8)
    data.load(["train"])
    loader = data.train_dataloader()
    sizes = Counter(len(batch.input_ids) for batch in loader)
    assert sizes == {8: 6, 2: 1}
    assert len(loader) == 7
    assert sorted(units(loader)) == list(range(50))
    for batch in loader:
        assert batch.labels.tolist() == data.splits["train"].labels[batch.prediction_ids].tolist()


def test_batches_depend_on_the_seed_and_not_on_the_evaluation_settings(build):
    def order(**options):
        data = build(settings=small(), **options)
        data.load(["train"])
        return units(data.train_dataloader()).tolist()

    assert order(seed=1) == order(seed=1, evaluation_tokens=64)
    assert order(seed=1) != order(seed=2)


def test_validation_has_every_word_once_within_the_token_budget(build):
    data = build("entities", settings=small(), evaluation_tokens=64)
    data.load(["validation"])
    (loader,) = data.val_dataloader()
    found = units(loader)
    assert sorted(found[found >= 0]) == list(range(data.splits["validation"].num_predictions))
    assert all(batch.input_ids.numel() <= 64 for batch in loader)
    assert len(loader) > 1
    gold = data.splits["validation"].labels
    for batch in loader:
        own = batch.prediction_ids >= 0
        assert (batch.labels[~own] == -100).all()
        assert batch.labels[own].tolist() == gold[batch.prediction_ids[own]].tolist()


def test_every_validation_split_has_a_loader_in_the_tasks_order(build, make_task, write, tmp_path):
    header = "index\tsentence1\tsentence2\tgold_label\n"
    write("glue/MNLI/dev_matched.tsv", header + "0\tthe key\tis here\tneutral\n")
    write("glue/MNLI/dev_mismatched.tsv", header + "0\ta\tb\tentailment\n1\tc\td\tcontradiction\n")
    data = build(make_task("mnli", data_dir=tmp_path))
    data.load(data.task.validation_splits)
    assert [sum(len(b.labels) for b in loader) for loader in data.val_dataloader()] == [1, 2]


def test_worker_processes_hand_out_the_same_batches(build):
    def train(workers):
        data = build(settings=small(), workers=workers)
        data.load(["train"])
        return [(batch.input_ids.tolist(), batch.labels_in_step) for batch in data.train_dataloader()]

    assert train(1) == train(0)


def test_the_fingerprint_tells_data_apart_but_not_where_they_lie(build, make_task, write):
    def fingerprint(name, content):
        data = build(make_task("table", train=write(name, content), validation=write("v.csv", "text,label\nx,a\n")))
        data.load(["train"])
        return data.splits["train"].fingerprint

    first = fingerprint("a.csv", "text,label\nx,a\ny,b\n")
    assert fingerprint("b/c.tsv", "text\tlabel\nx\ta\ny\tb\n") == first
    assert fingerprint("a.csv", "text,label\nx,b\ny,a\n") != first


class Recorder(pl.LightningModule):
    """Learns nothing, and notes the rows that it is given."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.rows = []

    def training_step(self, batch, _):
        self.rows.append((self.current_epoch, batch.prediction_ids.tolist()))

    def configure_optimizers(self):
        return None


@pytest.mark.parametrize("workers", [0, 1])
def test_lightning_trains_each_epoch_in_an_order_of_its_own(build, workers):
    data = build(settings=small(), batch_size=8, workers=workers)
    data.load(["train", "validation"])
    model = Recorder()
    pl.Trainer(
        max_epochs=3, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, limit_val_batches=0,
    ).fit(model, datamodule=data)  # fmt: skip
    rows = data.splits["train"].rows
    batches = TrainBatches(rows.lengths, rows.label_counts, 8, seed=1)
    expected = []
    for epoch in range(3):
        batches.set_epoch(epoch)
        expected += [(epoch, batch.tolist()) for batch in batches.order()]
    assert model.rows == expected
    assert len({str([r for e, r in model.rows if e == epoch]) for epoch in range(3)}) == 3
