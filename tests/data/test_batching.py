"""The order of batches, how they are dealt out, and the arrays they become."""

import numpy as np
import pytest
import torch
from datasets import Dataset
from torch.utils.data import DataLoader

from head2head.data.batching import IGNORED, EvaluationBatches, Ragged, Step, TokenizedRows, TrainBatches
from head2head.data.datamodule import as_it_is

RNG = np.random.default_rng(0)
LENGTHS = RNG.integers(3, 120, size=3001)
LABELS = RNG.integers(1, 30, size=3001)


def batches(seed=0, epoch=0, size=32, lengths=LENGTHS, labels=LABELS, **deal):
    made = TrainBatches(lengths, labels, size, seed, **deal)
    made.set_epoch(epoch)
    return made


def rows_of(made):
    return [step.rows.tolist() for step in made]


def test_the_order_is_a_pure_function_of_seed_and_epoch():
    first = rows_of(batches(seed=1, epoch=2))
    torch.manual_seed(99)
    np.random.seed(99)
    assert rows_of(batches(seed=1, epoch=2)) == first
    used = batches(seed=1)
    list(used)
    used.set_epoch(2)
    assert rows_of(used) == rows_of(used) == first
    assert rows_of(batches(seed=1, epoch=3)) != first
    assert rows_of(batches(seed=2, epoch=2)) != first


def test_the_order_stays_what_it_was():
    made = batches(seed=0, size=2, lengths=np.array([5, 3, 9, 4, 7]), labels=np.ones(5, dtype=int))
    assert rows_of(made) == [[1, 0], [4, 2], [3]]
    made.set_epoch(1)
    assert rows_of(made) == [[3], [4, 2], [1, 0]]


def test_small_data_are_sorted_in_several_pools_so_that_rows_meet_others():
    lengths = np.arange(1, 129)  # all different: in one pool the same rows would meet in every epoch
    made = batches(seed=0, size=8, lengths=lengths, labels=np.ones(128, dtype=int))
    first = {frozenset(rows) for rows in rows_of(made)}
    made.set_epoch(1)
    assert len(first & {frozenset(rows) for rows in rows_of(made)}) <= 2


@pytest.mark.parametrize("count", [1, 31, 32, 33, 3001])
def test_an_epoch_has_every_row_exactly_once(count):
    made = batches(lengths=LENGTHS[:count], labels=LABELS[:count])
    found = rows_of(made)
    assert sorted(row for batch in found for row in batch) == list(range(count))
    assert len(found) == len(made) == -(-count // 32)
    assert sorted(map(len, found))[1:] == [32] * (len(found) - 1)


def test_batches_are_padded_little():
    def padded(order):
        return sum(len(batch) * LENGTHS[batch].max() for batch in order)

    shuffled = RNG.permutation(len(LENGTHS))
    plain = [shuffled[i : i + 32] for i in range(0, len(shuffled), 32)]
    assert padded(batches().order()) < 1.06 * LENGTHS.sum()
    assert padded(plain) > 1.5 * LENGTHS.sum()


def test_short_batches_do_not_come_first():
    means = [LENGTHS[batch].mean() for batch in batches().order()]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.3


def test_a_row_meets_other_rows_in_another_epoch():
    mates = [next(set(b) for b in rows_of(batches(epoch=epoch)) if 7 in b) for epoch in range(2)]
    assert len(mates[0] & mates[1]) < 16


@pytest.mark.parametrize(("world", "accumulate"), [(1, 1), (2, 1), (1, 4), (3, 2), (8, 8)])
def test_ranks_and_micro_batches_partition_each_batch(world, accumulate):
    whole = list(batches())
    shares = [list(batches(rank=rank, world_size=world, accumulate=accumulate)) for rank in range(world)]
    for share in shares:
        made = batches(world_size=world, accumulate=accumulate)
        assert len(share) == len(made) == len(whole) * accumulate
    for i, step in enumerate(whole):
        parts = [share[i * accumulate + micro] for share in shares for micro in range(accumulate)]
        assert sorted(row for part in parts for row in part.rows) == sorted(step.rows)
        sizes = [len(part.rows) for part in parts]
        assert max(sizes) - min(sizes) <= 1
        assert {part.labels_in_step for part in parts} == {LABELS[step.rows].sum()}


@pytest.mark.parametrize("tokens", [1, 100, 500, 8192])
@pytest.mark.parametrize("world", [1, 3])
def test_evaluation_has_every_row_once_within_the_budget(tokens, world):
    made = [EvaluationBatches(LENGTHS, tokens, rank, world) for rank in range(world)]
    found = [step.rows for part in made for step in part]
    assert sorted(row for rows in found for row in rows) == list(range(len(LENGTHS)))
    assert sum(map(len, made)) == len(found)
    for rows in found:
        assert len(rows) * LENGTHS[rows].max() <= tokens or len(rows) == 1


def test_evaluation_fills_the_budget_longest_first():
    (first, *_, last) = [step.rows for step in EvaluationBatches(LENGTHS, 8192)]
    assert LENGTHS[first].min() >= LENGTHS[last].max()
    assert (len(first) + 1) * LENGTHS[first].max() > 8192
    padding = sum(len(s.rows) * LENGTHS[s.rows].max() for s in EvaluationBatches(LENGTHS, 8192)) / LENGTHS.sum()
    assert padding < 1.06


def test_evaluation_of_nothing_is_nothing():
    assert list(EvaluationBatches(np.zeros(0, dtype=int), 100)) == []


SENTENCES = Dataset.from_dict(
    {
        "input_ids": [[2, 5, 3], [2, 6, 7, 8, 3], [2, 3]],
        "token_type_ids": [[0, 0, 0], [0, 0, 1, 1, 1], [0, 0]],
        "special_tokens_mask": [[1, 0, 1], [1, 0, 0, 0, 1], [1, 1]],
        "words_lost": [0, 4, 0],
        "label": [1, 0, 1],
    }
)
WINDOWS = Dataset.from_dict(
    {
        "input_ids": [[2, 5, 6, 7, 3], [2, 8, 3]],
        "token_type_ids": [[0] * 5, [0] * 3],
        "special_tokens_mask": [[1, 0, 0, 0, 1], [1, 0, 1]],
        "words_lost": [0, 0],
        "starts": [[1, 3], [1]],
        "ends": [[3, 4], [2]],
        "units": [[0, -1], [3]],
        "labels": [[4, -100], [2]],
    }
)


def plain(batch):
    found = {name: value for name, value in vars(batch).items() if value is not None}
    return {name: value.tolist() if isinstance(value, torch.Tensor) else value for name, value in found.items()}


def test_a_batch_of_sentences_is_padded_on_the_right():
    rows = TokenizedRows(SENTENCES, "sentence", pad=9)
    assert plain(rows.__getitems__(Step(np.array([1, 0]), 7))) == {
        "input_ids": [[2, 6, 7, 8, 3], [2, 5, 3, 9, 9]],
        "attention_mask": [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]],
        "token_type_ids": [[0, 0, 1, 1, 1], [0, 0, 0, 0, 0]],
        "special_tokens_mask": [[1, 0, 0, 0, 1], [1, 0, 1, 1, 1]],
        "prediction_ids": [1, 0],
        "labels": [0, 1],
        "labels_in_step": 7,
        "tokens": 0,
    }
    assert rows.lengths.tolist() == [3, 5, 2]
    assert rows.label_counts.tolist() == [1, 1, 1]
    assert rows.words_lost.tolist() == [0, 4, 0]
    assert len(rows) == 3


def test_a_batch_of_windows_has_its_words_and_their_pieces():
    rows = TokenizedRows(WINDOWS, "token", pad=0)
    assert plain(rows.__getitems__(Step(np.array([1, 0]), 2))) == {
        "input_ids": [[2, 8, 3, 0, 0], [2, 5, 6, 7, 3]],
        "attention_mask": [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]],
        "token_type_ids": [[0] * 5, [0] * 5],
        "special_tokens_mask": [[1, 0, 1, 1, 1], [1, 0, 0, 0, 1]],
        "words": [[[1, 2], [0, 0]], [[1, 3], [3, 4]]],
        "prediction_ids": [[3, -1], [0, -1]],
        "labels": [[2, IGNORED], [4, IGNORED]],
        "labels_in_step": 2,
        "tokens": 0,
    }
    assert rows.label_counts.tolist() == [1, 1]


@pytest.mark.parametrize(("dataset", "kind"), [(SENTENCES, "sentence"), (WINDOWS, "token")])
def test_an_empty_share_is_one_row_without_labels(dataset, kind):
    batch = TokenizedRows(dataset, kind, pad=0).__getitems__(Step(np.array([], dtype=np.int64), 5))
    assert len(batch.input_ids) == 1
    assert batch.attention_mask.sum() > 0
    assert (batch.labels == IGNORED).all()
    assert batch.labels_in_step == 5


def test_float_labels_stay_floats():
    scores = SENTENCES.remove_columns("label").add_column("label", [1.5, 0.0, 5.0])
    rows = TokenizedRows(scores, "sentence", pad=0)
    assert rows.__getitems__(Step(np.array([2, 0]), 2)).labels.tolist() == [5.0, 1.5]
    assert rows.__getitems__(Step(np.array([], dtype=int), 2)).labels.isnan().all()  # -100 is a value like others


@pytest.mark.parametrize(("dataset", "kind"), [(SENTENCES, "sentence"), (WINDOWS, "token")])
def test_without_labels_a_batch_has_none(dataset, kind):
    bare = dataset.remove_columns([name for name in ("label", "labels") if name in dataset.column_names])
    assert TokenizedRows(bare, kind, pad=0).__getitems__(Step(np.array([0]), 0)).labels is None


def test_ragged_columns_follow_a_selection_of_rows():
    dataset = Dataset.from_dict({"x": [[1], [], [2, 3], [4, 5, 6]]})
    ragged = Ragged.of(dataset.select([3, 1, 2]), "x")
    assert ragged.lengths.tolist() == [3, 0, 2]
    assert ragged.padded(np.array([2, 1, 0]), -1).tolist() == [[2, 3, -1], [-1, -1, -1], [4, 5, 6]]
    assert Ragged.of(dataset.skip(2), "x").padded(np.array([1]), 0).tolist() == [[4, 5, 6]]
    assert ragged.padded(np.array([], dtype=int), 0).shape == (0, 0)


def test_torchs_loader_hands_out_whole_batches():
    rows = TokenizedRows(SENTENCES, "sentence", pad=0)
    made = TrainBatches(rows.lengths, rows.label_counts, 2, seed=0, accumulate=2)
    found = list(DataLoader(rows, batch_sampler=made, collate_fn=as_it_is))
    assert [batch.prediction_ids.tolist() for batch in found if (batch.labels != IGNORED).any()] == [
        step.rows.tolist() for step in made if len(step.rows)
    ]
    assert [batch.labels_in_step for batch in found] == [step.labels_in_step for step in made]
