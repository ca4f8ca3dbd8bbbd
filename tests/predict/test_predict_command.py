"""head2head predict, and the forms that evaluate writes."""

import io
import json
import sys
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from head2head.cli.evaluate import evaluate
from head2head.cli.main import app
from head2head.cli.predict import predict
from head2head.errors import UserError

SENTENCES = ["the old keys", "", "red dog runs, is “open”"]


def predicted(run: Path, place: Path, name: str, content: str, **options) -> pd.DataFrame:
    """What is predicted of a file, by way of a csv."""
    (place / name).write_text(content, encoding="utf-8")
    predict(run, file=place / name, output=place / "out.csv", **options)
    return pd.read_csv(place / "out.csv", keep_default_na=False)


def test_a_text_on_the_command_line_is_answered_by_name(texts):
    done = CliRunner().invoke(app, ["predict", str(texts), "the old keys, and doors"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert list(found) == ["text", "prediction", "probability"]
    assert found["text"] == "the old keys, and doors"
    assert found["prediction"] in ("neg", "pos")
    assert 0.5 <= found["probability"] <= 1


def test_a_pair_on_the_command_line(values):
    done = CliRunner().invoke(app, ["predict", str(values), "the old keys", "--pair", "red door"])
    assert done.exit_code == 0, done.output
    assert list(json.loads(done.stdout)) == ["text", "text_pair", "prediction"]


def test_every_kind_of_file_gives_the_same_predictions(texts, tmp_path):
    lines = predicted(texts, tmp_path, "a.txt", "\n".join(SENTENCES) + "\n")
    assert lines["text"].tolist() == SENTENCES
    table = pd.DataFrame({"text": SENTENCES, "other": 1})
    table.to_parquet(tmp_path / "a.parquet")
    predict(texts, file=tmp_path / "a.parquet", output=tmp_path / "out.csv")
    contents = {
        "a.csv": table.to_csv(index=False),
        "a.tsv": "text\tother\n" + "".join(f"{text}\t1\n" for text in SENTENCES),
        "a.jsonl": table.to_json(orient="records", lines=True),
    }
    found = [pd.read_csv(tmp_path / "out.csv", keep_default_na=False)]
    found += [predicted(texts, tmp_path, name, content) for name, content in contents.items()]
    for other in found:
        pd.testing.assert_frame_equal(other, lines)


@pytest.mark.parametrize("columns", [False, True])
def test_standard_input_is_lines_and_on_request_columns(texts, words, monkeypatch, capsys, columns):
    content = "old keys\n\nred door" if not columns else "old O\nkeys B-LOC\n\nred O\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
    predict(words if columns else texts, file=Path("-"), columns=columns)
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["text"] for row in rows] == (["old keys", "red"] if columns else ["old keys", "", "red door"])


def test_words_come_from_column_files_with_and_without_tags_lists_and_raw_text(words, tmp_path):
    tags = predicted(words, tmp_path, "a.bio", "-DOCSTART- O\n\nin O\nOslo I-LOC\nBergen B-LOC\n\nJo B-PER\n")
    assert tags["label"].tolist() == ["O", "B-LOC", "B-LOC", "B-PER"]
    plain = predicted(words, tmp_path, "a.words", "in\nOslo\nBergen\n\nJo\n")
    marked = predicted(words, tmp_path, "a.txt", "in\nOslo\nBergen\n\nJo\n", columns=True)
    lists = predicted(words, tmp_path, "a.jsonl", '{"tokens": ["in", "Oslo", "Bergen"]}\n{"tokens": ["Jo"]}\n')
    raw = predicted(words, tmp_path, "b.txt", "in Oslo Bergen\nJo\n")
    for other in (plain, marked, lists, raw):
        pd.testing.assert_frame_equal(other, tags.drop(columns="label"))


@pytest.mark.parametrize("text", ["Smith's flat in St. Ives, U.S.", "  “ओस्लो में”—Zoë\u0301!", "a\u00a0b 1,000.5 x-y"])
def test_words_and_entities_of_raw_text_are_substrings_of_it(words, tmp_path, text):
    (tmp_path / "a.txt").write_text(text)
    predict(words, file=tmp_path / "a.txt", output=tmp_path / "a.jsonl")
    row = json.loads((tmp_path / "a.jsonl").read_text())
    assert row["text"] == text
    assert "".join(word["word"] for word in row["words"]) == "".join(text.split())
    for part in (*row["words"], *row["entities"]):
        assert text[part["start"] : part["end"]] == part.get("text", part.get("word"))


def test_column_files_go_out_as_word_label_prediction(words, tmp_path):
    (tmp_path / "a.bio").write_text("in O\nOslo I-LOC\n\nJo I-PER\n")
    predict(words, file=tmp_path / "a.bio", output=tmp_path / "out.conll")
    lines = [line.split(" ") for line in (tmp_path / "out.conll").read_text().split("\n")]
    assert [cells[:2] for cells in lines] == [["in", "O"], ["Oslo", "B-LOC"], [""], ["Jo", "B-PER"], [""], [""]]
    assert {len(cells) for cells in lines} == {3, 1}


def test_evaluate_writes_the_same_forms_with_the_labels(words, texts, tmp_path):
    evaluate(words, split="validation", output=tmp_path / "a.conll")
    evaluate(words, split="validation", output=tmp_path / "a.parquet")
    table = pd.read_parquet(tmp_path / "a.parquet")
    lines = [line.split(" ") for line in (tmp_path / "a.conll").read_text().splitlines() if line]
    assert [cells[1:] for cells in lines] == table[["label", "prediction"]].to_numpy().tolist()
    assert evaluate(texts, split="validation", form="csv") is not None
    (written,) = texts.glob("predictions-*-validation.csv")
    found = pd.read_csv(written)
    assert list(found) == ["text", "label", "prediction", "probability"]
    assert found["text"].tolist() == pd.read_csv(texts.parents[3] / "dev.csv")["text"].tolist()


@pytest.mark.parametrize(
    ("kind", "options", "told"),
    [
        ("texts", {}, r"give a text: head2head predict RUN .* or --input FILE"),
        ("texts", {"text": "a", "file": Path("a.csv")}, "give a text"),
        ("texts", {"text": "a", "pair": "b"}, "reads single texts, not pairs"),
        ("pairs", {"text": "a"}, "reads two texts: give the second one, too"),
        ("pairs", {"file": "lines.txt"}, "reads two texts, and a line is one"),
        ("pairs", {"file": "texts.csv"}, "no column 'text_pair'"),
        ("texts", {"file": "missing.csv"}, "no such file"),
        ("texts", {"file": "lines.doc"}, "unknown kind of file '.doc'"),
        ("texts", {"file": "lines.txt", "columns": True}, "--columns is for an --input of words"),
        ("words", {"file": "columns.txt"}, "looks like words in columns, not like a text; say --columns"),
        ("texts", {"file": "lines.txt", "form": "parquet"}, "give --output FILE"),
        ("texts", {"file": "lines.txt", "output": "no/out.csv"}, "there is no folder"),
        ("texts", {"text": "a\udce9"}, "not a text in valid Unicode"),
        ("texts", {"file": "empty.csv"}, "the file is empty"),
        ("texts", {"file": "header.csv"}, "header.csv: no examples"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(request, tmp_path, kind, options, told):
    contents = {"lines.txt": "a\n", "lines.doc": "a\n", "texts.csv": "text\na\n", "columns.txt": "in O\nOslo B-LOC\n",
                "empty.csv": "", "header.csv": "text\n"}  # fmt: skip
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
    options = {name: tmp_path / value if name in ("file", "output") else value for name, value in options.items()}
    with pytest.raises(UserError, match=told) as caught:
        predict(request.getfixturevalue(kind), **options)
    assert "\n" not in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} == set(contents)


def test_a_damaged_line_far_down_leaves_no_output(texts, tmp_path):
    (tmp_path / "a.csv").write_text("text\n" + "old keys\n" * 100 + "a,b\n")
    with pytest.raises(UserError, match=r"a\.csv:102: expected 1 columns, found 2"):
        predict(texts, file=tmp_path / "a.csv", output=tmp_path / "out.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_the_name_of_a_file_is_not_taken_for_a_text(texts, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("new.csv").write_text("text\na\n")
    with pytest.raises(UserError, match=r"^new\.csv is a file; to predict what it holds: --input new\.csv$"):
        predict(texts, "new.csv")
    predict(texts, "old.csv")  # there is none
    assert json.loads(capsys.readouterr().out)["text"] == "old.csv"
