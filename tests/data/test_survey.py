"""What is said of a run's data before it is believed."""

import pytest
from datasets import Dataset

from head2head.data.datamodule import DataModule
from head2head.data.survey import findings, survey
from head2head.data.vocabulary import built_in_tokenizer

NOTHING = {"examples": 0, "words": 0}
LABELS = ["no", "yes"]


def lines(train, validation, labels=LABELS, truncated=NOTHING):
    splits = {"train": train, "validation": validation}
    found = {name: survey(Dataset.from_dict(rows), labels, truncated) for name, rows in splits.items()}
    return findings(found, 128)


CLEAN = {"text": ["a", "b", "c", "d"], "label": [0, 1, 0, 1]}


def test_of_clean_data_nothing_is_said():
    assert lines(CLEAN, {"text": ["e", "f"], "label": [0, 1]}) == []


def test_texts_in_training_and_validation_are_counted_exactly_and_folded():
    found = lines(CLEAN, {"text": ["a", "A ", "e", " b", "b"], "label": [0, 1, 0, 0, 1]})
    assert found == [
        "validation: 2 of 5 rows have a text that stands in train, too, 2 more but for case and white space"
    ]
    assert lines(CLEAN, {"text": ["a"], "label": [0]}) == [
        "validation: 1 of 1 rows have a text that stands in train, too"
    ]


def test_a_pair_is_the_same_where_both_texts_are():
    train = {"text": ["a", "b", "c", "d"], "text_pair": ["x", "y", "z", "w"], "label": [0, 1, 0, 1]}
    assert lines(train, {"text": ["a", "x"], "text_pair": ["y", "a"], "label": [0, 1]}) == []
    assert "1 of 1 rows" in lines(train, {"text": ["a"], "text_pair": ["x"], "label": [0]})[0]


def test_one_text_with_several_labels_is_a_contradiction():
    train = {"text": ["a", "A", "a", "b", "b", "c"], "label": [0, 1, 0, 1, 1, 0]}
    assert lines(train, {"text": ["e"], "label": [0]}) == [
        "train: 1 texts have different labels in different rows (3 rows)"
    ]


def test_values_and_tags_contradict_each_other_as_labels_do():
    values = {"text": ["a", "a", "b", "b"], "label": [0.5, 1.5, 2.0, 2.0]}
    assert "1 texts have different labels" in lines(values, {"text": ["e"], "label": [0.0]}, labels=[])[0]
    tags = {"tokens": [["Ann", "is"], ["ann", "is"], ["Bo"], ["Bo"]], "tags": [[1, 0], [0, 0], [1], [1]]}
    rows = tags | {"document": [0, 0, 0, 0]}
    validation = {"tokens": [["Bo"], ["Ann"]], "tags": [[1], [1]], "document": [0, 0]}
    assert lines(rows, validation, labels=["O", "B-PER", "I-PER"]) == [
        "validation: 1 of 2 rows have a text that stands in train, too",
        "train: 1 texts have different labels in different rows (2 rows)",
    ]


def test_empty_texts_are_counted():
    train = {"text": ["a", "", " \t", "b"], "label": [0, 1, 1, 0]}
    assert lines(train, {"text": ["e"], "label": [0]}) == ["train: 2 of 4 rows have an empty text"]


def test_labels_with_next_to_no_example_are_named():
    train = {"text": ["a", "b", "c"], "label": [0, 0, 1]}
    found = lines(train, {"text": ["e"], "label": [0]}, labels=["no", "yes", "never", "ever"])
    assert found == ["train: no example of never, ever", "train: one example only of yes"]
    tags = {"tokens": [["Ann"], ["Bo"], ["Oslo"]], "tags": [[1], [1], [3]], "document": [0, 0, 0]}
    labels = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    assert lines(tags, {"tokens": [["x"]], "tags": [[0]], "document": [0]}, labels) == [
        "train: one example only of LOC"
    ]


def test_the_share_of_words_that_are_cut_off_is_said(make_task, write, tmp_path):
    long = " ".join(["good"] * 40)
    train = write("train.csv", f"text,label\n{long},yes\nbad film,no\nno,no\nfine,yes\n")
    validation = write("dev.csv", "text,label\nthe film,yes\n")
    task = make_task("table", train=train, validation=validation, max_length=12)
    data = DataModule(task, built_in_tokenizer(), seed=0, cache_dir=tmp_path)
    data.load(["train", "validation"])
    assert data.splits["train"].truncated == {"examples": 1, "words": 37}
    assert data.warnings == ["train: about 84.1 % of the words are cut off at task.max_length=12, in 1 of 4 rows"]


@pytest.mark.parametrize("names", [["validation"], ["test"]])
def test_without_training_rows_nothing_is_said(make_task, write, tmp_path, names):
    path = write("train.csv", "text,label\n,yes\nbad,no\n")
    data = DataModule(
        make_task("table", train=path, validation=path, test=path), built_in_tokenizer(), seed=0, cache_dir=tmp_path
    )
    data.load(names)
    assert data.warnings == []
