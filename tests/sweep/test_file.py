"""Sweep files: what is read from them, and the one line that says what is wrong with one."""

import pytest
import yaml

from head2head.errors import UserError
from head2head.experiments import sweep_file
from head2head.sweep.distributions import Choice, Range
from head2head.sweep.file import read

COMMAND = ["${env}", "${interpreter}", "${program}", "${args_no_hyphens}"]
SOUND = {"program": "train.py", "method": "grid", "parameters": {"seed": {"values": [0, 1]}}, "command": COMMAND}


@pytest.fixture
def written(tmp_path):
    """Writes a sound sweep file with some keys changed (None: left out), or a text."""

    def write(text=None, **changed):
        path = tmp_path / "experiments" / "mine" / "sweep.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {key: value for key, value in (SOUND | changed).items() if value is not None}
        path.write_text(yaml.safe_dump(content) if text is None else text)
        return path

    return write


def message(path):
    """The error's text behind the path, which it must begin with; one line."""
    with pytest.raises(UserError) as error:
        read(path)
    text = str(error.value)
    assert text.startswith(str(path))
    assert "\n" not in text
    return text.removeprefix(str(path)).removeprefix(": ")


def test_a_file_says_what_the_sweep_is(written):
    path = written(
        method="random",
        run_cap=20,
        metric={"name": "validation/f1", "goal": "minimize"},
        parameters={"head": {"values": ["cls", "mean"]}, "optimizer": {"parameters": {"lr": {"min": 0.1, "max": 1.0}}}},
        command=[*COMMAND, "experiment=mine", "threads=1", "logger=wandb", "logger.project=x"],
        name="a title",
        description="why",
        project="p",
        entity="e",
    )
    file = read(path)
    assert (file.path, file.name, file.method, file.run_cap) == (path, "mine", "random", 20)
    assert file.parameters == {
        "head": Choice(("cls", "mean")),
        "optimizer.lr": Range("uniform", {"min": 0.1, "max": 1.0}),
    }
    assert list(file.parameters) == ["head", "optimizer.lr"]
    assert (file.metric, file.maximize, file.hyperband) == ("validation/f1", False, None)
    assert file.settings == ("experiment=mine", "threads=1")  # where runs are logged is up to who starts them


def test_nothing_but_method_and_parameters_has_to_be_there(written):
    file = read(written(program=None, command=None))
    assert (file.method, file.parameters, file.settings) == ("grid", {"seed": Choice((0, 1))}, ())
    assert read(written(program=None, command=[*COMMAND, "threads=1"])).settings == ("threads=1",)


def test_the_objective_is_the_score_when_none_is_named(written):
    assert (read(written()).metric, read(written()).maximize) == ("score", True)
    file = read(written(metric={"name": "validation/loss"}))
    assert (file.metric, file.maximize) == ("validation/loss", False)  # W&B's default


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("score", "metric: expected name and goal"),
        ({"goal": "maximize"}, "metric: expected name and goal"),
        ({"name": 3}, "metric: expected name and goal"),
        ({"name": "score", "goal": "up"}, "metric: goal: up: expected maximize or minimize"),
        ({"name": "score"}, "metric: a higher score is better; give goal: maximize"),
        ({"name": "score", "goal": "maximize", "target": 0.9}, "metric: target: not supported; only name and goal are"),
    ],
)
def test_an_objective_that_cannot_be_is_refused(metric, expected, written):
    assert message(written(metric=metric)) == expected


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"program": "run_glue.py"}, "program: run_glue.py: expected train.py"),
        ({"method": None}, "method: None: expected grid, random or bayes"),
        ({"method": "custom"}, "method: custom: expected grid, random or bayes"),
        ({"methods": "grid"}, "unknown key 'methods'; did you mean method?"),
        ({"run_cap": 0}, "run_cap: 0: expected a whole number above 0"),
        ({"run_cap": True}, "run_cap: True: expected a whole number above 0"),
        ({"method": "random"}, "method: random goes on for ever; give run_cap: N"),
        ({"method": "bayes"}, "method: bayes goes on for ever; give run_cap: N"),
        ({"parameters": None}, "parameters: expected names with their values"),
        ({"parameters": {}}, "parameters: expected names with their values"),
        ({"parameters": {"seed": {"valus": [1]}}}, "parameters: seed: valus: not expected here; did you mean value"),
        ({"parameters": {"a": {"parameters": {"b": {"value": None}}}}}, "parameters: a.b: null reaches train.py as"),
        ({"parameters": {"a": {"parameters": {}, "min": 1}}}, "parameters: a: expected nothing beside its parameters"),
        (
            {"parameters": {"lr": {"min": 0.1, "max": 0.2}}},
            "parameters: lr: a grid needs values; uniform has no end of them",
        ),
        (
            {"parameters": {"head": {"values": [1, 2], "probabilities": [0.5, 0.5]}}},
            "parameters: head: a grid takes each value once; leave out probabilities",
        ),
    ],
)
def test_what_is_wrong_is_named_in_one_line(changed, expected, written):
    assert message(written(**changed)).startswith(expected)


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("program: train.py\nmethod: [grid\nparameters: {}\n", 3, "expected ',' or ']'"),
        ("program: train.py\n  method: grid\n", 2, "mapping values are not allowed here"),
        ("program: *train\n", 1, "found undefined alias"),
    ],
)
def test_broken_yaml_is_found_with_its_line(text, line, problem, written):
    path = written(text)
    found = message(path)
    assert found.startswith(f":{line}: not yaml: ")
    assert problem in found


@pytest.mark.parametrize("text", ["program: \x01\n", "program: 2024-02-31\n"])
def test_yaml_that_cannot_be_read_at_all_is_one_line_too(text, written):
    assert message(written(text)).startswith("not yaml: ")


def test_a_file_that_is_no_mapping_is_refused(written):
    assert message(written("- a\n- b\n")) == "expected a W&B sweep file with method and parameters"
    assert message(written("")) == "the file is empty"


def test_an_unknown_experiment_is_told_with_the_near_ones(written, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^experiments/mine/sweep.yaml: not there"):
        sweep_file("mine")
    path = written()
    assert sweep_file("mine").samefile(path)
    with pytest.raises(UserError, match=r"^unknown experiment 'mien'; did you mean mine\?$"):
        sweep_file("mien")


@pytest.mark.parametrize(
    "command",
    [
        ["${env}", "python3", "${program}", "${args_no_hyphens}", "threads=1"],
        ["uv", "run", "--frozen", "train.py", "threads=1", "${args_no_hyphens}"],
    ],
)
def test_how_the_program_is_started_is_the_agents_business(command, written):
    assert read(written(command=command)).settings == ("threads=1",)


def test_a_setting_may_end_like_the_interpreter(written):
    assert read(written(command=[*COMMAND, "encoder.name=/models/python"])).settings == ("encoder.name=/models/python",)


def test_environment_variables_are_replaced_as_agents_do(written, monkeypatch):
    monkeypatch.setenv("SCRATCH", "/fast/disk")
    path = written(command=[*COMMAND, "cache_dir=${envvar:SCRATCH}/cache"])
    assert read(path).settings == ("cache_dir=/fast/disk/cache",)
    monkeypatch.delenv("SCRATCH")
    assert message(path) == "command: cache_dir=${envvar:SCRATCH}/cache: the environment variable SCRATCH is not set"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("python train.py", "command: train.py takes key=value, so agents need: command: ['${env}', '${interpreter}'"),
        (["${env}", "python", "${program}", "${args}"], "command: train.py takes key=value"),
        (["${args_no_hyphens}", "${program}"], "command: train.py takes key=value"),
        ([*COMMAND, "--fast"], "command: --fast: not of the form key=value"),
        ([*COMMAND, "--lr=1"], "command: --lr=1: not of the form key=value"),
        ([*COMMAND, "${args}"], "command: ${args}: not of the form key=value"),
        ([*COMMAND, "seed=3"], "command: seed is among the parameters, too; take it out of one"),
    ],
)
def test_a_command_that_cannot_drive_the_program_is_refused(command, expected, written):
    assert message(written(command=command)).startswith(expected)


@pytest.mark.parametrize(
    ("settings", "bands"),
    [  # the first two are W&B's own examples
        ({"min_iter": 3}, (3, 9, 27, 81)),
        ({"max_iter": 27, "s": 2}, (3, 9)),
        ({"max_iter": 27, "s": 9}, (1, 3, 9)),
        ({"max_iter": 5, "eta": 2, "s": 2}, (1, 2)),
        ({"min_iter": 2, "eta": 1.5}, (2, 3, 4, 6, 10, 15)),
        ({"min_iter": 1, "eta": 1.01}, (1, 2)),  # a hundred steps of 1 % and no more
    ],
)
def test_the_bands_of_hyperband_are_wandbs(settings, bands, written):
    hyperband = read(written(early_terminate={"type": "hyperband", **settings})).hyperband
    assert hyperband.bands[: len(bands)] == bands
    assert (hyperband.eta, hyperband.strict) == (settings.get("eta", 3), False)


def test_hyperband_may_be_strict(written):
    settings = {"type": "hyperband", "min_iter": 1, "strict": True, "eta": 2.5}
    hyperband = read(written(early_terminate=settings)).hyperband
    assert (hyperband.strict, hyperband.eta) == (True, 2.5)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("hyperband", "expected type: hyperband"),
        ({"type": "envelope", "min_iter": 1}, "expected type: hyperband"),
        ({"type": "hyperband"}, "expected min_iter, or max_iter and s"),
        ({"type": "hyperband", "max_iter": 9}, "max_iter needs s, the number of bands"),
        ({"type": "hyperband", "max_iter": 2, "s": 3}, "no band: raise max_iter, or lower eta"),
        ({"type": "hyperband", "min_iter": 0}, "min_iter: 0: expected a whole number above 0"),
        ({"type": "hyperband", "min_iter": True}, "min_iter: True: expected a whole number above 0"),
        ({"type": "hyperband", "min_iter": 1, "eta": 1}, "eta: 1: expected a number above 1"),
        ({"type": "hyperband", "min_iter": 1, "eta": float("inf")}, "eta: inf: expected a number above 1"),
        ({"type": "hyperband", "min_iter": 1, "strict": "yes"}, "strict: yes: expected true or false"),
        ({"type": "hyperband", "min_iters": 1}, "unknown key 'min_iters'; did you mean min_iter"),
    ],
)
def test_hyperband_that_cannot_be_is_refused(settings, expected, written):
    assert message(written(early_terminate=settings)).startswith(f"early_terminate: {expected}")
