"""What runs get wrong, by hand-made cases and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax as scipy_softmax
from sklearn.metrics import confusion_matrix

from head2head.data.entities import Spans, parse_tag, sentence_starts, spans
from head2head.report.mistakes import (
    FIRST,
    NEITHER,
    SECOND,
    confident_mistakes,
    confusion,
    disagreement,
    entity_errors,
    kind_counts,
    largest_errors,
    sentences_differ,
    softmax,
    surfaces,
    type_confusion,
    written_out,
)

TYPES = ["LOC", "PER"]


def entities(text: str, lengths: list[int] | None = None) -> Spans:
    """`B-PER I-PER O`: the entities of those tags, by the rules of conlleval."""
    parsed = [parse_tag(tag) for tag in text.split()]
    types = np.array([TYPES.index(name) if name else -1 for _, name in parsed])
    return spans(np.array([prefix for prefix, _ in parsed]), types, sentence_starts(lengths or [len(parsed)]))


@pytest.mark.parametrize("classes", [2, 5])
def test_the_confusion_matrix_is_that_of_scikit_learn(classes):
    rng = np.random.default_rng(0)
    gold, predicted = rng.integers(0, classes, 200), rng.integers(0, classes - 1, 200)  # the last is never predicted
    expected = confusion_matrix(gold, predicted, labels=range(classes))
    assert confusion(gold, predicted, classes).tolist() == expected.tolist()


def test_probabilities_are_those_of_scipy_also_for_large_logits():
    logits = np.array([[1000.0, 1001.0], [-3.0, 2.0]])
    assert softmax(logits) == pytest.approx(scipy_softmax(logits, axis=1))


def test_the_most_confident_mistake_comes_first_and_no_right_answer_is_among_them():
    gold, predicted = np.array([0, 1, 1, 0, 1]), np.array([0, 0, 0, 1, 0])
    confidence = np.array([0.99, 0.6, 0.9, 0.7, 0.9])
    assert confident_mistakes(gold, predicted, confidence, 3).tolist() == [2, 4, 3]


def test_the_value_furthest_off_comes_first():
    assert largest_errors(np.array([1.0, 2.0, 5.0]), np.array([1.5, 4.0, 2.0]), 2).tolist() == [2, 1]


@pytest.mark.parametrize(
    ("gold", "predicted", "kind"),
    [
        ("O B-PER I-PER O", "O B-PER I-PER O", "correct"),
        ("O B-PER I-PER O", "O I-PER I-PER O", "correct"),  # an I- after O opens an entity
        ("O B-PER I-PER O", "O B-LOC I-LOC O", "type"),
        ("O B-PER I-PER O", "O B-PER O O", "boundary"),
        ("O B-PER I-PER O", "B-PER I-PER I-PER O", "boundary"),
        ("O B-PER I-PER O", "O B-PER B-PER O", "boundary"),  # split in two
        ("O B-PER I-PER O", "O O B-LOC I-LOC", "boundary and type"),
        ("O B-PER I-PER O", "O B-LOC B-PER O", "boundary"),  # of two that touch it, the one of its type is meant
        ("O B-PER I-PER O", "B-PER O O B-PER", "missed"),
        ("O B-PER I-PER O", "O O O O", "missed"),
    ],
)
def test_an_entity_is_right_or_wrong_in_one_way(gold, predicted, kind):
    assert entity_errors(entities(gold), entities(predicted)).kinds.tolist() == [kind]


def test_what_touches_no_gold_entity_is_spurious():
    gold, predicted = entities("B-PER O O B-LOC O"), entities("B-PER O B-PER B-LOC B-LOC")
    errors = entity_errors(gold, predicted)
    assert errors.kinds.tolist() == ["correct", "correct"]
    assert errors.spurious.tolist() == [1, 3]
    assert kind_counts(errors) == {
        "correct": 2, "type": 0, "boundary": 0, "boundary and type": 0, "missed": 0, "spurious": 2,
    }  # fmt: skip


def test_entities_of_neighbouring_sentences_do_not_touch():
    lengths = [2, 2]
    gold, predicted = entities("O B-PER I-PER O", lengths), entities("O B-PER O O", lengths)
    assert entity_errors(gold, predicted).kinds.tolist() == ["correct", "missed"]  # a sentence ends between them


def test_one_prediction_over_two_entities_is_wrong_for_both():
    errors = entity_errors(entities("B-PER B-PER O"), entities("B-PER I-PER O"))
    assert errors.kinds.tolist() == ["boundary", "boundary"]
    assert errors.nearest.tolist() == [0, 0]


def test_every_gold_entity_has_one_kind_on_random_tags():
    rng = np.random.default_rng(0)
    tags = np.array(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"])
    for _ in range(200):
        gold, predicted = (entities(" ".join(rng.choice(tags, 12))) for _ in range(2))
        errors = entity_errors(gold, predicted)
        counts = kind_counts(errors)
        assert sum(counts.values()) - counts["spurious"] == len(gold.start)
        same = set(zip(*map(np.ndarray.tolist, (gold.start, gold.end, gold.type)), strict=True)) & set(
            zip(*map(np.ndarray.tolist, (predicted.start, predicted.end, predicted.type)), strict=True)
        )
        assert counts["correct"] == len(same)
        covered = {w for a, b in zip(gold.start, gold.end, strict=True) for w in range(a, b + 1)}
        alone = [
            i for i, (a, b) in enumerate(zip(predicted.start, predicted.end, strict=True))
            if not covered & set(range(a, b + 1))
        ]  # fmt: skip
        assert errors.spurious.tolist() == alone
        table = type_confusion(gold, predicted, errors, len(TYPES))
        assert table[:-1].sum() == len(gold.start)
        assert table[-1].sum() == counts["spurious"]
        assert table[:, -1].sum() == counts["missed"]


def test_kinds_are_counted_among_some_entities_alone():
    errors = entity_errors(entities("B-PER O B-LOC O B-PER"), entities("B-PER O B-PER O O"))
    seen = np.array([True, True, False])
    assert kind_counts(errors, seen) == {"correct": 1, "type": 1, "boundary": 0, "boundary and type": 0, "missed": 0}
    assert kind_counts(errors, ~seen)["missed"] == 1


def test_tags_that_spell_the_same_entities_are_equal_when_written_out():
    first, second = entities("O I-PER I-PER B-LOC"), entities("O B-PER I-PER I-LOC")
    assert written_out(first, 4).tolist() == written_out(second, 4).tolist() == [0, 3, 4, 1]


def test_an_entitys_surface_is_its_words():
    assert surfaces(entities("B-PER I-PER O B-LOC"), ["Anna", "Karenina", "in", "Moscow"]) == [
        "Anna Karenina",
        "Moscow",
    ]


def test_nothing_at_all_has_no_errors():
    nothing = entities("O O")
    errors = entity_errors(nothing, nothing)
    assert (errors.kinds.tolist(), errors.spurious.tolist()) == ([], [])
    assert type_confusion(nothing, nothing, errors, 2).sum() == 0


def test_two_runs_are_sorted_by_who_is_right_where_they_differ():
    gold = np.array([0, 1, 2, 2, 0, 1])
    first, second = np.array([0, 1, 0, 2, 1, 0]), np.array([0, 0, 1, 2, 0, 0])
    found = disagreement(first == gold, second == gold, first != second)
    assert found.numbers.tolist() == [1, 2, 4]
    assert found.groups.tolist() == [FIRST, NEITHER, SECOND]
    assert found.counts == {FIRST: 1, SECOND: 1, NEITHER: 1}
    assert (found.both_right, found.both_wrong) == (2, 1)


def test_a_sentence_differs_where_one_of_its_words_does():
    first, second = np.array([0, 0, 1, 1, 0]), np.array([0, 0, 1, 0, 0])
    assert sentences_differ(first, second, np.array([2, 0, 2, 1])).tolist() == [False, False, True, False]
