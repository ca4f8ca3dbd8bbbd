"""Frozen runs in a sweep: those that share features are trained together, and nothing else changes."""

import json
import signal

import pytest
from project import Project

FROZEN = {
    "head": ["mean", "max", "attention"],
    "task": ["majority"],
    "seed": [0, 1],
    "encoder.frozen": [True],
    "trainer.precision": ["64-true"],
}


@pytest.fixture(scope="module")
def one_by_one(tmp_path_factory):
    """The same runs by Lightning's Trainer."""
    project = Project(tmp_path_factory.mktemp("alone"), **FROZEN)
    assert project.sweep("profile=true").returncode == 0
    return project.outcome()


def test_a_sweep_trains_frozen_runs_together_with_the_results_of_each_alone(tmp_path, one_by_one):
    project = Project(tmp_path, **FROZEN)
    done = project.sweep()
    assert done.returncode == 0, done.stderr
    assert project.outcome() == one_by_one
    assert {result["together"] for result in project.results()} == {6}
    assert "nothing to do, no run started" in project.sweep().stdout


def test_several_workers_share_a_bank(tmp_path, one_by_one):
    project = Project(tmp_path, **FROZEN)
    done = project.sweep("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    assert done.returncode == 0, done.stderr
    assert project.outcome() == one_by_one
    assert [result["together"] for result in project.results()] == [3] * 6


def test_only_what_is_left_of_a_bank_is_run(tmp_path, one_by_one):
    project = Project(tmp_path, **FROZEN)
    assert project.sweep("head=mean").returncode == 0
    before = project.folders()
    assert project.sweep().returncode == 0
    assert {folder: time for folder, time in project.folders().items() if folder in before} == before
    assert project.outcome() == one_by_one
    assert sorted(result["together"] for result in project.results()) == [2, 2, 4, 4, 4, 4]


def test_a_killed_bank_is_run_again_and_leaves_nothing_half_written(tmp_path, one_by_one):
    project = Project(tmp_path, **FROZEN)
    sweep = project.start()
    project.wait(lambda: len(list(tmp_path.glob("lightning_logs/.claims/[0-9a-f]*"))) == 6)
    sweep.kill()
    sweep.send_signal(signal.SIGKILL)
    sweep.communicate(timeout=60)
    project.wait(lambda: project.sweep().returncode == 0)
    assert project.outcome() == one_by_one
    folders = [path for path in tmp_path.glob("lightning_logs/*/*/*") if ".sweeps" not in str(path)]
    assert {str(path.relative_to(tmp_path)) for path in folders} == set(project.folders())
    assert not list(tmp_path.glob("lightning_logs/.claims/[0-9a-f]*"))


def test_a_run_of_a_bank_that_cannot_be_is_named_and_the_others_finish(tmp_path):
    project = Project(tmp_path, **FROZEN | {"head.dropout": [0.1, 2], "head": ["mean"], "seed": [0]})
    done = project.sweep()
    assert done.returncode == 1
    assert "head: dropout" in done.stderr
    assert "1 of 2 runs failed" in done.stderr
    assert sorted(result["failed"] is None for result in project.results()) == [False, True]


def test_a_frozen_run_of_train_py_counts_for_the_sweep(tmp_path, one_by_one):
    project = Project(tmp_path, **FROZEN)
    assert project.sweep("seed=0").returncode == 0
    (project.home / "results.jsonl").rename(project.home / "other.jsonl")
    again = project.sweep("seed=0")
    assert "no run started" in again.stdout
    assert all(json.dumps(result) for result in project.results())
    assert set(project.outcome()) < set(one_by_one)
