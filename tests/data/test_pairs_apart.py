"""Pairs whose texts are read apart: each text as if it stood alone, and batches of whole pairs."""

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from datasets import Dataset

from head2head.data.batching import IGNORED, EvaluationBatches, Step, TokenizedRows, TrainBatches
from head2head.data.datamodule import DataModule
from head2head.data.tokenization import tokenize
from head2head.data.vocabulary import built_in_tokenizer

PAIRS = {
    "text": ["the keys", "the key near the cabinets is here", "", "the " * 30],
    "text_pair": ["the door of the house is open", "keys", "a door", "the key"],
    "label": [0, 1, 1, 0],
}
COLUMNS = ("input_ids", "token_type_ids", "special_tokens_mask")
MAX_LENGTH = 16


@pytest.fixture
def rows(tmp_path):
    tokenizer = built_in_tokenizer()
    table = tokenize(Dataset.from_dict(PAIRS), "sentence", tokenizer, MAX_LENGTH, tmp_path, "made-up", apart=True)
    return TokenizedRows(table, "sentence", tokenizer.pad_token_id, texts=2)


@pytest.fixture
def many():
    """400 pairs of texts of 3 to 60 word pieces."""
    rng = np.random.default_rng(0)
    ids = [[0] * int(n) for n in rng.integers(3, 61, size=800)]
    columns = dict.fromkeys(COLUMNS, ids) | {"words_lost": [0] * 800, "label": [0.0] * 800}
    return TokenizedRows(Dataset.from_dict(columns), "sentence", pad=0, texts=2)


def test_each_text_is_tokenized_and_cut_as_if_it_stood_alone(rows):
    batch = rows.__getitems__(Step(np.arange(4), 4))
    expected = built_in_tokenizer()(
        [*PAIRS["text"], *PAIRS["text_pair"]], truncation=True, max_length=MAX_LENGTH, padding=True,
        return_special_tokens_mask=True, return_tensors="pt",
    )  # fmt: skip
    for name in (*COLUMNS, "attention_mask"):
        assert torch.equal(getattr(batch, name), expected[name]), name
    assert batch.labels.tolist() == PAIRS["label"]
    assert batch.prediction_ids.tolist() == [0, 1, 2, 3]


def test_a_batch_holds_first_texts_and_then_second_ones_in_the_order_of_its_rows(rows):
    batch = rows.__getitems__(Step(np.array([2, 1]), 2))
    words = built_in_tokenizer().batch_decode(batch.input_ids, skip_special_tokens=True)
    assert words == ["", PAIRS["text"][1], PAIRS["text_pair"][2], PAIRS["text_pair"][1]]
    assert batch.labels.tolist() == [1, 1]
    assert batch.prediction_ids.tolist() == [2, 1]


def test_words_lost_and_word_pieces_are_counted_by_pair(rows):
    tokenizer = built_in_tokenizer()
    texts = [*PAIRS["text"], *PAIRS["text_pair"]]
    lengths = [min(len(tokenizer(text).input_ids), MAX_LENGTH) for text in texts]
    assert rows.pieces.tolist() == [lengths[i] + lengths[4 + i] for i in range(4)]
    assert rows.words_lost.tolist() == [0, 0, 0, 30 - (MAX_LENGTH - 2)]
    assert len(rows) == 4


def test_an_empty_share_is_one_pair_without_a_label(rows):
    batch = rows.__getitems__(Step(np.array([], dtype=np.int64), 5))
    assert batch.input_ids.shape[0] == 2
    assert batch.labels.tolist() == [IGNORED]


def test_every_text_is_a_row_of_its_own_under_its_number(rows):
    single = rows.each_text()
    assert len(single) == 8
    step = np.array([1, 3])
    whole, alone = rows.__getitems__(Step(step, 2)), single.__getitems__(Step(rows.sequences(step), 4))
    assert torch.equal(whole.input_ids, alone.input_ids)
    assert alone.labels is None
    assert single.lengths.tolist() == single.pieces.tolist() == rows.input_ids.lengths.tolist()


@pytest.mark.parametrize("tokens", [64, 1000, 8192])
def test_evaluation_tokens_bound_a_batch_of_pairs_with_its_padding(many, tokens):
    batches = [many.__getitems__(step) for step in EvaluationBatches(many.lengths, tokens)]
    assert sorted(torch.cat([batch.prediction_ids for batch in batches]).tolist()) == list(range(400))
    assert max(batch.input_ids.numel() for batch in batches if len(batch.prediction_ids) > 1) <= tokens


def test_pairs_are_padded_little_more_than_their_own_unequal_lengths_demand(many):
    batches = TrainBatches(many.lengths, many.label_counts, 16, seed=0, pieces=many.pieces)
    least = many.lengths.sum()
    taken = sum(many.__getitems__(step).input_ids.numel() for step in batches)
    shuffled = np.random.default_rng(0).permutation(400).reshape(-1, 16)
    plain = sum(many.__getitems__(Step(rows, 16)).input_ids.numel() for rows in shuffled)
    assert taken - least < 0.5 * (plain - least)
    assert sum(step.tokens for step in batches) == many.pieces.sum()


def stsb(make_task, write, **settings):
    for split in ("train", "dev"):
        cells = [f"{i}\tthe key {i}\tthe door of the house\t{i / 4}" for i in range(20)]
        write(f"glue/STS-B/{split}.tsv", "\n".join(["index\tsentence1\tsentence2\tscore", *cells]))
    return make_task("stsb", pairs="apart", **settings)


def test_the_order_of_batches_is_a_pure_function_of_seed_and_epoch(make_task, write, tmp_path):
    def orders(seed):
        data = DataModule(task, built_in_tokenizer(), seed, batch_size=4, cache_dir=tmp_path / "cache")
        data.trainer = pl.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
        data.load(["train"])
        found = []
        for epoch in range(2):
            loader = data.train_dataloader()
            loader.batch_sampler.set_epoch(epoch)
            found.append([batch.prediction_ids.tolist() for batch in loader])
        return found

    task = stsb(make_task, write, data_dir=tmp_path)
    first = orders(0)
    assert orders(0) == first
    assert first[0] != first[1]
    assert orders(1) != first


def test_the_two_ways_to_read_pairs_have_caches_of_their_own(make_task, write, tmp_path):
    apart = stsb(make_task, write, data_dir=tmp_path)
    together = make_task("stsb", data_dir=tmp_path)
    found = []
    for task in (apart, together):
        data = DataModule(task, built_in_tokenizer(), 0, cache_dir=tmp_path / "cache")
        data.load(["validation"])
        found.append(data.splits["validation"])
    assert len({split.tokenized for split in found}) == 2
    assert [split.num_predictions for split in found] == [20, 20]
    assert found[0].fingerprint == found[1].fingerprint


@pytest.mark.parametrize("name", ["cola", "sst2"])
def test_single_texts_cannot_be_read_apart(make_task, error_of, name):
    message = error_of(make_task, name, pairs="apart")
    assert message.startswith(f"task.pairs=apart: task {name} has single texts")


def test_own_files_are_pairs_where_a_second_column_is_named(make_task, write, error_of):
    file = write("train.csv", "a,b,label\nx,y,yes\nz,w,no\n")
    settings = {"train": file, "validation": file, "text": "a", "pairs": "apart"}
    assert "task.text_pair=COLUMN" in error_of(make_task, "table", **settings)
    assert make_task("table", text_pair="b", **settings).apart


def test_there_are_two_ways_to_read_pairs(make_task, error_of):
    assert error_of(make_task, "rte", pairs="both") == "task.pairs=both: choose from: together, apart"
