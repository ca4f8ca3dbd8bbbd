"""Own data in csv, tsv, jsonl and parquet."""

import json

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from head2head import metrics
from head2head.data.task import CLASSIFICATION_METRICS, REGRESSION_METRICS, TOKEN_METRICS

ROWS = [
    {"text": "good, really", "label": "pos"},
    {"text": 'he said "no"', "label": "neg"},
    {"text": "", "label": "pos"},
]
CSV = 'text,label\n"good, really",pos\n"he said ""no""",neg\n,pos\n'


@pytest.fixture
def own(make_task, write):
    """task=table with a training file, and a validation file that is the same unless given."""

    def build(content, validation=None, kind="csv", **settings):
        train = write(f"train.{kind}", content)
        validation = write(f"dev.{kind}", content if validation is None else validation)
        return make_task("table", train=train, validation=validation, **settings)

    return build


def parquet_bytes(columns):
    buffer = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.table(columns), buffer)
    return buffer.getvalue().to_pybytes()


FILES = {
    "csv": CSV,
    "tsv": 'text\tlabel\ngood, really\tpos\nhe said "no"\tneg\n\tpos\n',
    "jsonl": "\n".join(map(json.dumps, ROWS)) + "\n\n",
    "parquet": parquet_bytes({key: [row[key] for row in ROWS] for key in ("text", "label")}),
}


@pytest.mark.parametrize("kind", FILES)
def test_every_kind_of_file_holds_the_same_rows(own, kind):
    task = own(FILES[kind], kind=kind)
    assert list(task.labels) == ["neg", "pos"]
    for split in ("train", "validation"):
        assert list(task.read(split)) == [{"text": r["text"], "label": ["neg", "pos"].index(r["label"])} for r in ROWS]


def test_quoted_newlines_belong_to_the_text(own):
    task = own('text,label\r\n"two\r\nlines, here",a\r\n"x\u2028y",b\r\n')
    assert task.read("train")["text"] == ["two\nlines, here", "x\u2028y"]


def test_line_numbers_count_quoted_newlines(own, tmp_path, error_of):
    good = 'text,label\n"two\n\nlines",a\nx,b\n'
    message = error_of(own(good, good + "y,c\n").read, "validation")
    assert message == f"{tmp_path / 'dev.csv'}:6: unknown label 'c'; expected a or b"


def test_labels_are_sorted_as_words_or_as_numbers(own):
    assert list(own("text,label\nx,b\nx,B\nx,a\n").labels) == ["B", "a", "b"]
    assert list(own("text,label\nx,10\nx,9\nx,-1\n").labels) == ["-1", "9", "10"]
    assert list(own("text,label\nx,10\nx,9\nx,no\n").labels) == ["10", "9", "no"]


def test_numeric_labels_of_jsonl_are_labels(own):
    rows = [{"text": "x", "label": 1}, {"text": "y", "label": 0}]
    task = own("\n".join(map(json.dumps, rows)), kind="jsonl")
    assert list(task.labels) == ["0", "1"]
    assert list(task.read("train")["label"]) == [1, 0]


@pytest.mark.parametrize("labels", [["b", "a"], [1, 0]])
def test_labels_listed_by_the_user_keep_their_order(own, labels):
    task = own(f"text,label\nx,{labels[0]}\ny,{labels[1]}\n", labels=labels)
    assert list(task.read("train")["label"]) == [0, 1]


def test_a_label_not_listed_by_the_user_is_an_error(own, tmp_path, error_of):
    message = error_of(own("text,label\nx,1\ny,2\n", labels=[0, 1]).read, "train")
    assert message == f"{tmp_path / 'train.csv'}:3: unknown label '2'; expected 0 or 1"


def test_classification_and_regression_have_their_metrics(own):
    assert list(own(CSV).metrics) == ["accuracy", "macro_f1", "mcc"]
    regression = own("text,label\nx,1\n", target="regression")
    assert list(regression.metrics) == ["spearman", "pearson"]
    assert list(own(CSV, metrics=["f1"]).metrics) == ["f1"]


def test_regression_reads_numbers(own):
    task = own("text,label\nx,1\ny,-2.5\nz,1e3\n", target="regression")
    assert task.regression
    assert task.num_outputs == 1
    assert list(task.read("train")["label"]) == [1.0, -2.5, 1000.0]


@pytest.mark.parametrize("cell", ["high", "nan", "inf"])
def test_a_target_that_is_no_number_is_an_error_with_its_line(own, tmp_path, error_of, cell):
    message = error_of(own(f"text,label\nx,1\ny,{cell}\n", target="regression").read, "train")
    assert message == f"{tmp_path / 'train.csv'}:3: expected a number, found {cell!r}"


def test_pairs_and_column_names_chosen_by_the_user(own):
    task = own(
        "answer,question,id,grade\nHe,Who?,1,ok\nNo,Why?,2,bad\n", text="question", text_pair="answer", label="grade"
    )
    assert list(task.read("train")) == [
        {"text": "Who?", "text_pair": "He", "label": 1},
        {"text": "Why?", "text_pair": "No", "label": 0},
    ]


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize(("setting", "wrong", "near"), [("text", "txt", "text"), ("label", "labels", "label")])
def test_a_missing_column_is_an_error_with_the_near_names(own, error_of, kind, setting, wrong, near):
    message = error_of(lambda: own(FILES[kind], kind=kind, **{setting: wrong}).read("train"))
    assert f"no column {wrong!r}; did you mean {near}?" in message
    line = {"csv": ":1", "tsv": ":1", "jsonl": ":1", "parquet": ""}[kind]
    assert f"train.{kind}{line}: no column" in message
    assert "task." not in message


@pytest.mark.parametrize(
    ("kind", "content", "message"),
    [
        ("csv", "text,label\nx,a\ny,b,c\n", ":3: expected 2 columns, found 3"),
        ("csv", "text,label\nx,a\ny\n", ":3: expected 2 columns, found 1"),
        ("csv", 'text,label\nx,a\n"y,b\n', ":3: unexpected end of data"),
        ("tsv", "text\tlabel\nx\ta\ny,b\n", ":3: expected 2 columns, found 1"),
        ("csv", "text,label\nx,a\ny,\n", ":3: column 'label' is empty"),
        ("csv", "text,label\nx,a\ny,a\n", ": column 'label' holds one label only (a); nothing can be learned"),
        ("csv", "text,label\n", ": no examples"),
        ("csv", "", ": the file is empty"),
        ("csv", b"\xef\xbb\xbf", ": the file is empty"),
        ("csv", b"text,label\nx,a\n\xe9,b\n", ":3: not valid UTF-8 (byte 0xe9)"),
        ("jsonl", '{"text": "x", "label": "a"}\n{"text": \n', ":2: not valid JSON: "),
        ("jsonl", '{"text": "x", "label": "a"}\n\n["x", "b"]\n', ":3: expected a JSON object, found list"),
        ("jsonl", '{"text": "x", "label": "a"}\n{"text": "x", "label": null}\n', ":2: column 'label' is empty"),
        ("parquet", "text,label\nx,a\n", ": not a parquet file: "),
        ("parquet", parquet_bytes({"text": ["x", "y"], "label": ["a", None]}), ":2: column 'label' is empty"),
        ("txt", "x a\n", ": unknown kind of file '.txt'; expected .csv, .jsonl, .parquet, .tsv"),
    ],
)
def test_a_bad_file_is_an_error_with_file_and_line(own, tmp_path, error_of, kind, content, message):
    assert error_of(lambda: own(content, kind=kind).read("train")).startswith(f"{tmp_path / f'train.{kind}'}{message}")


def test_a_json_row_without_its_text_is_an_error_with_its_line(own, tmp_path, error_of):
    message = error_of(own('{"text": "x", "label": "a"}\n{"label": "b"}\n', kind="jsonl").read, "train")
    assert message.startswith(f"{tmp_path / 'train.jsonl'}:2: no column 'text'; ")


def test_too_many_numeric_labels_hint_at_regression(own, error_of):
    many = "text,label\n" + "".join(f"x,{i}\n" for i in range(21))
    for content in (many, "text,label\nx,1\ny,2.5\n", "text,label\nx,1\ny,nan\n"):
        assert "set task.target=regression" in error_of(own, content)
    assert len(own(many.replace("x,20\n", "")).labels) == 20


def test_many_labels_that_are_words_are_labels(own):
    assert len(own("text,label\n" + "".join(f"x,l{i}\n" for i in range(50))).labels) == 50


def test_a_missing_file_is_named(make_task, tmp_path, error_of):
    message = error_of(make_task, "table", train=tmp_path / "no.csv", validation=tmp_path / "no.csv")
    assert message == f"{tmp_path / 'no.csv'}: no such file"


def test_files_must_be_named(make_task, error_of):
    assert error_of(make_task("table").sources).startswith("task=table needs task.train=FILE and task.validation=FILE")


def test_target_is_classification_or_regression(make_task, error_of):
    assert "choose from: classification, regression" in error_of(make_task, "table", target="ranking")


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_test_file_may_lack_labels(own, write, kind):
    content = {"csv": "text\nx\ny\n", "jsonl": '{"text": "x"}\n{"text": "y"}\n'}[kind]
    task = own(CSV, test=write(f"test.{kind}", content))
    assert list(task.read("test")) == [{"text": "x"}, {"text": "y"}]
    labelled = own(CSV, test=write("labelled.csv", CSV))
    assert labelled.read("test")["label"] == [1, 0, 1]


def test_without_a_test_file_there_is_no_test_split(own, error_of):
    assert error_of(own(CSV).read, "test") == "task table has no split test; it has: train, validation"


def test_quotes_in_tsv_files_are_text(own):
    content = 'text\tlabel\n"good film\t1\nbad film\t0\n\nit"s "fine"\t1\n'
    rows = own(content, kind="tsv").read("train")
    assert rows.to_dict() == {"text": ['"good film', "bad film", 'it"s "fine"'], "label": [1, 0, 1]}


@pytest.mark.parametrize("kind", ["csv", "tsv"])
def test_a_missing_column_is_a_fault_of_the_header_and_names_the_setting(own, write, tmp_path, error_of, kind):
    separator = {"csv": ",", "tsv": "\t"}[kind]
    content = "sentence,y\nx,1\ny,0\n".replace(",", separator)
    assert error_of(own, content, kind=kind) == (
        f"{tmp_path / f'train.{kind}'}:1: no column 'label'; choose from: sentence, y (task.label=COLUMN)"
    )
    test = write(f"test.{kind}", content)
    task = own("text,label\nx,1\ny,0\n".replace(",", separator), kind=kind, test=test)
    assert error_of(task.read, "test") == f"{test}:1: no column 'text'; choose from: sentence, y"


@pytest.mark.parametrize("kind", ["csv", "tsv"])
def test_a_cell_may_hold_a_whole_document(own, kind):
    content = f"text,label\n{'x ' * 100_000},1\ny,0\n".replace(",", {"csv": ",", "tsv": "\t"}[kind])
    assert len(own(content, kind=kind).read("train")["text"][0]) == 200_000


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_length": 2}, "task.max_length=2: a whole number, 3 or above"),
        ({"max_length": 8.5}, "task.max_length=8.5: a whole number, 3 or above"),
        ({"max_length": True}, "task.max_length=True: a whole number, 3 or above"),
        ({"train_rows": 0}, "task.train_rows=0: a whole number, 1 or above"),
        ({"train_rows": "all"}, "task.train_rows=all: a whole number, 1 or above"),
        ({"metrics": ["acuracy"]}, "task.metrics: unknown metric 'acuracy'; did you mean accuracy?"),
        ({"metrics": ["f2"]}, "task.metrics: unknown metric 'f2'; choose from: accuracy, f1, macro_f1, mcc"),
        ({"metrics": 3}, "task.metrics=3: not a list; write task.metrics=[A,B]"),
        ({"labels": "pos"}, "task.labels=pos: not a list; write task.labels=[A,B]"),
        ({"labels": ["pos", "neg", "pos"]}, "task.labels=pos,neg,pos: a label stands there twice"),
        ({"labels": ["a", "b", "c"], "metrics": ["f1"]},
         "task.metrics: f1 is for two labels, and there are 3; take macro_f1"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_errors(own, error_of, settings, message):
    assert error_of(own, CSV, **settings) == message


def test_a_single_metric_needs_no_list(own):
    assert list(own(CSV, metrics="mcc").metrics) == ["mcc"]


def test_regression_and_token_tasks_have_metrics_of_their_own(make_task, error_of):
    assert list(make_task("stsb", metrics=["pearson"]).metrics) == ["pearson"]
    assert error_of(make_task, "stsb", metrics=["mcc"]).endswith("choose from: pearson, spearman")
    assert "did you mean entity_f1?" in error_of(make_task, "entities", metrics=["entity_f2"]).replace(" or ", "? ")
    assert error_of(make_task, "rte", metrics=[]).startswith("task.metrics is empty; choose from: accuracy")


def test_the_metrics_that_tasks_know_are_those_that_are_computed():
    assert set(CLASSIFICATION_METRICS) == set(metrics.CLASSIFICATION)
    assert set(REGRESSION_METRICS) == set(metrics.REGRESSION)
    tags = np.array([0, 1])
    scores = metrics.score([], ["O", "B-X", "I-X"], tags, tags, np.array([2]))
    assert set(TOKEN_METRICS) == {name for name in scores if not name.endswith("_X")}


def test_a_generated_tasks_seed_is_a_whole_number(make_task, error_of):
    assert error_of(make_task, "agreement", data_seed=-1) == "task.data_seed=-1: a whole number, 0 or above"


def test_more_training_rows_than_there_are_is_an_error(own, error_of):
    message = error_of(own(CSV, train_rows=4).read, "train")
    assert message == "task.train_rows=4: the training split has 3 rows; give 1 to 3"
