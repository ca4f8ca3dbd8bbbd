"""What is typed after sweep.py."""

import shutil
from pathlib import Path

import pytest

from head2head.errors import UserError
from head2head.sweep.request import parse
from head2head.sweep.search import Search

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def smoke(tmp_path, monkeypatch):
    (tmp_path / "experiments/smoke").mkdir(parents=True)
    shutil.copy(ROOT / "experiments/smoke/sweep.yaml", tmp_path / "experiments/smoke")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEAD2HEAD_DATA", raising=False)


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ([], "which experiment? give experiment=NAME; there are: smoke"),
        (["experiment=smok"], "unknown experiment 'smok'; did you mean smoke?"),
        (["experiment=smoke", "plan=perhaps"], "plan=perhaps: expected true or false"),
        (["experiment=smoke", "grow=maybe"], "grow=maybe: expected true or false"),
        (["experiment=smoke", "check_epochs=1"], "check_epochs=1: expected true or false"),
        (["experiment=smoke", "disagreement=15"], "disagreement=15: a fraction from 0 to 1, such as 0.15"),
        (["experiment=smoke", "disagreement=0"], "disagreement=0: a fraction from 0 to 1, such as 0.15"),
        (["experiment=smoke", "run_spread=little"], "run_spread=little: a fraction from 0 to 1, such as 0.01"),
        (["experiment=smoke", "sweep_seed=-1"], "sweep_seed=-1: expected a whole number, 0 or above"),
        (["experiment=smoke", "head=meen"], "unknown head 'meen'; did you mean mean"),
        (["experiment=smoke", "output_dir=a,b"], "several values of output_dir make no different runs"),
        (["experiment=smoke", "trainer.devices=2"], "runs on several devices cannot be several at once"),
        (["experiment=smoke", "task=entities"], "task entities is token-level: it needs a token head"),
    ],
)
def test_a_mistake_is_one_line_before_anything_runs(typed, message):
    with pytest.raises(UserError) as error:
        Search(parse(typed)).known()
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_setting_of_the_file_is_replaced_and_another_one_is_fixed_or_swept():
    runs = Search(
        parse(["experiment=smoke", "task=majority", "head=mean", "batch_size=8,16", "optimizer.lr=0.1"])
    ).known()
    typed = {tuple(o for o in run.overrides if o.startswith(("batch", "seed", "optimizer"))) for run in runs}
    assert typed == {(f"seed={seed}", "optimizer.lr=0.1", f"batch_size={size}") for seed in (0, 1) for size in (8, 16)}


def test_the_environments_data_folder_goes_with_the_runs(monkeypatch, tmp_path):
    monkeypatch.setenv("HEAD2HEAD_DATA", str(tmp_path / "my data, all"))
    assert f'data_dir="{tmp_path}/my data, all"' in parse(["experiment=smoke"]).planners[0].fixed
    request = parse(["experiment=smoke", "data_dir=there"])
    assert [text for text in request.planners[0].fixed if text.startswith("data_dir")] == ["data_dir=there"]
