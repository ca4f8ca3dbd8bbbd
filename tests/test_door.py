"""The command line: help from the yaml files, plans, Hydra's own flags."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from head2head.configuration import compose, groups, head_label, options
from head2head.door import help_text, train

ROOT = Path(__file__).parents[1]


def test_help_lists_every_head_task_encoder_and_the_settings_people_change():
    text = help_text()
    for group in ("head", "head/layers", "head/pool", "head/classifier", "task", "encoder", "logger"):
        for name in options(group):
            assert f"  {name} " in text
    for setting in ("seed: 0", "batch_size: 32", "optimizer.lr: ", "trainer.max_steps: -1", "encoder.frozen: false"):
        assert setting in text


def test_help_is_answered_without_importing_torch():
    code = "import sys; from head2head.door import train; train(['--help']); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "head=NAME" in done.stdout


def test_a_plan_prints_key_and_folder_without_importing_torch(tmp_path):
    code = "import sys; from head2head.door import train; train(sys.argv[1:]); sys.exit('torch' in sys.modules)"
    command = [sys.executable, "-c", code, "plan=true", f"output_dir={tmp_path}", "seed=3"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    key, folder = done.stdout.split()
    assert len(key) == 64
    assert folder == f"{tmp_path}/agreement/mean/3-{key[:8]}"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("group", ["encoder", "head", "task", "optimizer", "logger", "trainer"])
def test_every_yaml_composes_and_says_what_it_is(group):
    for name, path in options(group).items():
        first = path.read_text().splitlines()[0]
        assert first.startswith("# "), path
        extra = ["encoder.name=x"] if name == "any" else []
        config = compose([f"{group}={name}", *extra])
        assert config[group.partition("/")[0]] is not None


def test_every_part_of_a_head_is_at_most_six_lines():
    for group in (g for g in groups() if g.startswith("head")):
        for path in options(group).values():
            assert len(path.read_text().splitlines()) <= 6, path


@pytest.mark.parametrize(
    ("overrides", "label"),
    [
        (["head=mean"], "mean"),
        (["head=pooler"], "pooler"),
        (["head=weighted_sum"], "weighted_sum-mean"),
        (["head=weighted_sum", "head/pool=cls"], "weighted_sum-cls"),
        (["head=mean", "head/pool=cls"], "cls"),
        (["head=second_to_last"], "second_to_last-mean"),
        (["head=mean", "head/layers=layer", "head.layers.index=-2"], "second_to_last-mean"),
        (["head=mean", "head/layers=layer", "head.layers.index=3"], "layer_index_3-mean"),
        (["head=weighted_sum", "head.layers.n=all"], "weighted_sum_n_all-mean"),
        (["head=mean", "head/classifier=mlp"], "mean-mlp"),
        (["head=mean", "head.pool.special_tokens=false"], "mean_special_tokens_False"),
        (["head=ner"], "ner"),
        (["head=ner", "head/layers=concat_last4", "head/classifier=bilstm"], "concat_last4-ner-bilstm"),
        (["head=ner", "head.subword=mean"], "ner-subword_mean"),
    ],
)
def test_a_head_is_labelled_by_its_parts(overrides, label):
    assert head_label(compose(overrides)["head"]) == label


def test_own_heads_in_the_working_directory_are_found(tmp_path, monkeypatch):
    (tmp_path / "configs" / "head").mkdir(parents=True)
    yaml_text = "# my own\ndefaults: [layers: last, pool: max, classifier: mlp, _self_]\n"
    (tmp_path / "configs" / "head" / "mine.yaml").write_text(f"{yaml_text}_target_: head2head.heads.SentenceHead\n")
    monkeypatch.chdir(tmp_path)
    assert head_label(compose(["head=mine"])["head"]) == "max-mlp"
    assert "  mine                 my own" in help_text()


def test_an_own_file_may_not_hide_a_built_in_one(tmp_path, monkeypatch, capsys):
    (tmp_path / "configs" / "head").mkdir(parents=True)
    (tmp_path / "configs" / "head" / "mean.yaml").write_text("# mine\n{}\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        train(["head=mean"])
    assert "there is a built-in head of that name" in capsys.readouterr().err


def test_a_multirun_runs_every_combination_and_goes_into_folders_of_its_own(tmp_path):
    command = [
        sys.executable,
        str(ROOT / "train.py"),
        "-m",
        "head=mean,max",
        "encoder=random-tiny",
        "trainer.max_steps=1",
    ]
    settings = ["task.train_rows=40", f"output_dir={tmp_path}", "threads=1", "trainer.accelerator=cpu", "seed=1"]
    done = subprocess.run([*command, *settings], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    folders = sorted(path.parent for path in tmp_path.glob("agreement/*/*/result.json"))
    assert [folder.parent.name for folder in folders] == ["max", "mean"]
    assert {yaml.safe_load((f / "config.yaml").read_text())["seed"] for f in folders} == {1}


def test_a_multirun_goes_on_past_a_failing_job_names_it_and_fails(tmp_path):
    command = [
        sys.executable,
        str(ROOT / "train.py"),
        "-m",
        "head=ner,max",
        "encoder=random-tiny",
        "trainer.max_steps=1",
    ]
    settings = ["task.train_rows=40", f"output_dir={tmp_path}", "threads=1", "trainer.accelerator=cpu"]
    done = subprocess.run([*command, *settings], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "head=ner" in errors[0]
    assert "needs a sentence head" in errors[0]
    assert "Traceback" not in done.stderr
    assert len(list(tmp_path.glob("agreement/max/*/result.json"))) == 1


def test_runs_on_several_devices_are_refused_in_a_multirun(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["train.py"])
    with pytest.raises(SystemExit):
        train(["-m", "seed=1,2", "trainer.devices=2", f"output_dir={tmp_path}"])
    assert "runs on several devices cannot be part of a multirun" in capsys.readouterr().err
