"""GLUE from made-up files in the official layout, from the real files, and from a hub that is made up."""

import pytest
from datasets import ClassLabel, Dataset, Features, Value

NLI = "index\tsentence1\tsentence2\tlabel\n"
STSB = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2"
MNLI = (
    "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\t"
    "sentence2_parse\tsentence1\tsentence2\tlabel1"
)
QQP = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"

# task -> split -> (file below glue/, its content, the rows it holds)
OFFICIAL = {
    "cola": {
        "train": (
            "CoLA/train.tsv",
            "gj04\t1\t\tOne more.\nbc01\t0\t*\tThem goes.",
            [{"text": "One more.", "label": 1}, {"text": "Them goes.", "label": 0}],
        ),
        "validation": ("CoLA/dev.tsv", "gj04\t0\t*\tsource label\n", [{"text": "source label", "label": 0}]),
        "test": ("CoLA/test.tsv", "index\tsentence\n0\tBill left.\n", [{"text": "Bill left."}]),
    },
    "sst2": {
        "train": ("SST-2/train.tsv", "sentence\tlabel\nfine \t1\nbad \t0\n", [("fine ", 1), ("bad ", 0)]),
        "validation": ("SST-2/dev.tsv", "sentence\tlabel\r\nso so\t0\r\n", [("so so", 0)]),
        "test": ("SST-2/test.tsv", "index\tsentence\n0\tuneasy\n", [("uneasy",)]),
    },
    "mrpc": {
        "train": (
            "MRPC/train.tsv",
            '\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t7\t8\tHe said " no\t" Yes .\n0\t9\t10\ta\tb',
            [('He said " no', '" Yes .', 1), ("a", "b", 0)],
        ),
        "test": ("MRPC/test.tsv", "index\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t1\t2\ta\tb\n", [("a", "b")]),
    },
    "stsb": {
        "train": ("STS-B/train.tsv", f"{STSB}\tscore\n0\tg\tf\t2012\t1\tn\tn\ta\tb\t3.800\n", [("a", "b", 3.8)]),
        "validation": ("STS-B/dev.tsv", f"{STSB}\tscore\n0\tg\tf\t2012\t1\tn\tn\tc\td\t0\n", [("c", "d", 0.0)]),
        "test": ("STS-B/test.tsv", f"{STSB}\n0\tg\tf\t2012\t1\tn\tn\te\tf\n", [("e", "f")]),
    },
    "mnli": {
        "train": (
            "MNLI/train.tsv",
            f"{MNLI}\tgold_label\n" + "0\tp\tq\tg\t(\t(\t(\t(\ta\tb\tneutral\tcontradiction\n",
            [("a", "b", 2)],
        ),
        "validation_matched": (
            "MNLI/dev_matched.tsv",
            f"{MNLI}\tlabel2\tgold_label\n" + "0\tp\tq\tg\t(\t(\t(\t(\tc\td\tneutral\tneutral\tentailment\n",
            [("c", "d", 0)],
        ),
        "validation_mismatched": (
            "MNLI/dev_mismatched.tsv",
            f"{MNLI}\tlabel2\tgold_label\n" + "0\tp\tq\tg\t(\t(\t(\t(\te\tf\tneutral\tneutral\tneutral\n",
            [("e", "f", 1)],
        ),
        "test_matched": (
            "MNLI/test_matched.tsv",
            "\t".join(MNLI.split("\t")[:-1]) + "\n0\tp\tq\tg\t(\t(\t(\t(\tg\th\n",
            [("g", "h")],
        ),
        "test_mismatched": (
            "MNLI/test_mismatched.tsv",
            "\t".join(MNLI.split("\t")[:-1]) + "\n0\tp\tq\tg\t(\t(\t(\t(\ti\tj\n",
            [("i", "j")],
        ),
    },
    "qnli": {
        "train": (
            "QNLI/train.tsv",
            "index\tquestion\tsentence\tlabel\n0\tWho?\tHe.\tentailment\n1\tWhy?\tNo.\tnot_entailment\n",
            [("Who?", "He.", 0), ("Why?", "No.", 1)],
        ),
        "test": ("QNLI/test.tsv", "index\tquestion\tsentence\n0\tWho?\tHe.\n", [("Who?", "He.")]),
    },
    "qqp": {
        "train": (
            "QQP/train.tsv",
            QQP + "0\t1\t2\tHow?\tWhy?\t1\n1\t3\t4\tbroken row\n2\t5\t6\t\tWhen?\t0\n",
            [("How?", "Why?", 1), ("", "When?", 0)],
        ),
        "test": ("QQP/test.tsv", "id\tquestion1\tquestion2\n0\tHow?\tWhy?\n", [("How?", "Why?")]),
    },
    "rte": {
        "train": (
            "RTE/train.tsv",
            NLI + '0\t"A\u2028B" said "C\tA.\tnot_entailment\n1\tB\x85B\tC\tentailment',
            [('"A\u2028B" said "C', "A.", 1), ("B\x85B", "C", 0)],
        ),
        "test": ("RTE/test.tsv", "index\tsentence1\tsentence2\n0\ta\tb\n", [("a", "b")]),
    },
    "wnli": {
        "train": ("WNLI/train.tsv", NLI + "0\ta\tb\t1\n1\tc\td\t0\n", [("a", "b", 1), ("c", "d", 0)]),
        "test": ("WNLI/test.tsv", "index\tsentence1\tsentence2\n0\ta\tb\n", [("a", "b")]),
    },
    "ax": {
        "test": ("diagnostic/diagnostic.tsv", "index\tsentence1\tsentence2\n0\ta\tb\n", [("a", "b")]),
    },
}
SINGLE = {"cola", "sst2"}
COUNTS = {
    "cola": (8551, 1043, 1063),
    "sst2": (67349, 872, 1821),
    "mrpc": (3668, 408, 1725),
    "stsb": (5749, 1500, 1379),
    "rte": (2490, 277, 3000),
    "wnli": (635, 71, 146),
}


def as_rows(task, expected):
    names = ("text", "label") if task in SINGLE else ("text", "text_pair", "label")
    return [row if isinstance(row, dict) else dict(zip(names, row, strict=False)) for row in expected]


@pytest.mark.parametrize("name", OFFICIAL)
def test_the_official_layout_is_read(name, make_task, write, tmp_path):
    task = make_task(name, data_dir=tmp_path)
    for split, (file, content, expected) in OFFICIAL[name].items():
        write(f"glue/{file}", content)
        assert list(task.read(split)) == as_rows(name, expected), split


def test_the_nine_tasks_have_the_labels_and_metrics_of_glue(make_task):
    nli = ["entailment", "not_entailment"]
    expected = {
        "cola": (["unacceptable", "acceptable"], ["mcc"]),
        "sst2": (["negative", "positive"], ["accuracy"]),
        "mrpc": (["not_equivalent", "equivalent"], ["f1", "accuracy"]),
        "qqp": (["not_duplicate", "duplicate"], ["f1", "accuracy"]),
        "stsb": ([], ["spearman", "pearson"]),
        "mnli": (["entailment", "neutral", "contradiction"], ["accuracy"]),
        "qnli": (nli, ["accuracy"]),
        "rte": (nli, ["accuracy"]),
        "wnli": (nli[::-1], ["accuracy"]),
        "ax": (["entailment", "neutral", "contradiction"], ["mcc"]),
    }
    for name, (labels, metrics) in expected.items():
        task = make_task(name)
        assert (list(task.labels), list(task.metrics)) == (labels, metrics), name
        assert task.num_outputs == (len(labels) or 1)
        assert task.regression == (name == "stsb")


def test_mnli_is_validated_on_matched_first_and_mismatched(make_task):
    assert make_task("mnli").validation_splits == ("validation_matched", "validation_mismatched")
    assert make_task("rte").validation_splits == ("validation",)


def test_a_task_without_such_a_split_says_which_it_has(make_task, error_of):
    assert error_of(make_task("ax").read, "train") == "task ax has no split train; it has: test"


def test_broken_rows_of_qqp_are_skipped_counted_and_told(make_task, write, tmp_path):
    path = write("glue/QQP/train.tsv", QQP + "0\t1\t2\ta\tb\t1\n1\tonly\n2\t1\t2\ta\tb\t1\tmore\n3\t1\t2\tc\td\t0\n")
    task = make_task("qqp", data_dir=tmp_path)
    assert task.read("train")["text"] == ["a", "c"]
    assert task.notes == [f"{path}: skipped 2 rows with a wrong number of columns"]


def test_broken_rows_of_other_tasks_are_errors(make_task, write, tmp_path, error_of):
    path = write("glue/RTE/train.tsv", NLI + "0\ta\tb\tentailment\n1\tc\tentailment\n")
    message = error_of(make_task("rte", data_dir=tmp_path).read, "train")
    assert message == f"{path}:3: expected 4 columns, found 3"


def test_a_broken_row_of_a_file_without_header_has_the_right_line(make_task, write, tmp_path, error_of):
    path = write("glue/CoLA/train.tsv", "gj04\t1\t\tOne more.\ngj04\t1\tTwo.\n")
    assert error_of(make_task("cola", data_dir=tmp_path).read, "train") == f"{path}:2: expected 4 columns, found 3"


@pytest.mark.parametrize(
    ("name", "file", "content", "message"),
    [
        ("rte", "RTE", NLI + "0\ta\tb\tno\n", ":2: unknown label 'no'; expected entailment or not_entailment"),
        ("rte", "RTE", NLI + "0\ta\tb\t0\n", ":2: unknown label '0'; expected entailment or not_entailment"),
        ("wnli", "WNLI", NLI + "0\ta\tb\t2\n", ":2: unknown label '2'; expected 0 or 1"),
        ("cola", "CoLA", "gj04\tyes\t\tOne.\n", ":1: unknown label 'yes'; expected 0 or 1"),
        ("rte", "RTE", "", ": the file is empty"),
        ("rte", "RTE", NLI, ": no examples"),
        ("rte", "RTE", NLI.encode() + b"0\ta\xff\tb\tentailment\n", ":2: not valid UTF-8 (byte 0xff)"),
        (
            "rte",
            "RTE",
            "index\tpremise\tsentence2\tlabel\n0\ta\tb\tentailment\n",
            ":1: no column 'sentence1'; found: index, premise, sentence2, label",
        ),
        (
            "rte",
            "RTE",
            "index\tsentence1\tsentence2\n0\ta\tb\n",
            ":1: no column 'label'; found: index, sentence1, sentence2",
        ),
    ]
    + [
        ("stsb", "STS-B", f"{STSB}\tscore\n0\tg\tf\t1\t1\tn\tn\ta\tb\t{x}\n", f":2: expected a number, found {x!r}")
        for x in ("high", "", "nan", "inf", "-")
    ],
)  # fmt: skip
def test_a_bad_file_is_an_error_with_file_and_line(name, file, content, message, make_task, write, tmp_path, error_of):
    path = write(f"glue/{file}/train.tsv", content)
    assert error_of(make_task(name, data_dir=tmp_path).read, "train") == f"{path}{message}"


def test_a_missing_folder_and_a_missing_file_are_named(make_task, write, tmp_path, error_of):
    task = make_task("rte", data_dir=tmp_path / "no")
    file = tmp_path / "no" / "glue" / "RTE" / "train.tsv"
    assert error_of(task.read, "train") == f"{file}: there is no folder {tmp_path / 'no'}"
    write("glue/RTE/dev.tsv", NLI)
    task = make_task("rte", data_dir=tmp_path)
    assert error_of(task.read, "train") == f"{tmp_path / 'glue' / 'RTE' / 'train.tsv'}: no such file"


@pytest.mark.parametrize("name", COUNTS)
def test_the_real_files_are_read_whole(name, make_task, real_data):
    task = make_task(name, data_dir=real_data)
    for split, count in zip(("train", "validation", "test"), COUNTS[name], strict=True):
        rows = task.read(split)
        assert len(rows) == count
        assert ("label" in rows.column_names) == (split != "test")
        assert ("text_pair" in rows.column_names) == (name not in SINGLE)
        if split != "test":
            labels = set(rows["label"][:])
            assert all(0 <= label <= 5 for label in labels) if name == "stsb" else labels == {0, 1}
    assert task.notes == []


HUB_TEXT = {  # hub's columns and label names, in an order that is not the task's
    "cola": (["sentence"], ["acceptable", "unacceptable"]),
    "sst2": (["sentence"], ["positive", "negative"]),
    "mrpc": (["sentence1", "sentence2"], ["equivalent", "not_equivalent"]),
    "qqp": (["question1", "question2"], ["duplicate", "not_duplicate"]),
    "stsb": (["sentence1", "sentence2"], None),
    "mnli": (["premise", "hypothesis"], ["contradiction", "neutral", "entailment"]),
    "qnli": (["question", "sentence"], ["not_entailment", "entailment"]),
    "rte": (["sentence1", "sentence2"], ["not_entailment", "entailment"]),
    "wnli": (["sentence1", "sentence2"], ["entailment", "not_entailment"]),
    "ax": (["premise", "hypothesis"], ["contradiction", "neutral", "entailment"]),
}


def hub_table(name, labels):
    columns, names = HUB_TEXT[name]
    rows = {column: [f"{column} {i}" for i in range(len(labels))] for column in columns}
    feature = ClassLabel(names=names) if names else Value("float32")
    features = Features({column: Value("string") for column in columns} | {"label": feature, "idx": Value("int32")})
    return Dataset.from_dict(rows | {"label": labels, "idx": list(range(len(labels)))}, features=features)


@pytest.mark.parametrize("name", [name for name in HUB_TEXT if name != "stsb"])
def test_labels_of_the_hub_are_mapped_by_name_not_by_position(name, make_task, hub):
    columns, names = HUB_TEXT[name]
    asked = hub(hub_table(name, list(range(len(names)))))
    task = make_task(name, hub_revision="abc")
    split = next(iter(task.files))
    rows = task.read(split)
    assert asked == [("nyu-mll/glue", name, split, "abc")]
    assert [task.labels[number] for number in rows["label"]] == names
    assert rows["text"] == [f"{columns[0]} {i}" for i in range(len(names))]
    assert len(columns) == 1 or rows["text_pair"] == [f"{columns[1]} {i}" for i in range(len(names))]
    assert set(rows.column_names) == {"text", "label"} | ({"text_pair"} if len(columns) == 2 else set())


def test_scores_of_the_hub_stay_numbers(make_task, hub):
    hub(hub_table("stsb", [0.0, 5.0, 2.5]))
    assert make_task("stsb").read("validation")["label"] == [0.0, 5.0, 2.5]


@pytest.mark.parametrize("name", HUB_TEXT)
def test_test_labels_that_the_hub_does_not_publish_are_no_labels(name, make_task, hub):
    hub(hub_table(name, [-1, -1]))
    task = make_task(name)
    rows = task.read(next(split for split in task.files if split.startswith("test")))
    assert len(rows) == 2
    assert "label" not in rows.column_names


def test_a_label_that_only_the_hub_knows_is_an_error(make_task, hub, error_of):
    hub(hub_table("rte", [0]).cast_column("label", ClassLabel(names=["maybe", "entailment"])))
    assert "unknown label 'maybe'" in error_of(make_task("rte").read, "train")


@pytest.mark.parametrize("error", [ConnectionError("offline\nmore"), FileNotFoundError(), ValueError(" \n")])
def test_without_hub_and_data_dir_the_error_says_what_to_do(error, make_task, hub, error_of):
    hub(error)
    message = error_of(make_task("rte").read, "train")
    assert message.startswith("nyu-mll/glue cannot be read from the hub (")
    assert "()" not in message
    assert message.endswith("give data_dir=DIR (or $HEAD2HEAD_DATA) with the official files in DIR/glue/RTE")


def test_offline_the_hub_is_an_error_that_says_what_to_do(make_task, error_of):
    assert "give data_dir=DIR" in error_of(make_task("rte").read, "train")


@pytest.mark.parametrize("name", ["rte", "stsb", "cola"])
def test_test_labels_that_are_all_minus_one_are_no_labels(name, make_task, write, tmp_path):
    """As in files made from the hub's copy."""
    header, row = {
        "rte": ("index\tsentence1\tsentence2\tlabel", "0\ta\tb\t-1"),
        "stsb": (f"{STSB}\tscore", "0\tg\tf\t1\t1\tn\tn\ta\tb\t-1.0"),
        "cola": ("index\tsentence\tlabel", "0\ta\t-1"),
    }[name]
    folder = {"rte": "RTE", "stsb": "STS-B", "cola": "CoLA"}[name]
    write(f"glue/{folder}/test.tsv", f"{header}\n{row}\n{row}\n")
    rows = make_task(name, data_dir=tmp_path).read("test")
    assert len(rows) == 2
    assert "label" not in rows.column_names


def test_a_column_that_stands_twice_is_an_error(make_task, write, tmp_path, error_of):
    path = write("glue/RTE/train.tsv", "index\tsentence1\tsentence2\tsentence1\tlabel\n0\ta\tb\tc\tentailment\n")
    message = error_of(make_task("rte", data_dir=tmp_path).read, "train")
    assert message == f"{path}:1: column 'sentence1' stands there 2 times"


def test_a_row_of_the_hub_without_a_label_among_others_is_an_error(make_task, hub, error_of):
    hub(hub_table("rte", [0, -1, 1]))
    message = error_of(make_task("rte").read, "train")
    assert message == "nyu-mll/glue/rte train: row 2 has no label, and others have one"
