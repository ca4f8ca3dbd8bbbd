"""Which runs a sweep consists of, and what finding them costs."""

import shutil
from pathlib import Path

import hydra
import pytest

from head2head.run.configuration import compose
from head2head.sweep.request import parse
from head2head.sweep.search import Search

ROOT = Path(__file__).parents[2]


@pytest.fixture
def search(tmp_path, monkeypatch):
    """The search of a sweep over two heads and fifty seeds."""
    (tmp_path / "experiments/smoke").mkdir(parents=True)
    shutil.copy(ROOT / "experiments/smoke/sweep.yaml", tmp_path / "experiments/smoke")
    monkeypatch.chdir(tmp_path)
    seeds = ",".join(map(str, range(50)))
    return Search(parse(["experiment=smoke", "task=majority", "head=mean,max", f"seed={seeds}"]))


def test_hydra_composes_once_for_each_choice_however_often_settings_are_asked_for(search, monkeypatch):
    calls = []
    original = hydra.compose
    monkeypatch.setattr(hydra, "compose", lambda *args, **kwargs: calls.append(kwargs) or original(*args, **kwargs))
    runs = search.known()
    settings = [search.settings_of(run) for run in runs]
    assert len(runs) == 100
    assert {(s["seed"], s["head"]["pool"]["_target_"].rpartition(".")[2]) for s in settings} == {
        (seed, pool) for seed in range(50) for pool in ("Mean", "Max")
    }
    assert len(calls) == 1 + 1 + 2  # the task, the encoder, two heads; the defaults were composed for `output_dir`
    assert settings[-1] == compose(runs[-1].overrides)
