"""What is written: tables, objects, and column files that conlleval reads."""

import json

import numpy as np
import pandas as pd
import pytest

from head2head.data.entities import iob2_labels
from head2head.data.words import joined
from head2head.errors import UserError
from head2head.metrics import score
from head2head.predict.examples import Example
from head2head.predict.forms import chosen_form, write
from head2head.predict.predictions import Prediction, of_words

LABELS = iob2_labels(["LOC", "PER"])


class Words:
    kind, name = "token", "conll"


class Texts:
    kind, name = "sentence", "table"


def conlleval(text: str) -> tuple[int, int, int, int, int]:
    """(words, words right, entities right, predicted, true), line by line as conlleval.pl (Tjong Kim Sang) counts; for
    the tags of IOB1 and IOB2."""

    def starts(before: tuple[str, str], tag: tuple[str, str]) -> bool:
        found = tag[0] == "B" or (before[0] == "O" and tag[0] == "I")
        return found or (tag[0] != "O" and tag[1] != before[1])

    def ends(before: tuple[str, str], tag: tuple[str, str]) -> bool:
        found = before[0] in "BI" and tag[0] in "BO"
        return found or (before[0] != "O" and before[1] != tag[1])

    def parted(tag: str) -> tuple[str, str]:
        prefix, _, kind = tag.partition("-")
        return prefix, kind

    words = words_right = right = predicted = true = 0
    inside = False
    last_true = last_guess = ("O", "")
    for line in [*text.splitlines(), ""]:
        cells = line.split() or ["-X-", "O", "O"]
        guess, gold = parted(cells[-1]), parted(cells[-2])
        if inside:
            true_ends, guess_ends = ends(last_true, gold), ends(last_guess, guess)
            if true_ends and guess_ends and last_true[1] == last_guess[1]:
                inside, right = False, right + 1
            elif true_ends != guess_ends or gold[1] != guess[1]:
                inside = False
        true_starts, guess_starts = starts(last_true, gold), starts(last_guess, guess)
        if true_starts and guess_starts and gold[1] == guess[1]:
            inside = True
        true += true_starts
        predicted += guess_starts
        if cells[0] != "-X-":
            words += 1
            words_right += cells[-1] == cells[-2]
        last_true, last_guess = gold, guess
    return words, words_right, right + inside, predicted, true


def logits_of(numbers: np.ndarray) -> np.ndarray:
    return np.eye(len(LABELS), dtype=np.float32)[numbers]


def test_conlleval_counts_in_the_written_file_what_is_counted_here(tmp_path):
    rng = np.random.default_rng(0)
    entities = 0
    for trial in range(200):
        lengths = rng.integers(1, 9, size=rng.integers(1, 6))
        gold = rng.integers(0, len(LABELS), size=lengths.sum())
        guess = np.where(rng.random(len(gold)) < 0.3, rng.integers(0, len(LABELS), size=len(gold)), gold)
        examples, start = [], 0
        for length in lengths:
            text, places = joined([f"w{i}" for i in range(length)])
            examples.append(Example(text, None, places, [LABELS[i] for i in gold[start : start + length]]))
            start += length
        found = list(of_words(examples, logits_of(guess), LABELS, joint=False))
        path = tmp_path / f"{trial}.conll"
        write(found, "conll", path, "trial")
        words, words_right, right, predicted, true = conlleval(path.read_text())
        assert (words, words_right) == (len(gold), (gold == guess).sum())
        assert predicted == sum(len(one.entities) for one in found)
        ours = score(["entity_precision", "entity_recall", "entity_f1"], LABELS, guess, gold, lengths)
        assert ours["entity_precision"] == pytest.approx(right / predicted if predicted else 0)
        assert ours["entity_recall"] == pytest.approx(right / true if true else 0)
        assert ours["entity_f1"] == pytest.approx(2 * right / (predicted + true) if predicted + true else 0)
        entities += right
    assert entities > 200


@pytest.fixture
def sentences():
    first, places = joined(["in", "New", "York", "Jo"])
    raw = "  “New York”, Jo "
    examples = [
        Example(first, None, places, ["O", "B-LOC", "I-LOC", "B-PER"]),
        Example("", None, [], []),
        Example(raw, None, [(3, 6), (7, 11), (14, 16)], ["B-LOC", "I-LOC", "B-PER"]),
    ]
    return list(of_words(examples, logits_of(np.array([0, 1, 2, 4, 1, 2, 3])), LABELS, joint=False))


def test_every_entity_is_the_very_substring_of_its_text(sentences, tmp_path):
    write(sentences, "jsonl", tmp_path / "a.jsonl", "file")
    rows = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [row["sentence"] for row in rows] == [0, 1, 2]
    for row in rows:
        for part in (*row["entities"], *row["words"]):
            assert row["text"][part["start"] : part["end"]] == part.get("text", part.get("word"))
    found = [[(entity["type"], entity["text"]) for entity in row["entities"]] for row in rows]
    assert found == [[("LOC", "New York"), ("PER", "Jo")], [], [("LOC", "New York"), ("PER", "Jo")]]


def test_tables_of_words_have_a_row_a_word_with_its_entity_and_both_tables_are_equal(sentences, tmp_path):
    for form in ("csv", "parquet"):
        write(sentences, form, tmp_path / f"a.{form}", "file")
    from_csv, table = pd.read_csv(tmp_path / "a.csv"), pd.read_parquet(tmp_path / "a.parquet")
    assert table["word"].tolist() == ["in", "New", "York", "Jo", "New", "York", "Jo"]
    assert table["sentence"].tolist() == [0] * 4 + [2] * 3
    assert table["prediction"].tolist()[3] == "I-PER"  # opens an entity, as conlleval has it
    spans = table[["sentence", "entity", "entity_start", "entity_end"]].dropna().drop_duplicates()
    expected = [[0, "LOC", 3, 11], [0, "PER", 12, 14], [2, "LOC", 3, 11], [2, "PER", 14, 16]]
    assert spans.to_numpy().tolist() == expected
    pd.testing.assert_frame_equal(from_csv, table, check_dtype=False)


def test_a_table_of_texts_gives_back_any_text(tmp_path):
    texts = ['comma, quote " and\nnew line', "\ttab \u2028 \u00a0", "a\rb", "", "=1+1", "O\u2019Neil 𝄞"]
    found = [Prediction(Example(text, "second", label="neg"), "pos", 0.75) for text in texts]
    for form in ("csv", "jsonl", "parquet"):
        assert write(found, form, tmp_path / f"a.{form}", "file") == len(texts)
    tables = [
        pd.read_csv(tmp_path / "a.csv", keep_default_na=False, lineterminator="\n"),
        pd.DataFrame([json.loads(line) for line in (tmp_path / "a.jsonl").read_text().split("\n")[:-1]]),
        pd.read_parquet(tmp_path / "a.parquet"),
    ]
    for table in tables:
        assert list(table) == ["text", "text_pair", "label", "prediction", "probability"]
        assert table["text"].tolist() == texts
        assert set(table["prediction"]) == {"pos"}


def test_values_have_no_probability(tmp_path):
    write([Prediction(Example("a"), 1.5, None)], "csv", tmp_path / "a.csv", "file")
    assert (tmp_path / "a.csv").read_text() == "text,prediction\na,1.5\n"


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet", "conll"])
def test_what_ends_in_an_error_leaves_no_file_and_the_old_one_as_it_was(form, sentences, tmp_path):
    def broken():
        yield sentences[0]
        raise UserError("line 2")

    (tmp_path / "old").write_text("old")
    for name in ("new", "old"):
        with pytest.raises(UserError, match="line 2"):
            write(broken(), form, tmp_path / name, "file")
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert (tmp_path / "old").read_text() == "old"


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet", "conll"])
def test_no_example_is_an_error_and_no_empty_file(form, tmp_path):
    with pytest.raises(UserError, match="file: no examples"):
        write([], form, tmp_path / "a", "file")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("word", ["New York", "a\tb", "a\nb"])
def test_a_word_with_a_blank_in_it_is_refused_where_blanks_separate_columns(word, tmp_path):
    (one,) = of_words([Example(word, places=[(0, len(word))])], logits_of(np.array([0])), LABELS, joint=False)
    with pytest.raises(UserError, match="--format jsonl"):
        write([one], "conll", tmp_path / "a", "file")


def test_the_form_is_what_was_asked_for_else_the_outputs_ending(tmp_path):
    assert chosen_form(Words, tmp_path / "a.csv", "conll", "jsonl") == "conll"
    assert chosen_form(Texts, tmp_path / "a.csv", None, "jsonl") == "csv"
    assert chosen_form(Texts, None, None, "jsonl") == "jsonl"
    for task, output, form, told in (
        (Texts, "a.xlsx", None, "--output .*a.xlsx: unknown form"),
        (Texts, None, "xml", "--format xml: unknown form"),
        (Texts, None, "conll", "one a text"),
    ):
        with pytest.raises(UserError, match=told):
            chosen_form(task, tmp_path / output if output else None, form, "jsonl")
