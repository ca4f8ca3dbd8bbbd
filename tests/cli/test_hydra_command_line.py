"""The command line: help from the yaml files, plans, Hydra's own flags."""

import subprocess
import sys

import pytest
import yaml
from typer.testing import CliRunner

from forked import ROOT, Forked
from head2head.cli.help import help_text
from head2head.cli.hydra_command_line import one_line_errors, sort, train
from head2head.cli.main import app
from head2head.run.configuration import compose, groups, options
from head2head.run.label import head_label

TRAIN = "import sys; from head2head.cli.hydra_command_line import train"


def test_help_lists_every_head_task_encoder_and_the_settings_people_change():
    text = help_text()
    for group in ("head", "head/layers", "head/pool", "head/classifier", "task", "encoder", "logger"):
        for name in options(group):
            assert f"  {name} " in text
    for setting in (
        "seed: null",
        "batch_size: 32",
        "trainer.max_steps: -1",
        "trainer.max_epochs: 3",
        "encoder.frozen: false",
    ):
        assert f"  {setting} " in f"{text} ".replace("\n", " \n")
    for setting in ("data_dir: $HEAD2HEAD_DATA", "optimizer.lr: the encoder's"):
        assert f"  {setting} " in text
    assert "encoder.lr: " not in text
    assert "..." not in text.partition("settings (")[2].partition("trainer.accelerator")[0]


def test_help_lists_the_settings_of_tasks_and_heads():
    task = ("train", "validation", "text", "text_pair", "label", "target", "max_length", "train_rows", "context")
    head = ("dropout", "subword", "pool.special_tokens", "layers.n", "layers.index", "classifier.hidden")
    text = help_text()
    for setting in (*(f"task.{name}" for name in task), *(f"head.{name}" for name in head)):
        assert text.count(f"\n  {setting}: ") == 1


def test_help_is_answered_without_importing_torch():
    code = f"{TRAIN}; train(['--help']); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "head=NAME" in done.stdout


def test_a_plan_prints_key_and_folder_without_importing_torch(tmp_path):
    code = f"{TRAIN}; train(sys.argv[1:]); sys.exit('torch' in sys.modules)"
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
        (["head=weighted_sum", "head.layers.n=all"], "weighted_sum_all-mean"),
        (["head=mean", "head/classifier=mlp"], "mean-mlp"),
        (["head=mean", "head.pool.special_tokens=false"], "mean_special_tokens_false"),
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
    (tmp_path / "configs" / "head" / "mine.yaml").write_text(
        f"{yaml_text}_target_: head2head.model.heads.SentenceHead\n"
    )
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


@pytest.fixture(scope="module")
def multirun(tmp_path_factory):
    """A multirun in which one job of three fails: its process, what it printed as errors, and where the runs are."""
    place = tmp_path_factory.mktemp("multirun")
    settings = ["-m", "head=mean,ner,max", "seed=1", "encoder=random-tiny", "trainer.max_steps=1", "task.rows.train=40"]
    places = [f"output_dir={place}", "threads=1", "trainer.accelerator=cpu"]
    process = Forked("train", [*settings, *places], ROOT)
    _, err = process.communicate(timeout=300)
    return process, err, place


def test_a_multirun_runs_every_combination_and_goes_into_folders_of_its_own(multirun):
    _, err, place = multirun
    folders = sorted(path.parent for path in place.glob("agreement/*/*/result.json"))
    assert [folder.parent.name for folder in folders] == ["max", "mean"], err
    assert {yaml.safe_load((f / "config.yaml").read_text())["seed"] for f in folders} == {1}


def test_a_multirun_goes_on_past_a_failing_job_names_it_and_fails(multirun):
    process, err, _ = multirun
    assert process.returncode == 1
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert "head=ner" in errors[0]
    assert "needs a sentence head" in errors[0]
    assert errors[1:] == ["error: 1 of 3 runs failed"]
    assert "Error executing job" not in err
    assert "Traceback" not in err


def test_runs_on_several_devices_are_refused_in_a_multirun(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["train.py"])
    with pytest.raises(SystemExit):
        train(["-m", "seed=1,2", "trainer.devices=2", f"output_dir={tmp_path}"])
    assert "runs on several devices cannot be several at once" in capsys.readouterr().err


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working directory; what Hydra's application sets is set back."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py"])
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["-m", "optimizer.learning_rate=1,2"], "unknown setting optimizer.learning_rate; did you mean"),
        (["-m", "encoder=any"], "encoder.name has no value; give encoder.name=VALUE"),
        (["-m", "head/layers=last,layer", "plan=true"], "head.layers.index has no value"),
        (["-m", "head=mean,ner", "head/pool=cls"], "has no pool"),
        (["-m", "head=mean,maxx"], "unknown head 'maxx'; did you mean max"),
        (["-m", "head=glob(zz*)"], "head=glob(zz*): stands for no value"),
        (["-m", "optimizer.lr=interval(1,2)"], "does not support sweep type"),
        (["--cfg", "job", "optimzer.lr=1"], "unknown setting optimzer.lr; did you mean optimizer.lr"),
        (["--multirn"], "unknown flag --multirn; did you mean --multirun?"),
    ],
)
def test_a_mistake_under_a_hydra_flag_is_one_line_and_leaves_nothing_behind(arguments, part, here, capsys):
    with pytest.raises(SystemExit) as stop:
        train(arguments)
    assert stop.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert part in line
    assert list(here.iterdir()) == []


def test_several_plans_print_a_line_each_and_leave_nothing_behind(here, capsys):
    train(["plan=true", "head=glob(m*x)", "-m", "seed=1,2"])
    folders = [line.split()[1] for line in capsys.readouterr().out.splitlines()]
    assert [folder.rpartition("-")[0] for folder in folders] == [
        f"lightning_logs/agreement/{head}/{seed}" for head in ("max", "mean_max") for seed in (1, 2)
    ]
    assert list(here.iterdir()) == []


@pytest.mark.usefixtures("here")
def test_failing_jobs_are_told_once_and_counted(capsys):
    with pytest.raises(SystemExit) as stop:
        train(["-m", "seed=-1,1,2,-2", "plan=true"])
    assert stop.value.code == 1
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 2
    first, second, last = captured.err.splitlines()
    assert first.startswith("error: seed=-1 ")
    assert second.startswith("error: seed=-2 ")
    assert last == "error: 2 of 4 runs failed"


def test_flags_and_their_values_are_told_from_settings_wherever_they_stand():
    flags, overrides = sort(["head=mean", "--cfg", "job", "-p", "head", "seed=1", "-m", "~task", "--info", "x=1"])
    assert flags == ["--cfg", "job", "-p", "head", "-m", "--info"]
    assert overrides == ["head=mean", "seed=1", "~task", "x=1"]


@pytest.mark.usefixtures("here")
def test_the_configuration_can_be_shown(capsys):
    train(["seed=7", "--cfg", "job"])
    assert yaml.safe_load(capsys.readouterr().out)["seed"] == 7


@pytest.mark.usefixtures("here")
def test_the_help_of_hydra_can_be_shown_beside_settings(capsys):
    with pytest.raises(SystemExit) as stop:
        train(["head=mean", "--hydra-help"])
    assert stop.value.code == 0
    assert "--multirun" in capsys.readouterr().out


def test_a_users_own_modules_are_in_reach_of_every_verb_and_hide_no_library(here):
    (here / "my_heads.py").write_text("WIDTH = 3\n")
    (here / "yaml.py").write_text("raise AssertionError\n")
    code = (
        "import sys; sys.path = [p for p in sys.path if p];"
        "from head2head.cli.hydra_command_line import one_line_errors;"
        "one_line_errors(lambda: __import__('yaml') and print(__import__('my_heads').WIDTH))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, cwd=here)
    assert done.stdout == "3\n", done.stderr


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("as_lightning_does", [False, True])
def test_an_interrupted_run_says_so(as_lightning_does, capsys):
    def work():
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            if as_lightning_does:
                sys.exit(1)
            raise

    with pytest.raises(SystemExit) as stop:
        one_line_errors(work)
    assert stop.value.code == 130
    assert capsys.readouterr().err.strip() == "interrupted: nothing was kept"


def test_the_version_is_shown():
    done = CliRunner().invoke(app, ["--version"])
    assert done.exit_code == 0
    assert done.output.split()[0] == "head2head"
