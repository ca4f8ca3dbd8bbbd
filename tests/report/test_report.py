"""`head2head report`: files, errors, and that the same results give the same bytes."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from synthetic import make_result, write_experiment
from typer.testing import CliRunner

from head2head.cli.main import app
from head2head.report.report import csv

FILES = ["comparisons.csv", "metrics.csv", "report.html", "table.csv", "table.md", "table.tex"]


def results():
    rng = np.random.default_rng(0)
    return [
        make_result(task, head, seed, round(float(rng.normal(0.7, 0.02)), 3))
        for task in ("rte", "sst2")
        for head in ("pooler", "mean", "max")
        for seed in range(4)
    ]


@pytest.fixture
def trial(make):
    return make(results())


def run(*arguments: str):
    return CliRunner().invoke(app, ["report", *arguments])


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """The same with its report, for tests that only read it: its folder, and how the command ended."""
    place = tmp_path_factory.mktemp("reported")
    folder = write_experiment(place, results(), "trial")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        return folder, run("trial")


def test_the_files_are_written_and_named(reported):
    trial, done = reported
    assert done.exit_code == 0, done.output
    for name in FILES:
        assert (trial / name).stat().st_size > 0
        assert f"experiments/trial/{name}" in done.output
    assert (trial / "plots" / "seeds.svg").stat().st_size > 0
    assert "experiments/trial/plots\n" in done.output
    assert "mean over runs ± standard deviation" in done.output


def test_the_page_begins_with_the_command_that_makes_it(reported, trial):
    assert "Made by `head2head report trial`." in (reported[0] / "table.md").read_text()
    run("trial", "--alpha", "0.1", "--reference", "mean", "--margin", "0.02", "--leave-out", "rte")
    made = (trial / "table.md").read_text().splitlines()[2]
    assert made == ("Made by `head2head report trial --reference mean --alpha 0.1 --margin 0.02 --leave-out rte`.")


def test_options_kept_with_the_experiment_need_not_be_given(trial):
    (trial / "report.yaml").write_text("reference: max\n")
    run("trial")
    assert "Made by `head2head report trial`." in (trial / "table.md").read_text()
    assert set(pd.read_csv(trial / "comparisons.csv").query("to_reference")["reference"]) == {"max"}
    run("trial", "--reference", "mean")
    assert "Made by `head2head report trial --reference mean`." in (trial / "table.md").read_text()


@pytest.mark.parametrize(
    ("text", "error"), [("refrence: max", "unknown option .refrence.; choose from: reference"), ("[", "not yaml: ")]
)
def test_a_wrong_file_of_options_is_one_line(trial, text, error):
    (trial / "report.yaml").write_text(text)
    done = run("trial")
    assert done.exit_code == 1
    assert re.match(rf"error: experiments/trial/report\.yaml(:1)?: {error}", done.stderr)


def test_the_same_results_give_the_same_bytes_whatever_their_order(reported, trial, tmp_path):
    path = trial / "results.jsonl"
    path.write_text("\n".join(reversed(path.read_text().splitlines())))
    run("trial", "--output", "other")
    for name in FILES:
        assert (tmp_path / "other" / name).read_bytes() == (reported[0] / name).read_bytes()


def test_metrics_csv_has_every_metric_of_every_run(reported):
    trial, _ = reported
    found = pd.read_csv(trial / "metrics.csv")
    assert len(found) == 24
    assert list(found) == "task head setting seed reported split metric value baseline".split()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["nothing"], "unknown experiment 'nothing'"),
        (["trial", "--reference", "men"], "--reference men: no such head in trial; did you mean mean?"),
        (["trial", "--margin", "2"], "--margin 2.0: 0.01 is one point"),
        (["trial", "--alpha", "5"], "--alpha 5.0: a level between 0 and 1"),
        (["trial", "--output", "file/below"], "file/below: cannot be written: Not a directory"),
    ],
)
def test_errors_are_one_line(trial, tmp_path, arguments, error):
    (tmp_path / "file").touch()
    done = run(*arguments)
    assert done.exit_code == 1
    assert done.stderr.startswith(f"error: {error}")
    assert done.stderr.count("\n") == 1
    assert not (trial / "table.md").exists()


def test_a_broken_published_file_leaves_nothing_half_written(trial):
    (trial / "published.csv").write_text("task\n")
    assert run("trial").exit_code == 1
    assert not (trial / "table.md").exists()


def test_an_experiment_of_failures_alone_is_reported(make):
    folder = make([make_result("rte", head, seed, None) for head in ("mean", "cls") for seed in (0, 1)])
    done = run("trial")
    assert done.exit_code == 0, done.output
    assert "2 failed" in (folder / "table.md").read_text()


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_degenerate_experiments_are_reported(make):
    make([make_result("rte", "mean", 0, 0.7)])
    assert run("trial").exit_code == 0
    make([make_result(task, head, seed, 0.5) for task in "ab" for head in ("x", "y", "z") for seed in range(3)])
    assert run("trial").exit_code == 0


def test_a_report_imports_no_torch(make):
    trial = make([make_result("rte", head, seed, 0.6 + seed / 10) for head in ("mean", "max") for seed in (0, 1)])
    code = "import sys; from head2head.report.report import report; report('trial', {}); "
    code += "assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=trial.parents[1], env=os.environ, capture_output=True)


def test_names_that_a_spreadsheet_would_evaluate_are_escaped_and_numbers_stay():
    frame = pd.DataFrame(
        {"task": ["=cmd|' /C calc'!A0", "rte"], "@x": ["-1", "-"], "n": [-1, 2], "score": [-0.5, 0.25]}
    )
    read = pd.read_csv(io.StringIO(csv(frame)))
    assert list(read.columns) == ["task", "'@x", "n", "score"]
    assert list(read["task"]) == ["'=cmd|' /C calc'!A0", "rte"]
    assert list(read["'@x"]) == ["-1", "'-"]
    assert list(read["n"]) == [-1, 2]
    assert list(read["score"]) == [-0.5, 0.25]
