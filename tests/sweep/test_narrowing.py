"""Several sweep files of one experiment: what each takes of the command line, and the order of all their runs."""

import pytest
import yaml

from head2head.errors import UserError
from head2head.sweep.request import parse
from head2head.sweep.search import Search

SHARED = {"encoder": "random-tiny", "task.rows.train": 64, "threads": 1}
FILES = {
    "sweep": {"fold": [0, 1], "task": ["majority", "needle"], "head": ["cls", "mean"], "optimizer.lr": [0.1, 0.2]},
    "sweep-attention": {"task": ["majority"], "head": ["attention"], "fold": [0, 1], "optimizer.lr": [0.1, 0.4]},
    "sweep-mlp": {"task": ["needle"], "head": ["max"], "head/classifier": ["mlp"], "fold": [0, 1]},
}


pytestmark = pytest.mark.usefixtures("kept_compositions")


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Writes sweep files with what is needed alone; further keys as given."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEAD2HEAD_DATA", raising=False)
    (tmp_path / "experiments/mine").mkdir(parents=True)

    def write(name, parameters, **further):
        given = {n: {"values": v} for n, v in parameters.items()} | {n: {"value": v} for n, v in SHARED.items()}
        text = yaml.safe_dump({"method": "grid", "parameters": given} | further, sort_keys=False)
        (tmp_path / f"experiments/mine/{name}.yaml").write_text(text)

    for name, parameters in FILES.items():
        write(name, parameters)
    return write


def asked(*typed):
    return Search(parse(["experiment=mine", *typed])).known()


def found(*typed):
    """(task, head, classifier's or pool's settings left to the label, lr) of the runs in fold 0."""
    settings = [dict(text.split("=", 1) for text in run.overrides) for run in asked("fold=0", *typed)]
    return [(s["task"], s["head"], s.get("optimizer.lr")) for s in settings]


SWEEP = [(task, head, lr) for task in ("majority", "needle") for head in ("cls", "mean") for lr in ("0.1", "0.2")]
ATTENTION = [("majority", "attention", "0.1"), ("majority", "attention", "0.4")]
MLP = [("needle", "max", None)]


@pytest.mark.usefixtures("written")
def test_the_runs_of_all_files_come_fold_by_fold_and_each_once():
    runs = asked()
    assert len(runs) == len({run.key for run in runs}) == 22
    folds = [run.identity.task.fold.number for run in runs]
    assert folds == [0] * 11 + [1] * 11
    assert found() == SWEEP + ATTENTION + MLP


def test_a_run_that_stands_in_two_files_is_run_once(written):
    before = {run.key for run in asked()}
    written("sweep-twice", FILES["sweep"] | {"task": ["majority"]})
    assert [run.key for run in asked()] == list(dict.fromkeys(run.key for run in asked()))
    assert {run.key for run in asked()} == before


@pytest.mark.usefixtures("written")
@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("task=needle", [run for run in SWEEP if run[0] == "needle"] + MLP),
        ("head=attention", ATTENTION),
        ("head=max,cls", [run for run in SWEEP if run[1] == "cls"] + MLP),
        ("optimizer.lr=0.4", ATTENTION[1:]),  # an lr that one file offers narrows the others to it: they have none
        ("optimizer.lr=1e-1", [(t, h, "1e-1") for t, h, lr in SWEEP + ATTENTION if lr == "0.1"]),
        ("head/classifier=mlp", MLP),
        ("head/classifier=linear", SWEEP + ATTENTION),
    ],
)
def test_a_value_that_a_file_offers_narrows_all_of_them(typed, expected):
    assert found(typed) == expected


@pytest.mark.usefixtures("written")
def test_a_value_that_no_file_offers_takes_the_place_of_theirs():
    assert {run[0] for run in found("task=agreement")} == {"agreement"}
    assert [run for run in found("head=sqrt_mean", "task=majority") if run[1] == "sqrt_mean"]
    runs = asked("encoder=bert-tiny", "optimizer.lr=3")
    assert {dict(o.split("=", 1) for o in run.overrides)["encoder"] for run in runs} == {"bert-tiny"}
    assert {dict(o.split("=", 1) for o in run.overrides)["optimizer.lr"] for run in runs} == {"3"}


@pytest.mark.usefixtures("written")
def test_what_no_file_varies_goes_to_all_and_what_changes_no_result_is_never_narrowed():
    assert len(found("batch_size=8,16")) == 2 * len(found())
    runs = asked("threads=2", "save_model=false")
    assert len(runs) == 22
    assert all({"threads=2", "save_model=false"} <= set(run.overrides) for run in runs)


@pytest.mark.usefixtures("written")
def test_a_setting_goes_to_the_files_whose_runs_have_it_and_that_is_said():
    request = parse(["experiment=mine", "head.classifier.hidden=8"])
    runs = Search(request).known()
    assert len(runs) == 22
    assert {run.identity.head for run in runs if "head.classifier.hidden=8" in run.overrides} == {"max-mlp_hidden_8"}
    assert request.notes == ["head.classifier.hidden=8: not for 2 of 3 sweep files"]


@pytest.mark.usefixtures("written")
@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["head=attention", "task=needle"], "mine: no sweep file has runs with head=attention task=needle"),
        (["head.clasifier.hidden=8"], "unknown setting head.clasifier.hidden"),
    ],
)
def test_what_no_file_can_take_is_one_line(typed, message):
    with pytest.raises(UserError) as error:
        asked(*typed)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("further", "message"),
    [
        ({"method": "random", "run_cap": 3}, "method: random: expected grid in a sweep file beside sweep.yaml"),
        ({"method": "bayes", "run_cap": 3}, "method: bayes: expected grid in a sweep file beside sweep.yaml"),
        ({"early_terminate": {"type": "hyperband", "min_iter": 1}}, "early_terminate: only in sweep.yaml"),
    ],
)
def test_further_files_are_grids(written, further, message):
    written("sweep-other", FILES["sweep"], **further)
    with pytest.raises(UserError) as error:
        asked()
    assert str(error.value) == f"experiments/mine/sweep-other.yaml: {message}"


def test_a_random_search_has_grids_beside_it(written):
    written("sweep", {"head": ["cls", "mean"], "fold": [0, 1], "task": ["needle"]}, method="random", run_cap=5)
    assert len(asked()) <= 5 + 6
    assert {run.identity.head for run in asked()} >= {"attention", "max-mlp"}


def test_files_that_send_their_runs_to_several_places_are_refused(written):
    start = ["${env}", "${interpreter}", "${program}", "${args_no_hyphens}"]
    written("sweep-other", FILES["sweep"], command=[*start, "output_dir=elsewhere"])
    with pytest.raises(UserError, match="several output_dir; give one on the command line"):
        asked()
    assert asked("output_dir=elsewhere")
