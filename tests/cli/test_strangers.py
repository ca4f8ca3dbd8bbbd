"""Run folders, sweep files and task files that somebody else has written: what they name is not built, and what they
call themselves leads nowhere. Each attack is shown to work where its guard is taken out."""

import contextlib
import pickle
import shutil
import signal
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from head2head import experiments, files
from head2head.cli.evaluate import evaluate
from head2head.cli.main import app
from head2head.data import task as tasks
from head2head.errors import UserError
from head2head.model import trusted
from head2head.run import result as results
from head2head.run.configuration import compose
from head2head.run.key import identify
from head2head.run.result import read_result
from head2head.run.run import run
from head2head.run.stored import read_config
from head2head.sweep.file import read as read_sweep
from head2head.sweep.request import parse

SMALL = ["encoder=random-tiny", "trainer.max_steps=1", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false",
         "threads=1", "task.rows.train=32", "task.rows.validation=20", "batch_size=16"]  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    place = tmp_path_factory.mktemp("finished")
    return Path(run(compose([*SMALL, f"output_dir={place}/runs", f"cache_dir={place}/cache"])).folder)


@pytest.fixture
def strange(finished, tmp_path, monkeypatch):
    """A copy of a run folder, in a folder of the test's own that is worked in, and what changes its config.yaml."""
    folder = tmp_path / "downloaded"
    shutil.copytree(finished, folder)
    monkeypatch.chdir(tmp_path)

    def change(path, value):
        config = yaml.safe_load((folder / "config.yaml").read_text())
        *groups, last = path.split(".")
        part = config
        for group in groups:
            part = part[group]
        part[last] = value
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        return folder

    return change


class Touches:
    """What unpickling it does."""

    def __reduce__(self):
        return Path.touch, (Path("marker"),)


def unguarded(monkeypatch):
    """Take the guard out."""
    monkeypatch.setattr(trusted, "targets", lambda _: iter(()))


# Where a stranger puts it, and what: all of it once worked.
COPY = {"_target_": "shutil.copy", "src": "pickle", "dst": "marker"}
TOUCH = {"_target_": "head2head.speed.cpu.library.output", "_args_": ["touch", "marker"]}
TEXT = "${oc.create:{_target_: shutil.copy, src: pickle, dst: marker}}"
ATTACKS = {
    "a pickle": ("head.pool", {"_target_": "pandas.read_pickle", "filepath_or_buffer": "pickle", "compression": None}),
    "a copy": ("head.classifier", COPY),
    "a helper of our own": ("head.layers", TOUCH),
    "a task": ("task", COPY),
    "deep within": ("head.pool.special_tokens", [{"a": COPY}]),
    "a text that becomes one": ("head.pool.special_tokens", TEXT),
}  # fmt: skip


@pytest.mark.parametrize("guarded", [True, False])
@pytest.mark.parametrize("attack", ATTACKS)
def test_what_a_strangers_run_folder_names_is_not_run(attack, guarded, strange, monkeypatch):
    Path("pickle").write_bytes(pickle.dumps(Touches()))
    folder = strange(*ATTACKS[attack])
    if not guarded:
        unguarded(monkeypatch)
    if not guarded:
        with contextlib.suppress(Exception):  # what it made is no part of a head
            evaluate(folder, "validation")
    else:
        with pytest.raises(UserError) as error:
            evaluate(folder, "validation")
        assert str(folder / "config.yaml") in str(error.value) or "refers to others" in str(error.value)
        assert "\n" not in str(error.value)
    assert Path("marker").exists() is not guarded


def test_a_module_unpacked_beside_the_run_is_not_the_users_own(strange, monkeypatch):
    Path("beside.py").write_text("import pathlib\npathlib.Path('marker').touch()\nclass Pool: ...\n")
    monkeypatch.syspath_prepend(Path.cwd())
    folder = strange("head.pool._target_", "beside.Pool")
    with pytest.raises(UserError, match=r"--trust beside$"):
        evaluate(folder, "validation")
    assert not Path("marker").exists()
    with pytest.raises(Exception, match="Pool"):
        evaluate(folder, "validation", trust=["beside"])
    assert Path("marker").exists()


def test_a_run_with_a_class_of_ones_own_is_evaluated_when_its_package_is_trusted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("trusted_pool.py").write_text("from head2head.model.heads.pooling import Mean\nclass Mine(Mean): ...\n")
    mine = run(compose([*SMALL, "head.pool._target_=trusted_pool.Mine", "output_dir=runs", "cache_dir=cache"]))
    with pytest.raises(UserError, match="trust"):
        evaluate(Path(mine.folder), "validation")
    assert evaluate(Path(mine.folder), "validation", trust=["trusted_pool"])["accuracy"] == mine.score


def test_every_class_that_the_packages_own_files_name_may_be_built():
    named = {line.split()[-1] for path in files.CONFIGS.rglob("*.yaml") for line in path.read_text().splitlines()
             if line.strip().startswith("_target_:")}  # fmt: skip
    assert named == trusted.built_in()
    assert {"head2head.model.heads.Mean", "head2head.data.glue.Glue", "head2head.run.loggers.wandb"} <= named


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("os.system", "trust=os"),
        ("sys.exit", "trust=sys"),
        ("head2head.speed.cpu.library.output", "is no head"),
        ("head2head.model.heads.Men", "is no head"),
        ("mine.os.system", "trust=mine"),  # not in a module of that name
        ("mine.system", "is posix's, not your own"),
        ("", "trust="),
        ("mine", "trust=mine"),
        ("mine.", "trust=mine"),
        ("pytest.Pool", "trust=pytest"),
    ],
)
def test_in_training_only_what_the_users_own_modules_define_is_built(target, reason, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("mine.py").write_text("import os\nfrom os import system\nclass Pool: ...\n")
    for name in ("pytest.py", "frozen", "built-in"):  # that hide no library, nor what Python brings
        Path(name).write_text("")
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    assert trusted.instantiate({"_target_": "mine.Pool"}) is not None
    with pytest.raises(UserError, match=reason):
        trusted.instantiate({"_target_": target, "_args_": ["touch marker"]})
    assert not Path("marker").exists()


def test_an_own_package_counts_wherever_in_the_folder_it_lies_and_an_installed_one_does_not(tmp_path, monkeypatch):
    for package in ("src/ours", ".venv/lib/site-packages/theirs"):
        (tmp_path / package / "pools").mkdir(parents=True)
        (tmp_path / package / "__init__.py").touch()
        (tmp_path / package / "pools/first.py").write_text("class Pool: ...\n")
        monkeypatch.syspath_prepend((tmp_path / package).parent)
    monkeypatch.chdir(tmp_path)
    assert trusted.is_own("ours.pools.first.Pool")
    assert not trusted.is_own("ours.pools.second.Pool")
    assert not trusted.is_own("theirs.pools.first.Pool")
    trusted.check({"_target_": "theirs.pools.first.Pool"}, "theirs,others")


@pytest.mark.parametrize("guarded", [True, False])
def test_a_package_is_not_even_imported_for_a_runs_key(guarded, tmp_path, monkeypatch):
    package = tmp_path / "site/strange_package"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text(f"import pathlib\npathlib.Path({str(tmp_path)!r}, 'marker').touch()\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    config = compose([*SMALL, "head.pool._target_=strange_package.inner.Pool"])
    if not guarded:
        unguarded(monkeypatch)
        identify(config)
    else:
        with pytest.raises(UserError, match="trust=strange_package"):
            identify(config)
    assert (tmp_path / "marker").exists() is not guarded


@pytest.mark.parametrize("name", ["hydra.sweep.dir", "+hydra.launcher._target_", "hydra/launcher", "trust", "+trust"])
@pytest.mark.parametrize("where", ["parameters", "command"])
def test_a_sweep_file_sets_nothing_that_decides_over_code(name, where, tmp_path):
    content = {"program": "train.py", "method": "grid", "parameters": {"seed": {"values": [0]}},
               "command": ["${env}", "${interpreter}", "${program}", "${args_no_hyphens}"]}  # fmt: skip
    if where == "command":
        content["command"].append(f"{name}=x")
    else:
        content["parameters"][name] = {"value": "x"}
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(UserError, match=f"{name.replace('+', '[+]')}: is given on the command line alone"):
        read_sweep(path)


BOMB = "a: &a [0, 1, 2, 3, 4, 5, 6, 7, 8]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGED = "a: &a {x0: 1, x1: 1}\n" + "".join(
    f"{new}: &{new}\n  <<: [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize("text", [BOMB, MERGED])
def test_yaml_whose_aliases_explode_is_refused_before_they_are_followed(text, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"config\.yaml: its aliases stand for more than 100000 values"):
        files.read_yaml(path)


def test_without_the_count_such_yaml_keeps_whoever_reads_it(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "YAML_NODES", float("inf"))
    path = tmp_path / "config.yaml"
    path.write_text(BOMB)
    bomb = files.read_yaml(path)

    def later(_signum, _frame):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, later)
    signal.alarm(2)
    try:
        with pytest.raises(TimeoutError):
            trusted.check(bomb)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 100_000, "nested too deeply"),
        ("a: &a [*a]\n", "nested too deeply"),
        ("a: " + "9" * 5000, "not yaml"),
        ("x" * (1 << 21), "too many for a configuration"),
        ("a: [1", "not yaml"),
        ("!!python/object/apply:os.system [touch marker]", "not yaml"),
    ],
)
def test_yaml_that_is_none_or_too_much_is_one_line(text, reason, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=reason) as error:
        files.read_yaml(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_a_bomb_among_ones_own_configurations_is_refused_before_anything_composes(tmp_path, monkeypatch):
    (tmp_path / "configs/task").mkdir(parents=True)
    (tmp_path / "configs/task/theirs.yaml").write_text(BOMB)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"theirs\.yaml: its aliases"):
        compose(["task=theirs"])


def test_a_configuration_that_is_none_is_one_line(strange):
    folder = strange("head", "mean")
    with pytest.raises(UserError, match=r"config\.yaml: not the configuration of a run"):
        read_config(folder)


def without_names(monkeypatch):
    """Take the check of names out, wherever it is."""
    for module in (files, results, experiments, tasks):
        monkeypatch.setattr(module, "check_name", lambda name, _: name)


@pytest.mark.parametrize("guarded", [True, False])
def test_a_task_in_result_json_that_is_a_path_leads_nowhere(guarded, strange, monkeypatch):
    folder = strange("seed", 0)
    (folder / "predictions-x").mkdir()  # so that .. has something to go up from
    text = (folder / "result.json").read_text().replace('"task": "agreement"', '"task": "x/../../pwn"')
    (folder / "result.json").write_text(text)
    if not guarded:
        without_names(monkeypatch)
        evaluate(folder, "validation")
    else:
        with pytest.raises(UserError, match=r"result\.json: task: 'x/../../pwn' is no name"):
            evaluate(folder, "validation")
    assert Path("pwn-validation.parquet").exists() is not guarded


@pytest.mark.parametrize("guarded", [True, False])
def test_a_tasks_name_that_is_a_path_leads_nowhere(guarded, tmp_path, monkeypatch):
    config = compose([*SMALL, "task.name=../../x", f"output_dir={tmp_path}/a/b/runs"])
    if not guarded:
        without_names(monkeypatch)
        assert not identify(config).folder.resolve().is_relative_to(tmp_path / "a/b")
    else:
        with pytest.raises(UserError, match=r"task.name: '../../x' is no name"):
            identify(config)


@pytest.mark.parametrize("name", ["..", ".", ".hidden", "a/b", "a\\b", "a\nb", "", "/etc"])
def test_an_experiments_name_is_no_path(name):
    with pytest.raises(UserError):
        parse([f"experiment={name}"])
    with pytest.raises(UserError, match="is no name"):
        experiments.folder_of(name)


def test_a_setting_that_is_a_path_makes_no_folders_of_a_heads_label(tmp_path):
    config = compose([*SMALL, "head/classifier=mlp", f"output_dir={tmp_path}/runs"])
    config["head"]["classifier"]["hidden"] = "../../../x"
    assert identify(config).folder.parent.parent == tmp_path / "runs/agreement"


def test_results_of_an_experiment_have_names_that_are_names(finished, tmp_path):
    path = tmp_path / "results.jsonl"
    experiments.ResultsFile(path).add(read_result(finished))
    assert len(experiments.ResultsFile(path).read()) == 1
    path.write_text(path.read_text().replace('"task": "agreement"', '"task": "../x"'))
    with pytest.raises(UserError, match=r"results\.jsonl:1: .*'\.\./x' is no name"):
        experiments.ResultsFile(path).read()


def test_the_command_line_takes_packages_to_trust(strange):
    folder = strange("head.pool._target_", "nowhere.Pool")
    for option, said in (
        ("a b", "trust=a b: the name of a package"),
        ("nowhere", "Error locating target 'nowhere.Pool'"),
    ):
        done = CliRunner().invoke(app, ["evaluate", str(folder), "--split", "validation", "--trust", option])
        assert done.exit_code == 1
        assert said in done.output
