"""The fast composer gives what Hydra's own composition gives, errors included."""

from pathlib import Path

import hydra
import pytest

from head2head.errors import UserError
from head2head.run.configuration import compose
from head2head.sweep import space
from head2head.sweep.composer import Composer
from head2head.sweep.distributions import Choice
from head2head.sweep.file import read

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def composer():
    return Composer()


FINE = [
    [],
    ["+foo=1"],
    ["++foo=1", "++optimizer.lr=0.1"],
    ["~batch_size"],
    ["~optimizer.layer_decay", "+optimizer.other=2"],
    ["+experiment=twice"],
    ["output_dir='a b, c=d'"],
    ['output_dir="x:y"', "experiment='1'"],
    ["experiment=''", "experiment="],
    ["optimizer.betas=[0.8, 0.99]", "task.labels=[a,'b c']"],
    ["task.rows={train:10,validation:5}"],
    ["optimizer.schedule=cosine", "optimizer.schedule=linear"],
    ["seed=${batch_size}", "batch_size=4"],
    ["optimizer.lr=${encoder.lr}", "encoder.lr=0.5"],
    ["encoder=random-tiny", "encoder.lr=7"],
    ["optimizer.lr=3", "encoder=bert-tiny"],
    ["head=weighted_sum", "head/layers=concat_last4", "head/pool=cls"],
    ["head/layers=layer", "head.layers.index=-2"],
    ["head=mean", "head=max"],
    ["task=rte", "task.max_length=64", "data_dir=/nowhere"],
    ["threads=null", "save_model=False", "encoder.frozen=True"],
    ["optimizer.lr=1e-05", "optimizer.weight_decay=1", "trainer.precision=64-true"],
    ["encoder=random-tiny", "encoder.config.hidden_size=8"],
    ["early_terminate={bands:[1,3],eta:3.0,strict:false,metric:score,maximize:true,curves:x,key:y}"],
    ["hydra.job.name=x"],
    ["hydra/launcher=basic"],
]
REFUSED = [
    ["+head=max"],
    ["head/layers=layer"],
    ["encoder.config.hidden_size=8"],
    ["optimizer={lr:1}"],
    ["optimizer={'lr': 0.01}"],
    ["optimizer.lr=${nothing.there}"],
    ["optimizer.lr=${oc.env:NOT_SET_HERE}"],
    ["seed=???"],
    ["optimizer.learning_rate=1"],
    ["head.pool.size=1"],
    ["head=ner", "head.pool=1"],
    ["head=meen"],
    ["task=rta", "head=nope"],
    ["head=mean,max"],
    ["seed=1,2"],
    ["seed=1,2", "head=nope"],
    ["optimizer.lr@foo=1"],
    ["head@foo=mean"],
    ["seed.foo=1"],
    ["seed"],
    ["output_dir=it's"],
    ["~nothing"],
]


def name(overrides):
    return " ".join(overrides) or "nothing"


@pytest.mark.parametrize("overrides", FINE, ids=name)
def test_overrides_of_every_form_give_what_hydra_gives(overrides, composer):
    expected = compose(overrides)
    assert composer(overrides) == expected
    assert composer(overrides) == expected  # now from what is kept


@pytest.mark.parametrize("overrides", REFUSED, ids=name)
def test_overrides_that_hydra_refuses_are_refused_in_the_same_words(overrides, composer):
    with pytest.raises(UserError) as expected:
        compose(overrides)
    with pytest.raises(UserError) as error:
        composer(overrides)
    assert str(error.value) == str(expected.value)


SHIPPED = sorted(ROOT.glob("experiments/*/sweep*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_the_runs_of_a_shipped_experiment_are_what_hydra_gives(path, composer):
    file = read(path)
    rows = space.grid(file.parameters) if file.method == "grid" else space.sample(file.parameters, 3, seed=1)
    for row in (rows[0], rows[-1]):
        overrides = [*space.overrides(row), *file.settings]
        assert composer(overrides) == compose(overrides)


def test_a_name_of_the_users_own_that_hides_a_built_in_one_is_refused_here_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "configs" / "head" / "mean.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("pool: x\n")
    for function in (compose, Composer()):
        with pytest.raises(UserError, match=r"mean.yaml: there is a built-in head of that name"):
            function(["head=mean"])


def test_what_is_given_out_may_be_changed_without_harm(composer):
    first = composer(["head=max", "seed=1", "optimizer.eps=1"])
    expected = compose(["head=max", "seed=2"])
    first["head"].clear()
    first["optimizer"]["betas"].append(3)
    assert composer(["head=max", "seed=2"]) == expected


def test_hydra_composes_once_for_each_choice(monkeypatch):
    """A composition costs a tenth of a second, and a sweep may have a thousand runs."""
    calls = []
    original = hydra.compose
    monkeypatch.setattr(hydra, "compose", lambda *args, **kwargs: calls.append(kwargs) or original(*args, **kwargs))
    fast = Composer()
    grid = space.grid(
        {
            "head": Choice(("mean", "max", "cls")),
            "task": Choice(("needle", "majority", "agreement")),
            "optimizer.lr": Choice((0.1, 0.2, 0.3)),
            "seed": Choice(tuple(range(10))),
        }
    )
    for row in grid:
        config = fast(space.overrides(row))
        assert (config["seed"], config["optimizer"]["lr"], config["task"]["name"]) == (
            row["seed"],
            row["optimizer.lr"],
            row["task"],
        )
    assert len(grid) == 270
    assert len(calls) == 1 + 3 + 3


def test_choices_that_change_other_parts_are_composed_together(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "configs/head/slow.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("# @package _global_\ndefaults: [mean@head]\nencoder: {lr: 0.5}\n")
    for overrides in (["head=slow", "task=needle"], ["task=needle", "head=slow", "seed=3"]):
        expected = compose(overrides)
        assert expected["encoder"]["lr"] == 0.5
        assert Composer()(overrides) == expected
