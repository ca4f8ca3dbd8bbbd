"""The sweep's loop, with launchers that misbehave; nothing is trained."""

import errno
import os
import shutil
import traceback
from dataclasses import asdict
from pathlib import Path

import pytest

from head2head.errors import Unwritable, UserError
from head2head.run import processes
from head2head.sweep import claims
from head2head.sweep.display import Display
from head2head.sweep.driver import Driver
from head2head.sweep.job import failed, portable
from head2head.sweep.request import parse
from head2head.sweep.search import Search

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.usefixtures("kept_compositions")


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """A driver for two runs of the smoke experiment, still to be given a launcher, and these runs."""
    (tmp_path / "experiments/smoke").mkdir(parents=True)
    shutil.copy(ROOT / "experiments/smoke/sweep.yaml", tmp_path / "experiments/smoke")
    monkeypatch.chdir(tmp_path)
    request = parse(["experiment=smoke", "task=majority", "head=mean,max", "seed=0"])
    search = Search(request)

    def make(launch):
        places = (request.results_file, Path("lightning_logs"), search.settings_of, tmp_path / "log.txt")
        return Driver(launch, *places, Display("smoke"), identifier="me")

    return make, search.known()


def finish(run):
    """What a worker leaves behind that has finished a run."""
    driver_result = failed(run_settings(run), run, "made up")
    driver_result.failed, driver_result.score = None, 0.5
    parse(["experiment=smoke"]).results_file.add(portable(driver_result, run.identity))


def run_settings(run):
    return Search(parse(["experiment=smoke"])).settings_of(run)


def claimed(run, **process):
    """What a worker leaves behind that was killed: its claim."""
    place = claims.folder(Path("lightning_logs"))
    place.mkdir(parents=True, exist_ok=True)
    claims._write(place / run.key, claims.Claim(run.key, "me", **(asdict(processes.this()) | process)))


def test_a_run_that_kills_its_workers_on_another_machine_fails_in_the_end(sweep, monkeypatch):
    monkeypatch.setattr(claims, "STALE", 0.5)
    make, runs = sweep
    by_overrides = {run.overrides: run for run in runs}

    def launch(jobs, first):
        """A cluster: the job of `mean` takes its worker down each time, and the launcher raises at once."""
        for overrides in jobs:
            run = by_overrides[tuple(overrides)]
            if run.identity.head == "max":
                finish(run)
            else:
                claimed(run, host="elsewhere", pid=1, born=0.0)
                Path(f"launched-{first}").touch()
        raise RuntimeError("a worker crashed")

    results = make(launch).run(runs)
    by_head = {result.head: result for result in results.values()}
    assert by_head["max"].failed is None
    assert "worker died" in by_head["mean"].failed
    assert "tried 3 times, the last time alone" in by_head["mean"].failed
    assert len(list(Path().glob("launched-*"))) == 3


def test_a_run_whose_worker_is_told_to_end_each_time_does_not_end_the_sweep(sweep):
    make, runs = sweep
    by_overrides = {run.overrides: run for run in runs}

    def launch(jobs, _first):
        for overrides in jobs:
            run = by_overrides[tuple(overrides)]
            if run.identity.head == "mean":
                claims.give_up(claims.folder(Path("lightning_logs")), run.key, "me", "its worker was told to end")
                raise SystemExit(143)
            finish(run)

    by_head = {result.head: result for result in make(launch).run(runs).values()}
    assert by_head["max"].failed is None
    assert by_head["mean"].failed.startswith("its worker was told to end; tried 3 times")


def test_a_launcher_that_starts_nothing_is_told_with_its_last_words(sweep):
    make, runs = sweep

    def launch(_jobs, _first):
        raise OSError("no such partition: gpus")

    with pytest.raises(UserError, match="hydra/launcher started no run; it says: OSError: no such partition: gpus"):
        make(launch).run(runs)


def test_what_is_raised_outside_a_run_is_in_the_log(sweep):
    make, runs = sweep

    class Ended:
        _return_value = UserError("glue/RTE/train.tsv: no such file")

    with pytest.raises(UserError, match="no such file"):
        make(lambda _jobs, _first: [Ended()]).run(runs)


class Full:
    """What Hydra makes of a job whose disk is full."""

    _return_value = Unwritable("cache_dir: /c cannot be written: No space left on device; make room there")


@pytest.mark.parametrize("log", ["elsewhere", "on the same disk"])
def test_a_full_disk_ends_a_sweep_after_the_batch_in_the_runs_own_words(sweep, log, monkeypatch):
    make, runs = sweep
    if log == "on the same disk":
        monkeypatch.setattr(traceback, "print_exception", no_room)

    def launch(_jobs, first):
        Path(f"launched-{first}").touch()
        finish(runs[1])
        return [Full()]

    driver = make(launch)
    with pytest.raises(
        Unwritable, match=r"^cache_dir: /c cannot be written: No space left on device; make room there$"
    ):
        driver.run(runs)
    assert len(list(Path().glob("launched-*"))) == 1
    assert driver.results_file.read().keys() == {runs[1].key}


def test_a_launcher_without_room_for_its_own_files_says_so(sweep):
    make, runs = sweep
    with pytest.raises(Unwritable, match=r"^output_dir: /o/\.hydra cannot be written: No space left"):
        make(lambda *_: no_room("/o/.hydra")).run(runs)


def no_room(place=None, *_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), place)


def test_a_dead_claim_of_another_sweep_is_no_sign_of_life(sweep):
    make, runs = sweep
    place = claims.folder(Path("lightning_logs"))
    place.mkdir(parents=True)
    old = claims.Claim(runs[0].key, "another", processes.host(), os.getpid(), 0.0)
    claims._write(place / runs[0].key, old)
    with pytest.raises(UserError, match="started no run"):
        make(lambda _jobs, _first: None).run(runs)


@pytest.mark.usefixtures("sweep")
def test_results_that_cannot_be_written_are_told_before_anything_runs():
    from head2head.sweep.run import check_writable

    request = parse(["experiment=smoke"])
    Path("a-file").touch()
    with pytest.raises(UserError, match="a-file/runs: cannot be written"):
        check_writable(request, Path("a-file/runs"))
