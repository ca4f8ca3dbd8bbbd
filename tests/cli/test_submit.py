"""`head2head submit`: what GLUE's server wants, from small made-up test sets in the official layout."""

import dataclasses
import io
import zipfile
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from composed import compose
from head2head.cli import submit as module
from head2head.cli.evaluate import evaluate
from head2head.cli.main import app
from head2head.cli.submit import FILES, column, submit
from head2head.data.glue import Glue
from head2head.errors import UserError
from head2head.run.key import build_task
from head2head.run.run import run

PAIR = "index\tsentence1\tsentence2"
STSB = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2"
# Below glue/, with the quirks of the official files: CoLA's test split has a header, and its other splits none.
OFFICIAL = {
    "CoLA/train.tsv": "gj04\t1\t\tOne more.\nbc01\t0\t*\tThem goes.\ngj04\t1\t\tTwo more.\n",
    "CoLA/dev.tsv": "gj04\t0\t*\tThem went.\ngj04\t1\t\tMore came.\n",
    "CoLA/test.tsv": "index\tsentence\n0\tBill left.\n1\tLeft Bill\n2\tAll of us left.",
    "RTE/train.tsv": f"{PAIR}\tlabel\n0\ta b\tb\tentailment\n1\tc\td\tnot_entailment\n",
    "RTE/dev.tsv": f"{PAIR}\tlabel\n0\te f\tf\tentailment\n1\tc\td\tnot_entailment\n",
    "RTE/test.tsv": f"{PAIR}\n0\tg\th\n1\tthe pear\tpear\n",
    "STS-B/train.tsv": f"{STSB}\tscore\n0\tg\tf\t2012\t1\tn\tn\ta\tb\t3.8\n1\tg\tf\t2012\t1\tn\tn\tc\td\t0.4\n",
    "STS-B/dev.tsv": f"{STSB}\tscore\n0\tg\tf\t2012\t1\tn\tn\tc\td\t0\n1\tg\tf\t2012\t1\tn\tn\tb\tb\t5\n",
    "STS-B/test.tsv": f"{STSB}\n0\tg\tf\t2012\t1\tn\tn\te\tf\n1\tg\tf\t2012\t1\tn\tn\te\te\n",
    "MNLI/train.tsv": f"{PAIR}\tgold_label\n0\ta\tb\tneutral\n1\tc\td\tentailment\n2\te\tf\tcontradiction\n",
    "MNLI/dev_matched.tsv": f"{PAIR}\tgold_label\n0\ta\tb\tneutral\n1\tc\td\tentailment\n",
    "MNLI/dev_mismatched.tsv": f"{PAIR}\tgold_label\n0\ta\tb\tneutral\n1\tc\td\tcontradiction\n",
    "MNLI/test_matched.tsv": f"{PAIR}\n0\tg\th\n1\ti\tj\n",
    "MNLI/test_mismatched.tsv": f"{PAIR}\n0\tg\th\n1\ti\tj\n2\tk\tl\n",
    "diagnostic/diagnostic.tsv": f"{PAIR}\n0\tg\th\n",
}
ROWS = {"CoLA": 3, "RTE": 2, "STS-B": 2, "MNLI-m": 2, "MNLI-mm": 3, "AX": 1}
# The names that the server knows, and what may stand in each.
NAMES = ["CoLA", "SST-2", "MRPC", "STS-B", "MNLI-m", "MNLI-mm", "QNLI", "QQP", "RTE", "WNLI", "AX"]
VALUES = {
    **dict.fromkeys(["CoLA", "SST-2", "MRPC", "QQP", "WNLI"], frozenset({"0", "1"})),
    **dict.fromkeys(["MNLI-m", "MNLI-mm", "AX"], frozenset({"entailment", "neutral", "contradiction"})),
    **dict.fromkeys(["QNLI", "RTE"], frozenset({"entailment", "not_entailment"})),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    place = tmp_path_factory.mktemp("official")
    for name, content in OFFICIAL.items():
        path = place / "glue" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return place


@pytest.fixture(scope="module")
def runs(data):
    found = {}
    for task, head in {"cola": "cls", "rte": "mean", "stsb": "mean", "mnli": "max"}.items():
        overrides = [
            *("encoder=random-tiny", f"task={task}", f"head={head}", f"data_dir={data}", "trainer.max_steps=2"),
            *("optimizer.lr=0.05", "trainer.enable_progress_bar=false", "trainer.accelerator=cpu", "threads=1"),
            *(f"output_dir={data}/runs", f"cache_dir={data}/cache"),
        ]
        found[task] = Path(run(compose(overrides), overrides).folder)
    return found


@pytest.fixture
def small(monkeypatch):
    """The server's numbers of rows, for the made-up test sets."""
    files = tuple(dataclasses.replace(file, rows=ROWS.get(file.name, 4)) for file in FILES)
    monkeypatch.setattr(module, "FILES", files)


def read(path):
    """name -> its lines."""
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
        assert all("/" not in name for name in archive.namelist())
        return {name.removesuffix(".tsv"): archive.read(name).decode().split("\n") for name in archive.namelist()}


@pytest.mark.usefixtures("small")
def test_the_zip_has_the_servers_files_with_every_row_once(runs, tmp_path):
    done = CliRunner().invoke(app, ["submit", *map(str, runs.values()), "--out", str(tmp_path / "glue.zip")])
    assert done.exit_code == 0, done.output
    found = read(tmp_path / "glue.zip")
    assert sorted(found) == sorted(NAMES)
    for name, lines in found.items():
        assert lines[0] == "index\tprediction"
        assert lines[-1] == ""
        rows = [line.split("\t") for line in lines[1:-1]]
        assert [index for index, _ in rows] == [str(number) for number in range(ROWS.get(name, 4))]
        if name in VALUES:
            assert {value for _, value in rows} <= VALUES[name]
    assert "CoLA.tsv: cola · cls · seed 0" in done.output
    assert "AX.tsv: mnli · max · seed 0" in done.output
    assert "QQP.tsv: no run; filled with the majority class of the training rows, 0" in done.output
    assert "6 of 11 files predicted by 4 runs" in done.output


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("task", "name", "split"), [("cola", "CoLA", "test"), ("mnli", "MNLI-mm", "test_mismatched")])
def test_predictions_are_those_of_evaluate(task, name, split, runs, tmp_path):
    submit([runs[task]], tmp_path / "glue.zip")
    evaluate(runs[task], split, output=tmp_path / "found.parquet")
    expected = pyarrow.parquet.read_table(tmp_path / "found.parquet")["prediction"].to_pylist()
    written = [line.split("\t")[1] for line in read(tmp_path / "glue.zip")[name][1:-1]]
    assert written == ([str(int(label == "acceptable")) for label in expected] if task == "cola" else expected)


def test_scores_have_three_decimals_between_0_and_5():
    (stsb,) = [file for file in FILES if file.task == "stsb"]
    assert column(np.array([-0.2, 2.71828, 5.4]), stsb, None) == ["0.000", "2.718", "5.000"]


def test_labels_stand_for_what_the_tasks_mean():
    for file in FILES:
        task = build_task(compose([f"task={file.task}"]))
        assert isinstance(task, Glue)
        if task.regression:
            continue
        numbers = file.labels == ("0", "1")
        assert numbers == task.label_numbers
        assert numbers or set(file.labels) == set(task.labels)
        assert file.constant in file.labels


def test_the_servers_row_counts_are_the_official_ones():
    assert {file.name: file.rows for file in FILES} == {
        **{"CoLA": 1063, "SST-2": 1821, "MRPC": 1725, "STS-B": 1379, "QQP": 390965, "MNLI-m": 9796, "MNLI-mm": 9847},
        **{"QNLI": 5463, "RTE": 3000, "WNLI": 146, "AX": 1104},
    }


def test_constants_are_those_of_the_official_training_files(real_data):
    for file in FILES:
        task = build_task(compose([f"task={file.task}", f"data_dir={real_data}"]))
        if not task.sources()["train"].is_file():
            continue
        labels = task.load("train")["label"][:]
        if file.labels:
            most = max(set(labels), key=labels.count)
            assert file.constant == (str(most) if task.label_numbers else task.labels[most])
        else:
            assert file.constant == f"{sum(labels) / len(labels):.3f}"


def test_a_test_set_that_is_not_the_official_one_is_refused(runs, tmp_path):
    with pytest.raises(UserError, match=r"CoLA/test.tsv: 3 rows, and the server expects 1,063 in CoLA.tsv"):
        submit([runs["cola"]], tmp_path / "glue.zip")
    assert list(tmp_path.iterdir()) == []


def test_two_runs_of_a_task_and_runs_of_others_are_refused(runs, data, tmp_path):
    with pytest.raises(UserError, match="is a run on cola, too"):
        submit([runs["cola"], runs["cola"]], tmp_path / "glue.zip")
    with pytest.raises(UserError, match="the server takes a zip file"):
        submit([runs["cola"]], tmp_path / "glue.tsv")
    overrides = [
        *("encoder=random-tiny", "task.rows.train=8", "task.rows.validation=8", "trainer.max_steps=1"),
        *("trainer.enable_progress_bar=false", f"output_dir={data}/runs", f"cache_dir={data}/cache"),
    ]
    other = Path(run(compose(overrides), overrides).folder)
    with pytest.raises(UserError, match="task agreement has no part in a submission to GLUE"):
        submit([other], tmp_path / "glue.zip")


@pytest.mark.usefixtures("small")
def test_without_its_file_the_diagnostic_set_is_filled_and_that_is_said(runs, tmp_path, capsys):
    for name, content in OFFICIAL.items():
        if name.startswith("MNLI/test"):
            path = tmp_path / "elsewhere/glue" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
    found = submit([runs["mnli"]], tmp_path / "glue.zip", data_dir=tmp_path / "elsewhere")
    assert found["AX"] is None
    assert found["MNLI-m"] is not None
    assert "AX.tsv: its test data are not there; filled" in capsys.readouterr().out
