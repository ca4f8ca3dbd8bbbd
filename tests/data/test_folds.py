"""Training rows cut into folds: what must hold for any data, made-up data whose folds are known, the real files."""

import hashlib
import os

import numpy as np
import pytest
from datasets import Dataset
from sklearn.model_selection import StratifiedGroupKFold

from head2head.data.folds import Fold, assign, cut, strata
from head2head.data.groups import contained, count_shared, groups_of, linked_rows

real = pytest.mark.skipif(not os.environ.get("HEAD2HEAD_DATA"), reason="needs the real files: HEAD2HEAD_DATA")
SEEDS = range(12)


def random_groups(seed: int, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Labels of uneven frequency and groups of one to six rows, whose rows mostly have one label."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(200), rng.integers(1, 7, size=200))
    labels = rng.choice(classes, size=200, p=[0.7, 0.2, 0.1])[groups]
    mixed = rng.random(len(labels)) < 0.2
    labels[mixed] = rng.integers(classes, size=mixed.sum())
    shuffled = rng.permutation(len(groups))
    return labels[shuffled], groups[shuffled]


def pairs(seed: int, rows: int = 300) -> Dataset:
    """Pairs of which a third repeat a text of another pair, in other letters and spaces."""
    rng = np.random.default_rng(seed)
    first = [f"text {i}" for i in rng.integers(rows * 2, size=rows)]
    second = [f" TEXT  {i} " for i in rng.integers(rows * 2, size=rows)]
    return Dataset.from_dict({"text": first, "text_pair": second, "label": rng.integers(2, size=rows).tolist()})


@pytest.fixture
def rows_with_shared_texts(make_task, write):
    """A table task of 60 rows without a validation file: every text stands in it twice, once in capitals."""
    lines = [f"word{i % 30}{' ' * (i // 30)} end,{'ab'[i % 30 % 2]}\n" for i in range(60)]
    lines[30:] = [line.replace("word", "WORD") for line in lines[30:]]
    return make_task("table", train=write("own.csv", "text,label\n" + "".join(lines)))


@pytest.mark.parametrize("seed", SEEDS)
def test_no_group_is_parted_and_folds_are_of_even_size(seed):
    labels, groups = random_groups(seed)
    folds = assign(np.eye(3, dtype=int)[labels], groups, 5, 0)
    assert all(len(set(folds[groups == group])) == 1 for group in set(groups))
    sizes = np.bincount(folds, minlength=5)
    assert sizes.max() - sizes.min() <= 6  # no more than the largest group has rows


@pytest.mark.parametrize("seed", SEEDS)
def test_labels_are_spread_over_folds_at_least_as_evenly_as_by_scikit_learn(seed):
    labels, groups = random_groups(seed)
    ours = assign(np.eye(3, dtype=int)[labels], groups, 5, 0)
    theirs = np.zeros_like(ours)
    splitter = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
    for fold, (_, held) in enumerate(splitter.split(labels, labels, groups)):
        theirs[held] = fold

    def unevenness(folds: np.ndarray) -> float:
        """Largest distance of a fold's share of a label from the label's share of all rows."""
        return max(abs((labels[folds == f] == c).mean() - (labels == c).mean()) for f in range(5) for c in range(3))

    assert unevenness(ours) <= unevenness(theirs) + 0.02
    assert unevenness(ours) < 0.04


@pytest.mark.parametrize("seed", SEEDS)
def test_single_rows_are_dealt_out_exactly(seed):
    labels = np.random.default_rng(seed).choice(3, size=507, p=[0.8, 0.17, 0.03])
    folds = assign(np.eye(3, dtype=int)[labels], np.arange(507), 5, seed)
    for label in range(3):
        counts = np.bincount(folds[labels == label], minlength=5)
        assert counts.max() - counts.min() <= 1
    assert np.ptp(np.bincount(folds)) <= 1


def test_repeats_cut_otherwise_and_the_same_repeat_the_same():
    labels, groups = random_groups(0)
    counts = np.eye(3, dtype=int)[labels]
    first, again, other = (assign(counts, groups, 5, repeat) for repeat in (0, 0, 1))
    assert (first == again).all()
    assert 0.1 < (first == other).mean() < 0.4  # a fifth by chance


def test_the_folds_of_made_up_rows_are_these_on_every_machine():
    # Folds are part of a result: should this fail, results of before and after cannot stand in one table.
    rows = [(i * 7919 % 97, i * 31 % 10 // 4) for i in range(200)]
    groups, labels = np.array(rows).T
    folds = assign(np.eye(3, dtype=int)[labels], groups, 5, 3)
    assert np.bincount(folds).tolist() == [40, 41, 41, 39, 39]
    assert hashlib.sha256(bytes(folds.tolist())).hexdigest()[:16] == "cd6a1203c9ae3ff2"


@pytest.mark.parametrize("seed", SEEDS)
def test_every_row_is_held_out_once_and_trained_on_by_all_other_folds(seed, make_task):
    task = make_task("agreement", rows={"train": 60 + seed, "validation": 5})
    held = []
    for number in range(5):
        fold = task.with_fold(Fold(number, 5, seed))
        assert fold.validation_splits == ("fold", "validation")
        held.append(fold.row_numbers("fold"))
        train = fold.row_numbers("train")
        assert sorted([*held[-1], *train]) == list(range(60 + seed))
        whole = task.read("train")
        assert fold.read("fold")["text"][:] == whole.select(held[-1])["text"][:]
        assert fold.read("train")["text"][:] == whole.select(train)["text"][:]
    assert sorted(np.concatenate(held)) == list(range(60 + seed))


def test_rows_that_share_a_text_but_for_case_and_spaces_lie_in_one_fold(rows_with_shared_texts):
    for number in range(5):
        held = rows_with_shared_texts.with_fold(Fold(number)).row_numbers("fold")
        assert sorted(held % 30) == sorted([*set(held % 30)] * 2)


def test_a_text_of_either_place_of_a_pair_links_rows_and_links_lead_on():
    columns = [["a", "b", "c", "d", "", ""], ["x", "a", "b", "y", "z", "w"]]
    assert linked_rows(columns).tolist() == [0, 0, 0, 3, 4, 5]  # c-b, b-a, a-x; the empty text links nothing


@pytest.mark.parametrize("seed", SEEDS)
def test_groups_are_the_connected_components_found_by_joining_pair_after_pair(seed):
    table = pairs(seed)
    texts = [
        {first.strip().lower(), " ".join(second.split()).lower()}
        for first, second in zip(table["text"][:], table["text_pair"][:], strict=True)
    ]
    group = list(range(len(texts)))
    for i in range(len(texts)):
        for j in range(i):
            if texts[i] & texts[j]:
                low, high = sorted((group[i], group[j]))
                group = [low if g == high else g for g in group]
    assert groups_of(table).tolist() == group
    assert 1 < len(set(group)) < len(texts)


def test_sentences_belong_together_by_document_and_by_text_where_no_documents_are_marked():
    tokens = [["A", "b"], ["c"], ["a", "b"], ["d"]]
    assert groups_of(Dataset.from_dict({"tokens": tokens, "document": [3, 3, 4, 4]})).tolist() == [0, 0, 2, 2]
    assert groups_of(Dataset.from_dict({"tokens": tokens, "document": [0, 0, 0, 0]})).tolist() == [0, 1, 0, 3]


@pytest.mark.parametrize("seed", SEEDS)
def test_contained_rows_are_those_found_by_comparing_all_with_all(seed):
    rng = np.random.default_rng(seed)
    texts = [" ".join(rng.choice(list("abc"), size=rng.integers(1, 8))) for _ in range(120)] + ["ab", "b c d", "d"]
    expected = [any(a != b and f" {a} " in f" {b} " for b in texts) for a in texts]
    assert contained(texts).tolist() == expected
    assert True in expected
    assert False in expected


def test_a_part_of_a_word_and_an_equal_text_are_not_contained():
    texts = ["art of", "a part of the art", "part of", "same", "same", ""]
    assert contained(texts).tolist() == [False, False, True, False, False, False]


def test_contained_rows_are_left_out_of_folds_only_and_a_note_says_so(make_task, write):
    texts = ["a good film", "good film", "film", "so bad", "bad", "it is", "never", "Good  Film"]
    path = write("own.csv", "text,label\n" + "".join(f"{text},{i % 2}\n" for i, text in enumerate(texts)))
    task = make_task("table", train=path, validation=path, leave_out_contained=True)
    assert len(task.read("train")) == 8
    fold = task.with_fold(Fold(0, 2))
    assert sorted([*fold.row_numbers("train"), *fold.row_numbers("fold")]) == [0, 3, 5, 6]
    assert "folds: 4 of 8 training rows used, those contained in no other row" in fold.notes
    # Numbers of clusters are numbers of rows in the file, so those of different folds can stand together.
    assert sorted([*fold.clusters("train"), *fold.clusters("fold")]) == [0, 3, 5, 6]


def test_values_of_a_regression_are_spread_by_tenths():
    values = np.random.default_rng(0).gamma(2, size=1000)
    values[:300] = 0.0
    table = Dataset.from_dict({"text": [str(i) for i in range(1000)], "label": values.tolist()})
    folds = cut(table, [], Fold(0)).folds
    for fold in range(5):
        held = values[folds == fold]
        assert (held == 0).sum() == 60
        assert np.quantile(held, [0.5, 0.9]) == pytest.approx(np.quantile(values, [0.5, 0.9]), rel=0.15)


def test_a_regression_with_few_values_has_as_many_strata():
    table = Dataset.from_dict({"text": list("abcdef"), "label": [0.0, 5.0, 0.0, 5.0, 0.0, 5.0]})
    assert strata(table, [])[:, strata(table, []).any(axis=0)].tolist() == [[1, 0], [0, 1]] * 3


def test_documents_are_not_parted_and_entities_spread(make_task, write):
    rng = np.random.default_rng(0)
    lines = []
    for _ in range(40):
        lines.append("-DOCSTART- O\n")
        for _ in range(rng.integers(1, 8)):
            kind = rng.choice(["O", "B-PER", "B-LOC"])
            lines.append(f"the O\nword{rng.integers(9999)} {kind}\n")
    task = make_task("conll", train=write("own.conll", "\n".join(lines)))
    whole, held = None, []
    for number in range(5):
        fold = task.with_fold(Fold(number))
        rows, train = fold.read("fold"), fold.read("train")
        assert fold.validation_splits == ("fold",)
        assert not set(rows["document"][:]) & set(train["document"][:])
        assert len(set(fold.clusters("fold"))) == len(set(rows["document"][:]))
        held.append([sum(tags.count(n) for tags in rows["tags"][:]) for n in (1, 3)])
        whole = len(rows) + len(train) if whole is None else whole
        assert len(rows) + len(train) == whole
        assert abs(len(rows) - whole / 5) <= 2
    assert np.ptp(held, axis=0).max() <= 4


def test_folds_know_nothing_of_head_seed_or_train_rows(make_task):
    rows = {"train": 100, "validation": 5}
    for number in range(3):
        all_of_them = make_task("majority", rows=rows).with_fold(Fold(number, 3))
        forty, twenty = (
            make_task("majority", rows=rows, train_rows=count).with_fold(Fold(number, 3)) for count in (40, 20)
        )
        assert forty.read("fold")["text"][:] == all_of_them.read("fold")["text"][:]
        chosen = [set(task.row_numbers("train")) for task in (twenty, forty, all_of_them)]
        assert chosen[0] < chosen[1] < chosen[2]
        assert [len(rows) for rows in chosen[:2]] == [20, 40]


def test_train_rows_beyond_the_other_folds_are_an_error(make_task, error_of):
    fold = make_task("agreement", rows={"train": 50}, train_rows=41).with_fold(Fold(0))
    assert error_of(fold.read, "train") == "task.train_rows=41: the other folds have 40 rows; give 1 to 40"


def test_without_a_fold_nothing_changes_and_there_is_no_such_split(make_task, error_of):
    task = make_task("agreement", rows={"train": 50, "validation": 5}, train_rows=10)
    folded = task.with_fold(Fold(0))
    folded.read("fold")
    folded.note("of the fold")
    assert task.fold is None
    assert task.notes == []
    assert task.validation_splits == ("validation",)
    assert error_of(task.read, "fold") == "task agreement has no split fold; it has: train, validation"
    assert task.row_numbers("train").tolist() == sorted(np.random.default_rng(0).permutation(50)[:10])
    assert task.row_numbers("validation").tolist() == list(range(5))


def test_a_fold_of_a_fold_starts_from_all_rows(make_task):
    task = make_task("agreement", rows={"train": 50, "validation": 5})
    first = task.with_fold(Fold(0))
    first.read("train")
    second = first.with_fold(Fold(1, 4))
    assert second.row_numbers("fold").tolist() == task.with_fold(Fold(1, 4)).row_numbers("fold").tolist()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ((5, 5, 0), "fold=5: with folds=5 they are numbered 0 to 4"),
        ((-1, 5, 0), "fold=-1: a whole number, 0 or above"),
        (("a", 5, 0), "fold=a: a whole number, 0 or above"),
        ((0, 1, 0), "folds=1: a whole number, 2 or above"),
        ((0, 5, 0.5), "repeat=0.5: a whole number, 0 or above"),
    ],
)
def test_folds_that_are_not_there_are_an_error(settings, message, error_of):
    assert error_of(Fold, *settings) == message


def test_fewer_groups_than_folds_are_an_error(make_task, write, error_of):
    path = write("own.csv", "text,label\n" + "one,a\nONE,b\ntwo,a\nthree,b\nthree ,a\nfour,b\n")
    message = error_of(make_task("table", train=path).with_fold(Fold(0, 5)).read, "train")
    assert message == ("folds=5: the training rows form 4 groups only; those that share a text are not parted")
    path = write("own.conll", "-DOCSTART- O\n\na B-X\n\n-DOCSTART- O\n\nb O\n")
    message = error_of(make_task("conll", train=path).with_fold(Fold(0, 3)).read, "fold")
    assert message.endswith("2 groups only; those that share a document are not parted")


def test_labels_too_rare_for_folds_and_texts_that_hang_together_are_noted():
    table = Dataset.from_dict({"text": ["x"] * 8 + [str(i) for i in range(12)], "label": [0] * 17 + [1] * 3})
    notes = cut(table, ["often", "seldom"], Fold(0)).notes
    assert notes == [
        "folds: of uneven size: 8 of 20 rows hang together by shared texts",
        "folds: label seldom has 3 training rows, fewer than folds=5",
    ]


def test_pairs_are_not_looked_for_inside_each_other(error_of):
    message = error_of(cut, pairs(0), ["a", "b"], Fold(0), leave_out_contained=True)
    assert message == "task.leave_out_contained=true: for single texts only, not for pairs"


def test_own_data_need_no_validation_file_under_a_fold(rows_with_shared_texts, make_task, error_of):
    message = error_of(rows_with_shared_texts.read, "train")
    assert "or fold=0 in place of a validation file" in message
    fold = rows_with_shared_texts.with_fold(Fold(0))
    assert fold.validation_splits == ("fold",)
    assert list(fold.run_sources()) == ["train"]
    assert len(fold.read("fold")) == 12
    for name in ("table", "conll"):
        message = error_of(make_task(name).with_fold(Fold(0)).sources)
        assert message.startswith(f"task={name} needs task.train=FILE")
        assert "validation" not in message


def test_a_run_reads_the_training_and_the_official_validation_files_whatever_its_fold(make_task):
    task = make_task("mnli", data_dir="/data")
    expected = ["train", "validation_matched", "validation_mismatched"]
    assert list(task.run_sources()) == list(task.with_fold(Fold(1)).run_sources()) == expected
    assert task.with_fold(Fold(1)).validation_splits == ("fold", *expected[1:])


def test_rows_that_share_a_text_with_training_are_counted_and_noted_once(make_task, write):
    train = write("train.csv", "text,second,label\n" + "".join(f"t{i},u{i},{i % 2}\n" for i in range(10)))
    dev = write("dev.csv", "text,second,label\nT1,v,0\nw,t2,1\nu3,u4,1\nx,y,0\n")
    task = make_task("table", train=train, validation=dev, text_pair="second")
    assert task.shared_with_training("validation") == 3
    assert task.clusters("validation").tolist() == [0, 1, 2, 3]
    fold = task.with_fold(Fold(0))
    for _ in range(2):
        fold.read("validation")
    assert fold.notes == ["validation: 3 of 4 rows share a text with a training row"]
    assert count_shared(task.read("validation"), task.read("train")) == 3


@real
@pytest.mark.parametrize(
    ("name", "rows", "groups", "shared"),
    [("rte", 2490, 2029, 104), ("stsb", 5749, 4859, 252), ("cola", 8551, 8530, 16), ("sst2", 6885, 6885, 0)],
)
def test_real_rows_are_cut_evenly(name, rows, groups, shared, make_task):
    task = make_task(name, data_dir=os.environ["HEAD2HEAD_DATA"]).with_fold(Fold(0))
    numbers = {split: task.row_numbers(split) for split in ("train", "fold")}
    assert sum(map(len, numbers.values())) == rows
    assert abs(len(numbers["fold"]) - rows / 5) <= 1
    clusters = [set(task.clusters(split)) for split in ("train", "fold")]
    assert not clusters[0] & clusters[1]
    assert sum(map(len, clusters)) == groups
    assert task.shared_with_training("validation") == shared
