"""What `plan=true` says of a sweep's cost."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from head2head.run.result import Result
from head2head.statistics.uncertainty import detectable_by_design
from head2head.sweep.job import portable
from head2head.sweep.request import parse
from head2head.sweep.run import show_plan
from head2head.sweep.search import Search

GRID = {
    "task": ["majority", "needle"], "head": ["cls", "mean"], "optimizer.lr": [1e-4, 2e-4, 4e-4], "fold": [0, 1, 2],
    "folds": [3], "encoder": ["random-tiny"], "threads": [1], "task.rows.train": [90],
}  # fmt: skip


pytestmark = pytest.mark.usefixtures("kept_compositions")


@pytest.fixture
def planned(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEAD2HEAD_DATA", raising=False)
    (tmp_path / "experiments/mine").mkdir(parents=True)
    content = {"method": "grid", "parameters": {name: {"values": values} for name, values in GRID.items()}}
    (tmp_path / "experiments/mine/sweep.yaml").write_text(yaml.safe_dump(content, sort_keys=False))

    def plan(*typed):
        show_plan(parse(["experiment=mine", *typed]))
        lines = capsys.readouterr().out.splitlines()
        start = next(i for i, line in enumerate(lines) if line.startswith("mine: "))
        return lines[start:]

    return plan


def finished(run, settings, seconds):
    return Result(
        key=run.key, overrides=list(run.overrides), config=settings, task=run.identity.task.name,
        head=run.identity.head, seed=0, metric="accuracy", split="fold", score=0.5, seconds={"total": seconds},
    )  # fmt: skip


def test_a_plan_tells_runs_by_task_and_head_what_may_follow_and_what_the_design_can_detect(planned):
    told = planned()
    assert told[:5] == [
        "mine: 0 of 36 runs have results, 0 failed, 36 left",
        "      majority  needle",
        "cls          9       9",
        "mean         9       9",
        "may follow, at most: 24 to grow grids, 4 to check epochs",
    ]
    assert told[5].startswith("smallest difference of a head from the reference that 80% of such sweeps would detect")
    assert "disagree on 15% of the rows" in told[5]
    assert "by 1 points from run to run" in told[5]
    expected = 100 * detectable_by_design(90, 3, 0.15, 0.01)
    assert told[6:] == [
        f"  {task}: {expected:.1f} points (90 rows, 3 runs a head, 2 heads)" for task in ("majority", "needle")
    ]


def test_what_is_assumed_can_be_set_and_what_may_follow_be_turned_off(planned):
    told = planned("disagreement=0.3", "run_spread=0.05", "grow=false", "check_epochs=false", "task=needle")
    assert not any("may follow" in line for line in told)
    assert (
        told[-1]
        == f"  needle: {100 * detectable_by_design(90, 3, 0.3, 0.05):.1f} points (90 rows, 3 runs a head, 2 heads)"
    )
    assert "disagree on 30% of the rows" in told[-2]


def test_time_is_told_from_runs_of_the_same_kind_wherever_they_were_made(planned):
    search = Search(parse(["experiment=mine"]))
    runs = {(run.identity.task.name, run.identity.head): run for run in search.known()}
    request = search.request
    run = runs["majority", "cls"]
    request.results_file.add(portable(finished(run, search.settings_of(run), 60.0), run.identity))
    assert (
        "time, one after another: about 8 min 0 s for 8 of them; of the others nothing of the kind has finished"
        in planned()
    )
    other = Search(parse(["experiment=mine", "head=mean", "optimizer.lr=0.5"])).known()
    for run in other[:2]:  # other keys, by train.py perhaps
        folder = Path(run.identity.parent, run.identity.name)
        folder.mkdir(parents=True)
        result = finished(run, search.settings_of(run), 30.0)
        (folder / "result.json").write_text(json.dumps(asdict(result)))
    told = planned("task=majority")
    assert "time, one after another: about 12 min 30 s" in told


def test_nothing_is_said_of_time_where_nothing_of_the_kind_has_finished(planned):
    assert not any("time" in line for line in planned())
