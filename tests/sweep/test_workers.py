"""How many joblib workers a sweep gets, and how many threads each of them."""

import os

import pytest
import torch
import yaml
from project import ROOT

from head2head.errors import UserError
from head2head.sweep.request import parse
from head2head.sweep.workers import choose, on_gpu, share

pytestmark = pytest.mark.usefixtures("kept_compositions")


@pytest.fixture
def cores():
    """This test may use two cores, or one where there are no more."""
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system binds no process to cores")
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:2])
    yield len(os.sched_getaffinity(0))
    os.sched_setaffinity(0, before)


@pytest.fixture(autouse=True)
def smoke(tmp_path, monkeypatch):
    """The smoke experiment, and `small`, which says nothing of threads."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LOKY_MAX_CPU_COUNT", raising=False)
    content = yaml.safe_load((ROOT / "experiments/smoke/sweep.yaml").read_text())
    for name in ("smoke", "small"):
        (tmp_path / "experiments" / name).mkdir(parents=True)
        (tmp_path / "experiments" / name / "sweep.yaml").write_text(yaml.safe_dump(content))
        content["parameters"].pop("threads", None)


def chosen(*arguments):
    """What is chosen, and what the launcher and the runs are given."""
    for_hydra = [text for text in arguments if text.lstrip("+").startswith("hydra")]
    workers = choose(parse([text for text in arguments if text not in for_hydra]), for_hydra)
    return str(workers), *workers.for_launcher, *workers.for_runs


@pytest.mark.parametrize(
    ("n_jobs", "threads", "gpu", "count", "each"),
    [
        (None, None, False, 8, 1),
        (None, 1, False, 8, 1),
        (None, 2, False, 4, 2),
        (None, 3, False, 2, 3),  # two cores idle rather than one with two threads
        (None, 16, False, 1, 16),
        (2, None, False, 2, 4),
        (3, None, False, 3, 2),
        (16, None, False, 16, 1),
        (2, 1, False, 2, 1),
        (16, 4, False, 16, 4),  # what was typed is done
        (None, None, True, 4, 2),
        (None, 1, True, 4, 1),
        (None, 4, True, 2, 4),
        (6, None, True, 6, 1),
    ],
)
def test_eight_cores_are_dealt_out(n_jobs, threads, gpu, count, each):
    workers = share(8, n_jobs, threads, gpu)
    assert (workers.count, workers.threads) == (count, each)


@pytest.mark.parametrize("gpu", [False, True])
def test_on_one_core_there_is_one_worker(gpu):
    assert str(share(1, None, None, gpu)) == "1 worker x 1 thread"


def test_with_neither_set_there_are_as_many_workers_as_cores_that_the_process_may_use(cores):
    told, launcher, runs = chosen("experiment=small")
    assert told == ("2 workers x 1 thread" if cores == 2 else "1 worker x 1 thread")
    assert (launcher, runs) == (f"hydra.launcher.n_jobs={cores}", "threads=1")


@pytest.mark.usefixtures("cores")
@pytest.mark.parametrize("experiment", ["small", "smoke"])
def test_threads_that_are_typed_count_and_the_workers_fit_them(experiment):
    assert chosen(f"experiment={experiment}", "threads=2") == ("1 worker x 2 threads", "hydra.launcher.n_jobs=1")


def test_threads_in_the_sweep_file_count(cores):
    assert chosen("experiment=smoke")[1:] == (f"hydra.launcher.n_jobs={cores}",)
    assert chosen("experiment=smoke", "hydra.launcher.n_jobs=1") == ("1 worker x 1 thread", "hydra.launcher.n_jobs=1")


@pytest.mark.parametrize(("typed", "count"), [("1", 1), ("3", 3), ("-1", None), ("-99", 1)])
def test_workers_that_are_typed_count_and_the_threads_fit_them(typed, count, cores):
    count = count or cores
    _, launcher, runs = chosen("experiment=small", "hydra.launcher.n_jobs=7", f"hydra.launcher.n_jobs={typed}")
    assert (launcher, runs) == (f"hydra.launcher.n_jobs={count}", f"threads={max(1, cores // count)}")


@pytest.mark.parametrize("typed", ["0", "many", ""])
def test_a_number_of_workers_that_is_none_is_refused(typed):
    with pytest.raises(UserError, match=rf"^hydra.launcher.n_jobs={typed}: a number of workers, or -1 for one a core$"):
        chosen("experiment=smoke", f"hydra.launcher.n_jobs={typed}")


def test_a_gpu_that_torch_would_use_is_seen(monkeypatch):
    assert on_gpu("auto") or not (torch.cuda.is_available() or torch.backends.mps.is_available())
    assert on_gpu("gpu")
    assert on_gpu("cuda")
    assert not on_gpu("cpu")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert on_gpu("auto") == torch.backends.mps.is_available()
