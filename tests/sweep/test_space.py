"""From a sweep file to the runs: their order, and that they are those of W&B's own agents."""

import itertools
from pathlib import Path

import pytest
import yaml

from composed import compose
from head2head.run.key import identify
from head2head.sweep import space
from head2head.sweep.distributions import Choice, Range
from head2head.sweep.file import read
from head2head.sweep.plan import Planner

ROOT = Path(__file__).parents[2]
SHIPPED = sorted(ROOT.glob("experiments/*/sweep*.yaml"))

MIXED = """
program: train.py
method: grid
parameters:
  encoder: {value: random-tiny}
  encoder.frozen: {values: [true, false]}
  head: {values: [mean, attention]}
  optimizer:
    parameters:
      lr: {values: [1.0e-05, 0.0005, 1e-3, 2.0]}
      betas: {values: [[0.9, 0.999], [0.9, 0.98]]}
  head.dropout: {values: [0.1, 'null']}
  task.rows.train: {distribution: q_uniform, min: 100, max: 300, q: 100}
  trainer.gradient_clip_val: {distribution: q_uniform, min: 0.1, max: 0.35, q: 0.1}
  seed: {min: 3, max: 4}
  threads: {value: 1}
command: ["${env}", "${interpreter}", "${program}", "${args_no_hyphens}", data_dir=x, logger=wandb]
"""


def test_in_a_grid_the_seed_varies_slowest_and_the_last_parameter_fastest():
    parameters = {"head": Choice(("cls", "max")), "seed": Choice((0, 1)), "lr": Choice((0.1, 0.2))}
    rows = space.grid(parameters)
    assert [(row["seed"], row["head"], row["lr"]) for row in rows] == list(
        itertools.product((0, 1), ("cls", "max"), (0.1, 0.2))
    )
    assert space.grid(parameters, cap=3) == rows[:3]


def test_a_grid_goes_through_whole_numbers_and_steps():
    parameters = {
        "n": Range("int_uniform", {"min": 1, "max": 2}),
        "q": Range("q_uniform", {"min": 0, "max": 4, "q": 2}),
    }
    assert space.grid(parameters) == [{"n": n, "q": q} for n in (1, 2) for q in (0, 2)]


def test_a_random_searchs_runs_do_not_depend_on_how_many_there_are():
    parameters = {"lr": Range("log_uniform_values", {"min": 1e-5, "max": 1e-3}), "head": Choice(("cls", "max"))}
    rows = space.sample(parameters, 20, seed=5)
    assert space.sample(parameters, 7, seed=5) == rows[:7]
    assert space.sample(parameters, 20, seed=6) != rows
    assert len({row["lr"] for row in rows}) == 20
    assert {row["head"] for row in rows} == {"cls", "max"}


def test_a_row_is_written_with_pythons_str():
    row = {"encoder.frozen": True, "optimizer.lr": 1e-05, "head": "mean", "seed": 0, "clip": 1.0, "betas": [0.9, 0.98]}
    assert space.overrides(row) == [
        "encoder.frozen=True", "optimizer.lr=1e-05", "head=mean", "seed=0", "clip=1.0", "betas=[0.9, 0.98]"
    ]  # fmt: skip


def test_typed_values_take_the_place_of_the_files(tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text(MIXED)
    parameters = space.narrowed(read(path), {"seed": ["7"], "batch_size": ["8", "16"]})
    assert parameters["seed"] == Choice(("7",))
    assert parameters["batch_size"] == Choice(("8", "16"))
    assert parameters["head"] == Choice(("mean", "attention"))


def agents_command(path, row):
    """What wandb's own agent would start for a row, as in its `_command_run`."""
    pytest.importorskip("wandb")
    from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args, load_sweep_config

    content = load_sweep_config(str(path))
    found = create_sweep_command_args({"args": {name: {"value": value} for name, value in row.items()}})
    found |= {"interpreter": ["python"], "program": [content["program"]], "env": ["/usr/bin/env"]}
    command = []
    for part in map(str, create_sweep_command(content["command"])):
        command += found.get(part[2:-1], []) if part.startswith("${") and part.endswith("}") else [part]
    return command


def rows_of(file, count):
    """The first and the last."""
    rows = space.grid(file.parameters) if file.method == "grid" else space.sample(file.parameters, 2 * count, seed=0)
    return [*rows[:count], *rows[-count:]]


@pytest.fixture
def mixed(tmp_path):
    path = tmp_path / "mixed" / "sweep.yaml"
    path.parent.mkdir()
    path.write_text(MIXED)
    return path


def check_parity(path, count):
    """Each of some rows: the agent's command is our overrides, and stands for the run that we plan."""
    file = read(path)
    extra = [str(part) for part in yaml.safe_load(path.read_text())["command"] if "=" in str(part)]
    planner = Planner(file, file.parameters, file.settings, compose=compose)
    keys = set()
    for row in rows_of(file, count):
        (planned,) = planner.runs([row])
        start, program, *typed = agents_command(path, row)[1:]
        assert (start, program) == ("python", "train.py")
        assert sorted(typed) == sorted([*space.overrides(row), *extra])
        assert identify(compose(typed)).key == planned.key
        keys.add(planned.key)
    return keys


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_shipped_sweep_file_gives_the_runs_of_wandbs_agents(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("HEAD2HEAD_DATA", raising=False)
    assert check_parity(path, count=1)


def test_booleans_floats_lists_and_nested_names_reach_the_runs_as_they_do_from_wandbs_agents(mixed, monkeypatch):
    monkeypatch.delenv("HEAD2HEAD_DATA", raising=False)
    assert len(check_parity(mixed, count=3)) == 6
    file = read(mixed)
    rows = space.grid(file.parameters)
    assert len(rows) == 2 * 2 * 4 * 2 * 2 * 2 * 3 * 2
    config = compose(space.overrides(rows[0]))
    assert config["encoder"]["frozen"] is True
    assert config["optimizer"] | {"lr": 1e-05, "betas": [0.9, 0.999]} == config["optimizer"]
    assert (config["head"]["dropout"], config["task"]["rows"]["train"], config["seed"]) == (0.1, 100, 3)


def test_whole_floats_that_wandbs_server_sends_as_integers_are_the_same_run(mixed, monkeypatch):
    monkeypatch.delenv("HEAD2HEAD_DATA", raising=False)
    file = read(mixed)
    row = next(row for row in space.grid(file.parameters) if row["optimizer.lr"] == 2.0)
    sent = agents_command(mixed, row | {"optimizer.lr": 2})[3:]
    (planned,) = Planner(file, file.parameters, file.settings, compose=compose).runs([row])
    assert identify(compose(sent)).key == planned.key
