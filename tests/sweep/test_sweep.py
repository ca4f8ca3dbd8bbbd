"""Whole sweeps: what is run, what is not run again, and what survives a kill."""

import json
import random
import shutil
import signal
import time

import pytest
from project import SMALL, Project

import wandb_file


@pytest.fixture
def finished(undisturbed, tmp_path):
    """A copy of it."""
    shutil.copytree(undisturbed.folder, tmp_path / "finished", copy_function=shutil.copy2)
    return Project.at(tmp_path / "finished")


def test_a_finished_sweep_starts_nothing(finished):
    before = finished.folders()
    again = finished.sweep()
    assert again.returncode == 0
    assert "nothing to do, no run started: all 4 runs have results" in again.stdout
    assert finished.folders() == before


def test_a_deleted_result_is_the_only_one_run_again(finished):
    before, results_file = finished.folders(), finished.home / "results.jsonl"
    lost, *kept = before
    shutil.rmtree(finished.folder / lost)
    lines = results_file.read_text().splitlines(keepends=True)
    results_file.write_text("".join(line for line in lines if lost not in line))
    expected = {json.loads(line)["key"] for line in lines}
    plan = finished.sweep("plan=true")
    assert plan.stdout.count("majority · ") == 1
    assert "smoke: 3 of 4 runs have results, 0 failed, 1 left" in plan.stdout
    assert len(finished.folders()) == 3
    assert "4 of 4 runs finished: 1 now" in finished.sweep().stdout
    after = finished.folders()
    assert after.keys() == before.keys()
    assert all(after[folder] == before[folder] for folder in kept)
    assert finished.outcome().keys() == expected


def test_run_folders_alone_and_committed_results_alone_are_both_enough(finished):
    results_file = finished.home / "results.jsonl"
    expected = results_file.read_bytes()
    results_file.unlink()
    assert "no run started" in finished.sweep().stdout
    assert results_file.read_bytes() == expected
    shutil.rmtree(finished.folder / "lightning_logs")
    assert "no run started" in finished.sweep().stdout
    assert finished.folders() == {}


def test_what_is_typed_takes_the_place_of_the_files_values(project):
    place = project()
    plan = place.sweep("plan=true", "task=majority", "head=mean,cls", "seed=7", "trainer.max_epochs=1").stdout
    assert plan.index("smoke: 0 of 2 runs have results") == len("".join(plan.splitlines(keepends=True)[:2]))
    for head in ("mean", "cls"):
        assert f"majority · {head} · seed 7" in plan
    assert plan.count("trainer.max_epochs=1") == 2
    assert "trainer.max_epochs=3" not in plan


def test_killed_at_random_moments_a_sweep_ends_with_the_results_of_one_never_killed(project, undisturbed):
    killed = project(**SMALL)
    seen: dict[str, int] = {}
    moments = random.Random(0)
    for _ in range(2):
        process = killed.start()
        there = len(killed.folders())
        # From the first claimed run on: earlier there is nothing to disturb.
        claims = killed.folder / "lightning_logs/.claims"
        killed.wait(
            lambda c=claims, p=process: (c.is_dir() and any(len(x.name) == 64 for x in c.iterdir())) or p.poll()
        )
        killed.wait(lambda n=there, p=process: len(killed.folders()) > n or p.poll() is not None)
        time.sleep(moments.uniform(0, 0.5))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        now = killed.folders()
        assert seen.items() <= now.items()  # no finished run was done again
        seen = now
    last = killed.sweep()
    assert last.returncode == 0, last.stderr
    assert seen.items() <= killed.folders().items()
    assert len(killed.folders()) == 4
    assert killed.outcome() == undisturbed.outcome()
    every = [path for path in (killed.folder / "lightning_logs").glob("majority/*/*") if path.is_dir()]
    assert len(every) == 4  # what the killed runs left behind is gone


def test_two_sweeps_started_together_share_the_work(project):
    place = project(**SMALL)
    both = [place.start(), place.start()]
    told = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert len(place.results()) == 4
    assert len(place.folders()) == 4  # a run done twice would have a second folder


OWN_POOLS = """
import os, signal, torch
from head2head.model.heads.pooling import Mean

class Raises(Mean):
    def forward(self, *arguments):
        raise ZeroDivisionError("on purpose")

class Killed(Mean):
    def forward(self, *arguments):
        os.kill(os.getpid(), signal.SIGKILL)

class NotANumber(Mean):
    def forward(self, *arguments):
        return super().forward(*arguments) * float("nan")
"""


def test_runs_that_raise_die_or_diverge_are_named_and_the_rest_is_finished(project):
    place = project(task=["majority"], head=["raises", "killed", "mean", "not_a_number", "max"], seed=[0])
    (place.folder / "own.py").write_text(OWN_POOLS)
    heads = place.folder / "configs/head"
    heads.mkdir(parents=True)
    for name, pool in (("raises", "Raises"), ("killed", "Killed"), ("not_a_number", "NotANumber")):
        (heads / f"{name}.yaml").write_text(
            f"defaults: [mean, _self_]\npool:\n  _target_: own.{pool}\n  special_tokens: true\n"
        )
    done = place.sweep()
    assert done.returncode == 1
    results = {result["head"]: result for result in place.results()}
    assert {head for head, result in results.items() if result["failed"] is None} == {"mean", "max"}
    assert "ZeroDivisionError: on purpose" in results["raises"]["failed"]
    assert "worker died" in results["killed"]["failed"]
    assert "tried 3 times, the last time alone" in results["killed"]["failed"]
    assert "not finite" in results["notanumber"]["failed"] or "loss is nan" in results["notanumber"]["failed"]
    for name in ("raises", "killed", "notanumber"):
        assert f"failed: majority · {name} · seed 0" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: 3 of 5 runs failed (3 on majority)")
    assert "Traceback" not in done.stderr

    mended = OWN_POOLS.replace('raise ZeroDivisionError("on purpose")', "return super().forward(*arguments)")
    (place.folder / "own.py").write_text(mended)
    again = place.sweep("head=raises,mean", "retry=true")
    assert again.returncode == 0, again.stderr
    assert "2 of 2 runs finished: 1 now" in again.stdout


def test_with_wandb_each_run_is_an_offline_run_of_its_own_with_all_that_came_out(project):
    place = project(task=["majority"], head=["mean", "max"], seed=[0])
    done = place.sweep("logger=wandb")
    assert done.returncode == 0, done.stderr
    assert "W&B: 2 runs are offline; send them with: wandb sync lightning_logs/*/*/*/wandb/offline-run-*" in done.stdout
    files = "lightning_logs/*/*/*/wandb/offline-run-*/*.wandb"
    place.wait(lambda: len(list(place.folder.glob(files))) == 2, seconds=60)
    stored = [wandb_file.read_finished(path) for path in place.folder.glob(files)]
    assert len(stored) == len(place.results()) == 2
    results = {result["key"]: result for result in place.results()}
    for run in stored:
        result = results.pop(run["config"]["key"])
        assert run["config"]["resolved"]["seed"] == 0
        assert {"train/loss", "validation/accuracy", "score"} <= set(run["history"])
        assert run["summary"]["score"] == pytest.approx(result["score"])
        assert run["run"].run_group == "smoke"
        assert run["run"].display_name == f"majority/{result['head']}/0"
        assert run["exit"] == 0
    assert not results
