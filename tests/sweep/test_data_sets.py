"""Two data sets are two tasks, never one cell of a table."""

import pytest

from composed import compose
from head2head.errors import UserError
from head2head.run.key import build_task
from head2head.sweep.data_sets import DataSets
from head2head.sweep.request import parse

SWEEP = """# two data sets
program: train.py
command: ["${env}", "${interpreter}", "${program}", "${args_no_hyphens}"]
method: grid
parameters:
  task: {value: table}
  task.train: {values: [FIRST, SECOND]}
  task.validation: {value: dev.csv}
  head: {values: [mean]}
  seed: {values: [0, 1]}
"""


pytestmark = pytest.mark.usefixtures("kept_compositions")


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """The runs of a sweep over two training files."""
    monkeypatch.chdir(tmp_path)

    def planned(first: str, second: str, *typed: str, same: bool = False):
        for name, text in ((first, "good"), (second, "good" if same else "fine"), ("dev.csv", "bad")):
            (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
            (tmp_path / name).write_text(f"text,label\n{text},yes\nbad,no\n")
        (tmp_path / "experiments/two").mkdir(parents=True)
        content = SWEEP.replace("FIRST", first).replace("SECOND", second)
        (tmp_path / "experiments/two/sweep.yaml").write_text(content)
        return parse(["experiment=two", *typed]).planners[0].all()

    return planned


@pytest.mark.parametrize(("first", "second"), [("imdb.csv", "yelp.csv"), ("imdb/train.csv", "yelp/train.csv")])
def test_two_data_sets_in_an_experiment_are_two_tasks(plan, first, second):
    runs = plan(first, second)
    assert len(runs) == 4
    assert {run.identity.task.name for run in runs} == {"table-imdb", "table-yelp"}
    assert {run.identity.parent.parent.name for run in runs} == {"table-imdb", "table-yelp"}


def test_two_data_sets_under_one_name_are_refused(plan):
    with pytest.raises(UserError) as error:
        plan("a/b/train.csv", "c/b/train.csv")
    message = "two data sets are called table-b (a/b/train.csv, c/b/train.csv); give each a task of its own: "
    assert str(error.value).endswith(message + "configs/task/NAME.yaml, with its name and files")


def test_a_name_for_both_is_refused_too(plan):
    with pytest.raises(UserError, match="two data sets are called mine"):
        plan("imdb.csv", "yelp.csv", "task.name=mine")


def test_one_data_set_in_two_places_is_one(plan):
    assert len(plan("a/b/train.csv", "c/b/train.csv", same=True)) == 2


def test_tasks_without_files_have_no_content_to_differ_in():
    data_sets = DataSets()
    for seed in (0, 1):
        data_sets.check(build_task(compose([f"task.data_seed={seed}"])))
