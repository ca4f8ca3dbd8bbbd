"""The generated tasks: same data for everyone, and the property that each is built on."""

import itertools
from collections import Counter, defaultdict

import numpy as np
import pytest

from head2head.data import lexicon
from head2head.data.diagnostics import drawn

NAMES = ["needle", "majority", "agreement", "entities"]


@pytest.fixture(scope="module")
def tables(make_task):
    """(task name, split) -> its rows, with the project's own settings."""
    return {(name, split): make_task(name).read(split).to_list() for name in NAMES for split in ("train", "validation")}


@pytest.mark.parametrize("name", NAMES)
def test_the_data_depend_on_the_data_seed_alone(name, make_task, tables):
    np.random.seed(99)
    assert make_task(name).read("validation").to_list() == tables[name, "validation"]
    assert make_task(name, data_seed=1).read("validation").to_list() != tables[name, "validation"]


def test_a_word_is_drawn_as_numpy_chooses_it():
    ours, numpys = np.random.default_rng(3), np.random.default_rng(3)
    words = [*lexicon.ADJECTIVES, *lexicon.FILLER]
    assert [drawn(ours, words) for _ in range(100)] == [str(numpys.choice(words)) for _ in range(100)]
    assert ours.bit_generator.state == numpys.bit_generator.state


@pytest.mark.parametrize("name", NAMES)
def test_neither_file_nor_network_is_touched(name, make_task, hub, monkeypatch, tmp_path):
    asked = hub(RuntimeError())
    monkeypatch.chdir(tmp_path)
    task = make_task(name, rows={"train": 4, "validation": 3, "test": 2})
    assert [len(task.read(split)) for split in ("train", "validation", "test")] == list(task.rows.values())
    assert asked == list(tmp_path.iterdir()) == []
    assert all(isinstance(source, str) for source in task.sources().values())


@pytest.mark.parametrize("name", NAMES)
def test_training_and_validation_are_different_draws(name, tables):
    train, validation = (
        [str(row.get("text", row.get("tokens"))) for row in tables[name, s]] for s in ("train", "validation")
    )
    assert train[: len(validation)] != validation
    seen = sum(text in set(train) for text in validation) / len(validation)
    assert seen < 0.4


@pytest.mark.parametrize("name", ["needle", "majority", "agreement"])
def test_labels_are_balanced(name, make_task, tables):
    for split in ("train", "validation"):
        counts = Counter(row["label"] for row in tables[name, split])
        assert counts[0] == counts[1]
    assert len(make_task(name).labels) == 2


def test_the_needle_is_there_exactly_when_the_label_says_so(tables):
    for split in ("train", "validation"):
        for row in tables["needle", split]:
            assert row["text"].split().count(lexicon.NEEDLE) == row["label"]
    assert lexicon.NEEDLE not in lexicon.FILLER


def test_needle_texts_are_short_in_training_and_long_in_validation_for_both_labels(tables):
    for split, mean in (("train", 20), ("validation", 200)):
        for label in (0, 1):
            lengths = [len(row["text"].split()) for row in tables["needle", split] if row["label"] == label]
            assert sum(lengths) / len(lengths) == pytest.approx(mean, rel=0.05)
            assert mean * 0.75 <= min(lengths) <= max(lengths) <= mean * 1.25


def test_the_needle_stands_anywhere(tables):
    places = [
        row["text"].split().index(lexicon.NEEDLE) / len(row["text"].split())
        for row in tables["needle", "validation"]
        if row["label"]
    ]
    assert all(any(i / 10 <= place < (i + 1) / 10 for place in places) for i in range(10))


def test_the_label_of_majority_is_the_more_frequent_class_and_both_occur(tables):
    for split in ("train", "validation"):
        for row in tables["majority", split]:
            words = row["text"].split()
            fruits, tools = (sum(word in group for word in words) for group in (lexicon.FRUITS, lexicon.TOOLS))
            assert fruits + tools == len(words)
            assert min(fruits, tools) > 0
            assert row["label"] == int(tools > fruits)


def test_agreement_has_as_many_singular_as_plural_nouns(tables):
    for row in tables["agreement", "train"] + tables["agreement", "validation"]:
        words = row["text"].split()
        assert sum(w in lexicon.SINGULAR for w in words) == sum(w in lexicon.PLURAL for w in words) > 0


def test_the_label_of_agreement_is_whether_verb_and_subject_agree(tables):
    for row in tables["agreement", "train"] + tables["agreement", "validation"]:
        words = row["text"].split()
        subject = next(w for w in words if w in lexicon.SINGULAR or w in lexicon.PLURAL)
        verb = [w for w in words if w in lexicon.SINGULAR_VERBS or w in lexicon.PLURAL_VERBS][-1]
        assert row["label"] == int((subject in lexicon.PLURAL) == (verb in lexicon.PLURAL_VERBS))


def test_no_word_of_agreement_gives_its_label_away(tables):
    rows = tables["agreement", "train"]
    present, acceptable = Counter(), Counter()
    for row in rows:
        for word in set(row["text"].split()):
            present[word] += 1
            acceptable[word] += row["label"]
    for word, count in present.items():
        spread = (0.25 / count) ** 0.5
        assert acceptable[word] / count == pytest.approx(0.5, abs=4.5 * spread), word


def test_a_bag_of_words_is_at_chance_on_agreement(tables):
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    train, validation = tables["agreement", "train"], tables["agreement", "validation"]
    bag = CountVectorizer()
    model = LogisticRegression(C=0.01).fit(bag.fit_transform([r["text"] for r in train]), [r["label"] for r in train])
    accuracy = model.score(bag.transform([r["text"] for r in validation]), [r["label"] for r in validation])
    assert accuracy == pytest.approx(0.5, abs=0.1)


def test_tags_of_entities_are_on_the_names_and_nowhere_else(make_task, tables):
    labels = make_task("entities").labels
    for split in ("train", "validation"):
        for row in tables["entities", split]:
            assert len(row["tokens"]) == len(row["tags"])
            previous = "O"
            for token, number in zip(row["tokens"], row["tags"], strict=True):
                tag = labels[number]
                group = {"B": lexicon.FIRST_NAMES, "I": lexicon.LAST_NAMES}.get(tag[0])
                if group is None:
                    assert token not in {*lexicon.FIRST_NAMES, *lexicon.LAST_NAMES}
                else:
                    assert token in group
                if tag[0] == "I":
                    assert previous == f"B-{tag[2:]}"
                previous = tag


def test_the_same_name_occurs_with_every_type(make_task, tables):
    labels = make_task("entities").labels
    types = defaultdict(set)
    for row in tables["entities", "train"]:
        for token, number in zip(row["tokens"], row["tags"], strict=True):
            if number:
                types[token].add(labels[number][2:])
    assert set(types) == {*lexicon.FIRST_NAMES, *lexicon.LAST_NAMES}
    assert all(found == {"PER", "LOC", "ORG"} for found in types.values())


def test_sizes_are_set_by_the_user_and_none_is_an_error(make_task, error_of):
    task = make_task("agreement", rows={"train": 3, "validation": 0})
    assert len(task.read("train")) == 3
    assert error_of(task.read, "validation") == "generated:agreement/validation: no examples"


@pytest.mark.parametrize("name", ["agreement", "entities"])
def test_train_rows_are_a_fixed_choice_and_smaller_ones_are_part_of_larger_ones(name, make_task):
    def read(count):
        task = make_task(name, rows={"train": 300, "validation": 1}, train_rows=count)
        return [str(row) for row in task.read("train").to_list()]

    texts = read(None)
    chosen = {count: read(count) for count in (1, 10, 100, 300)}
    for smaller, larger in itertools.pairwise(chosen):
        assert len(chosen[smaller]) == smaller
        assert not Counter(chosen[smaller]) - Counter(chosen[larger])
    assert chosen[300] == texts
    assert read(10) == chosen[10]
    assert chosen[10] != texts[:10]


def test_train_rows_leave_validation_whole(make_task, tables):
    rows = make_task("agreement", train_rows=5).read("validation")
    assert rows.to_list() == tables["agreement", "validation"]


@pytest.mark.parametrize("count", [0, -1])
def test_train_rows_below_one_are_an_error(make_task, error_of, count):
    message = error_of(make_task, "agreement", train_rows=count)
    assert message == f"task.train_rows={count}: a whole number, 1 or above"


def test_more_train_rows_than_there_are_is_an_error(make_task, error_of):
    task = make_task("agreement", rows={"train": 20, "validation": 1}, train_rows=21)
    assert error_of(task.read, "train") == "task.train_rows=21: the training split has 20 rows; give 1 to 20"
