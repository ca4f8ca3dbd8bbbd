"""Own data in csv, tsv, jsonl and parquet."""

import json
import time

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from head2head import metrics
from head2head.data.task import CLASSIFICATION_METRICS, REGRESSION_METRICS, TOKEN_METRICS
from head2head.errors import UserError

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
        ("csv", 'text,label\nx,a\n"y,b\nz,c\n', ":3: a quote opens in this row and is not closed up to the file's end"),
        ("csv", 'text,label\nx,a\n"y,b\nz,c"\nu,a\n"v"w,a\n', ":3: expected 2 columns, found 1"),
        ("csv", 'text,label\nx,a\n"y" z,b\n', ":3: a quote ends in this row and text follows it"),
        ("csv", "text,label\nx,a\ny\rz,b\n", ":3: a carriage return without a newline stands outside quotes"),
        ("csv", 'text;label\n"x; y";a\n', ":1: columns are separated by semicolons; save it with commas, or as .tsv"),
        ("csv", "text\tlabel\nx\ta\n", ":1: columns are separated by tabs; save it with commas, or as .tsv"),
        ("csv", "text;x,label\nx\n", ":2: expected 2 columns, found 1"),
        ("csv", "\ntext,label\nx,a\n", ":1: the line of the column names is empty"),
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
        ("parquet", "text,label\nx,a\n", ": not a parquet file, or a damaged one: "),
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
    rows = "".join(f"x,l{i}\ny,l{i}\n" for i in range(50))
    assert len(own("text,label\n" + rows).labels) == 50


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
    assert error_of(own(CSV).read, "test").endswith(" has no split test; it has: train, validation")


def test_quotes_in_tsv_files_are_text(own):
    content = 'text\tlabel\n"good film\t1\nbad film\t0\n\nit"s "fine"\t1\n'
    rows = own(content, kind="tsv").read("train")
    assert rows.to_dict() == {"text": ['"good film', "bad film", 'it"s "fine"'], "label": [1, 0, 1]}


@pytest.mark.parametrize("kind", ["csv", "tsv"])
def test_a_missing_column_is_a_fault_of_the_header_and_names_the_setting(own, write, tmp_path, error_of, kind):
    separator = {"csv": ",", "tsv": "\t"}[kind]
    content = "sentence,y\nx,1\ny,0\n".replace(",", separator)
    assert error_of(own, content, kind=kind) == (
        f"{tmp_path / f'train.{kind}'}:1: no column 'label'; choose from: sentence, y (task.label=COLUMN; "
        "task.columns=[A,B] for files without a header line)"
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


def test_a_column_with_nearly_as_many_labels_as_rows_is_asked_about(own, tmp_path, error_of):
    many = "text,label\n" + "".join(f"x,word {i}\n" for i in range(50)) + "x,word 1\n"
    message = error_of(own, many)
    assert message.startswith(
        f"{tmp_path / 'train.csv'}: column 'label' holds 50 different values in 51 rows; is it the"
    )
    assert "task.label=COLUMN" in message
    assert "task.target=regression" in message
    assert len(own(many, labels=[f"word {i}" for i in range(50)]).labels) == 50  # asked for by name


def test_many_labels_are_read_in_linear_time(own):
    """50,000 labels took 26 seconds when each was looked for among all."""
    task = own("text,label\n" + "".join(f"x,l{i % 40_000}\n" for i in range(80_000)))
    started = time.perf_counter()
    labels = task.read("train")["label"][:]
    assert time.perf_counter() - started < 5
    assert [task.labels[number] for number in labels[:3]] == ["l0", "l1", "l2"]


@pytest.mark.parametrize(
    ("labels", "one", "two"),
    [
        (["1", "1.0", "0"], "1.0", "1"),
        (["1", "true", "0"], "true", "1"),
        (["True", "false", "true"], "true", "True"),
        (["yes", "no", " yes"], " yes", "yes"),
        (["caf\u00e9", "bar", "cafe\u0301"], "cafe\\u0301", "caf\\xe9"),
    ],
)
def test_one_label_in_two_spellings_is_an_error_with_both_lines(own, tmp_path, error_of, labels, one, two):
    message = error_of(own, "text,label\n" + "".join(f"x,{label}\n" for label in labels))
    first, second = (2 + i for i, label in enumerate(labels) if ascii(label)[1:-1] in (one, two))
    place = tmp_path / "train.csv"
    assert (
        message == f"{place}:{second}: label '{one}' is '{two}' of line {first} in another spelling; write both alike"
    )


def test_labels_of_several_json_types_are_one_spelling_each(own, error_of):
    rows = [{"text": "x", "label": label} for label in (1, 1.0, True, 0)]
    assert "in another spelling" in error_of(own, "\n".join(map(json.dumps, rows)), kind="jsonl")
    assert list(own("\n".join(map(json.dumps, [rows[0], rows[3]])), kind="jsonl").labels) == ["0", "1"]


def test_a_label_of_validation_in_another_spelling_is_named(own, tmp_path, error_of):
    message = error_of(own("text,label\nx,1\ny,0\n", "text,label\nx,1.0\n").read, "validation")
    place = tmp_path / "dev.csv"
    assert message == f"{place}:2: unknown label '1.0'; expected 0 or 1; it means '1', but is not written like it"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"text": "x", "label": ' + "1" * 5000 + "}", "not valid JSON: a number with thousands of digits"),
        ('{"text": "x", "more": ' + "[" * 100_000, "not valid JSON: nested too deeply"),
        (
            '{"text": "\\ud83d", "label": "a"}',
            r"column 'text' holds half of a surrogate pair, '\ud83d'; no file can be",
        ),
        (
            '{"text": "x", "label": "a\\udc00"}',
            r"column 'label' holds half of a surrogate pair, 'a\udc00'; no file can be",
        ),
        ('{"text": ["x", "y"], "label": "a"}', "column 'text' holds a list; expected a text"),
        ('{"text": {"x": 1}, "label": "a"}', "column 'text' holds an object; expected a text"),
        ('{"text": NaN, "label": "a"}', "column 'text' is empty"),
        ('{"text": "x", "label": "a", "text": "y"}', "column 'text' stands there 2 times"),
    ],
)
def test_a_json_row_that_is_no_row_is_an_error_with_its_line(own, tmp_path, error_of, line, reason):
    content = '{"text": "x", "label": "a"}\n{"text": "x", "label": "b"}\n' + line + "\n"
    message = error_of(lambda: own(content, kind="jsonl").read("train"))
    assert message.startswith(f"{tmp_path / 'train.jsonl'}:3: {reason}")


def test_a_key_that_nobody_asked_for_may_stand_twice(own):
    assert (
        len(own('{"text": "x", "label": "a", "n": 1, "n": 2}\n{"text": "x", "label": "b"}\n', kind="jsonl").labels) == 2
    )


@pytest.mark.parametrize("kind", ["csv", "tsv"])
def test_a_column_that_stands_twice_is_an_error(own, tmp_path, error_of, kind):
    content = "text,label,text,id,id\nx,a,y,1,2\nz,b,u,3,4\n".replace(",", {"csv": ",", "tsv": "\t"}[kind])
    message = error_of(own(content, kind=kind).read, "train")
    assert message == f"{tmp_path / f'train.{kind}'}:1: column 'text' stands there 2 times"


def test_bytes_of_parquet_are_no_text(own, tmp_path, error_of):
    content = parquet_bytes({"text": [b"x", b"y"], "label": ["a", "b"]})
    message = error_of(own(content, kind="parquet").read, "train")
    assert message == f"{tmp_path / 'train.parquet'}:1: column 'text' holds a bytes; expected a text"


@pytest.mark.parametrize("place", range(4, 400, 7))
def test_a_damaged_parquet_file_is_an_error(own, place, tmp_path):
    content = bytearray(FILES["parquet"])
    content[-place] ^= 0xFF
    try:
        own(bytes(content), kind="parquet").read("train")
    except UserError as error:
        assert str(error).startswith(f"{tmp_path / 'train.parquet'}:")  # noqa: PT017 (data may come out as well)


@pytest.mark.parametrize("kind", ["csv", "tsv"])
def test_an_empty_line_of_a_file_with_one_column_is_an_empty_text(own, write, kind):
    """Predictions are numbered by rows: a row that is left out moves all that follow."""
    task = own(FILES[kind], kind=kind, test=write(f"test.{kind}", "text\nx\n\ny\n"))
    assert task.read("test")["text"] == ["x", "", "y"]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_test_row_without_its_label_is_an_error_and_takes_no_labels_away(own, write, error_of, kind):
    rows = [{"text": "x", "label": "pos"}, {"text": "y", "label": "neg"}]
    content = "\n".join(map(json.dumps, [rows[0], {"text": "z"}, rows[1]]))
    columns = {"text": ["x", "z", "y"], "label": ["pos", None, "neg"]}
    path = write(f"test.{kind}", content if kind == "jsonl" else parquet_bytes(columns))
    message = error_of(own(CSV, test=path).read, "test")
    says = {
        "jsonl": "this row has no label, and those above it have one (column 'label')",
        "parquet": "column 'label' is empty",
    }
    assert message == f"{path}:2: {says[kind]}"
    late = write("late.jsonl", "\n".join(map(json.dumps, [{"text": "z"}, rows[0]])))
    assert error_of(own(CSV, test=late).read, "test").startswith(f"{late}:2: this row has a label, and those above")


@pytest.mark.parametrize(("target", "labels"), [("classification", "pos neg"), ("regression", "1 2")])
def test_test_labels_that_are_all_minus_one_are_not_published(own, write, target, labels, error_of):
    one, two = labels.split()
    train, path = f"text,label\nx,{one}\ny,{two}\n", write("test.csv", "text,label\nx,-1\ny,-1\n")
    task = own(train, target=target, test=path)
    assert task.read("test").to_dict() == {"text": ["x", "y"]}
    assert task.notes == [f"{path}: all labels are -1, which is read as: not published"]
    some = write("some.csv", f"text,label\nx,{one}\ny,-1\n")
    if target == "classification":
        assert error_of(own(train, test=some).read, "test") == f"{some}:3: unknown label '-1'; expected neg or pos"
    label = own("text,label\nx,-1\ny,1\n", test=path)
    assert label.read("test")["label"] == [0, 0]  # a label called -1 is one


@pytest.mark.parametrize("cell", ["1_000", "\u0661", "0x10", "1,5", "1e999"])
def test_only_plain_numbers_are_numbers(own, error_of, cell):
    message = error_of(own(f'text,label\nx,1\ny,"{cell}"\n', target="regression").read, "train")
    assert message.endswith(f":3: expected a number, found {cell!r}")


@pytest.mark.parametrize("end", ["\ufeff", "\n\ufeff", "\n\ufeff\n"])
@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
def test_a_byte_order_mark_at_the_end_is_no_row(own, kind, end):
    expected = own(FILES[kind], kind=kind).read("train").to_dict()
    assert own(FILES[kind].rstrip("\n") + end, kind=kind).read("train").to_dict() == expected


def test_messages_show_little_of_long_cells_and_are_one_line(own, error_of):
    labels = "".join(f"x,label {i} {'of many ' * 40}\ny,label {i} {'of many ' * 40}\n" for i in range(30))
    message = error_of(own(f"text,label\n{labels}", 'text,label\nx,"' + "line\n" * 1000 + '"\n').read, "validation")
    assert len(message) < 500  # the folder of the test is long
    assert message.isprintable()
    header = ",".join(f"column {i} {'x' * 100}" for i in range(100))
    assert len(error_of(own, f"{header}\n{',' * 99}\n")) < 500


HEADLESS = {"csv": 'pos,"good, really"\nneg,bad\n', "tsv": "pos\tgood, really\nneg\tbad\n"}


@pytest.mark.parametrize("kind", HEADLESS)
def test_a_file_without_a_header_is_read_when_its_columns_are_named(own, kind):
    task = own(HEADLESS[kind], kind=kind, columns=["label", "text"])
    assert list(task.labels) == ["neg", "pos"]
    assert task.read("train").to_dict() == {"text": ["good, really", "bad"], "label": [1, 0]}


@pytest.mark.parametrize("kind", FILES)
def test_columns_are_chosen_by_number_too(own, kind):
    by_name = own(FILES[kind], kind=kind)
    for text, label in ((0, 1), (-2, -1)):
        if kind == "jsonl":
            with pytest.raises(UserError, match="no column"):
                own(FILES[kind], kind=kind, text=text, label=label)
        else:
            task = own(FILES[kind], kind=kind, text=text, label=label)
            assert task.read("train").to_dict() == by_name.read("train").to_dict()


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_a_column_whose_name_is_a_number_goes_before_the_column_of_that_number(own, kind):
    names, rows = ["1", "0", "2"], [["a", "good", "u"], ["b", "bad", "v"]]
    separator = {"csv": ",", "tsv": "\t"}.get(kind, "")
    content = "".join(separator.join(row) + "\n" for row in [names, *rows])
    if kind == "jsonl":
        content = "".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows)
    if kind == "parquet":
        content = parquet_bytes({name: [row[i] for row in rows] for i, name in enumerate(names)})
    task = own(content, kind=kind, text=0, label=1)
    assert task.read("train").to_dict() == {"text": ["good", "bad"], "label": [0, 1]}


def test_a_file_without_a_header_is_not_read_as_one_with_a_header(own, tmp_path, error_of):
    place = tmp_path / "train.csv"
    content = "1,good\n0,bad\n1,better\n"
    assert error_of(own(content, text=1, label=0).read, "train") == (
        f"{place}:1: this line is read as the names of the columns, but '1' looks like a label; for files without a "
        "header line give the names: task.columns=[A,B]"
    )
    numbers = own("2.5,good\n1.5,bad\n", text=1, label=0, target="regression")
    assert "but '2.5' looks like a label" in error_of(numbers.read, "train")
    assert "task.columns=[A,B] for files without a header line" in error_of(own, content)
    twice = error_of(own, "label,text\n1,good\n0,bad\n", columns=["label", "text"])
    assert twice == f"{place}:1: task.columns is for files without a header line, and this line is one"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"columns": "label"}, "task.columns=label: not a list; write task.columns=[A,B]"),
        ({"columns": ["a", "a"]}, "task.columns=a,a: a name stands there twice"),
        ({"text": ["text"]}, "task.text=['text']: the name of a column, or its number (0 is the first)"),
        ({"label": None}, "task.label=None: the name of a column, or its number (0 is the first)"),
        ({"labels": ["a", "b\udc80"]}, r"task.labels: 'b\udc80' is not valid Unicode; no file can be written with it"),
    ],
)
def test_settings_of_columns_that_cannot_be_are_errors(own, error_of, settings, message):
    assert error_of(own, CSV, **settings) == message


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("imdb.csv", "table-imdb"),
        ("imdb-train.csv", "table-imdb"),
        ("train_yelp.csv", "table-yelp"),
        ("my reviews (2).csv", "table-my_reviews_2"),
        ("deep/train.csv", "table-deep"),
    ],
)
def test_a_task_on_own_data_is_called_after_its_file(make_task, write, file, name):
    path = write(file, CSV)
    assert make_task("table", train=path, validation=path).name == name
    assert make_task("table", train=path, validation=path, name="mine").name == "mine"
