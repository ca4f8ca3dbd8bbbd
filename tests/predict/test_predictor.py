"""What a finished run computes for examples: as evaluate does, and one window after another."""

from itertools import count, islice
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from head2head.cli.evaluate import evaluate
from head2head.predict import predictor
from head2head.predict.examples import Example, of_file
from head2head.predict.predictions import softmax
from head2head.predict.predictor import Predictor, windows
from head2head.run.load import load_run

KINDS = ("texts", "pairs", "values", "words", "joint")


def dev_file(folder: Path) -> Path:
    (found,) = folder.parents[3].glob("dev.*")
    return found


@pytest.fixture(params=KINDS)
def finished(request) -> Path:
    return request.getfixturevalue(request.param)


def evaluated(folder: Path, place: Path) -> pd.DataFrame:
    evaluate(folder, split="validation", output=place / "evaluated.parquet")
    return pd.read_parquet(place / "evaluated.parquet")


def test_logits_are_those_of_evaluate_to_the_bit(finished, tmp_path):
    expected = evaluated(finished, tmp_path)
    work = Predictor(load_run(finished))
    found = work.logits(list(of_file(work.task, dev_file(finished))))
    np.testing.assert_array_equal(np.isnan(found[:, 0]), expected["logits"].isna())
    known = ~np.isnan(found[:, 0])
    np.testing.assert_array_equal(found[known], np.stack(expected["logits"][known]))


def test_predictions_are_those_of_evaluate_in_the_order_of_the_file_however_small_the_windows(
    finished, tmp_path, monkeypatch
):
    expected = evaluated(finished, tmp_path)
    monkeypatch.setattr(predictor, "EXAMPLES", 7)
    work = Predictor(load_run(finished))
    found = list(work.predict(of_file(work.task, dev_file(finished))))
    values = [value for one in found for value in (one.values if work.task.kind == "token" else [one.value])]
    if work.task.regression:
        np.testing.assert_allclose(values, expected["prediction"], atol=1e-5)
    else:
        assert values == expected["prediction"].tolist()
    if finished.parents[3].name.startswith(("texts", "pairs")):
        probabilities = softmax(np.stack(expected["logits"])).max(axis=1)
        np.testing.assert_allclose([one.probability for one in found], probabilities, atol=2e-6)


def test_examples_are_read_only_as_far_as_they_are_predicted(texts, monkeypatch):
    monkeypatch.setattr(predictor, "EXAMPLES", 8)
    endless = (Example(f"door {number}") for number in count())
    found = list(islice(Predictor(load_run(texts)).predict(endless), 20))
    assert [one.example.text for one in found] == [f"door {number}" for number in range(20)]
    assert next(endless).text in ("door 24", "door 25")


def test_windows_hold_so_many_examples_or_characters_and_every_example_once(monkeypatch):
    monkeypatch.setattr(predictor, "EXAMPLES", 3)
    monkeypatch.setattr(predictor, "CHARACTERS", 10)
    texts = ["a"] * 7 + ["b" * 20, "c", "d"]
    found = [[example.text for example in window] for window in windows(Example(text) for text in texts)]
    assert found == [["a"] * 3, ["a"] * 3, ["a", "b" * 20], ["c", "d"]]


def test_a_document_whose_sentences_are_read_together_stays_in_one_window(monkeypatch):
    monkeypatch.setattr(predictor, "EXAMPLES", 2)
    examples = [Example("x", document=number) for number in (0, 0, 0, 1, 2, 2, 3)]
    found = [[example.document for example in window] for window in windows(iter(examples), whole_documents=True)]
    assert found == [[0, 0, 0], [1, 2, 2], [3]]


def test_a_sentence_without_words_has_no_predictions_and_a_word_without_pieces_is_o(words):
    work = Predictor(load_run(words))
    empty, odd = work.predict([Example(""), Example("\u200e", places=[(0, 1)])])
    assert (empty.values, empty.entities) == ([], [])
    assert (odd.values, odd.probabilities, odd.entities) == (["O"], [None], [])


def test_labels_that_are_predicted_together_have_no_probabilities(joint):
    work = Predictor(load_run(joint))
    found = list(work.predict(of_file(work.task, dev_file(joint))))
    assert {p for one in found for p in one.probabilities} == {None}
    assert {entity.probability for one in found for entity in one.entities} <= {None}
