"""What follows when the grid of a cross-validation is done: grids that grow, and checks of convergence."""

from math import log2

import pandas as pd
import pytest
import yaml

from head2head.run.result import Result
from head2head.statistics.choice import setting
from head2head.statistics.epoch_checks import epoch_checks
from head2head.sweep.request import parse
from head2head.sweep.search import Search

GRID = {
    "task": ["majority"], "head": ["cls", "mean"], "optimizer.lr": [1e-4, 2e-4, 4e-4], "repeat": [0, 1],
    "fold": [0, 1, 2], "folds": [3], "encoder": ["random-tiny"], "threads": [1], "trainer.max_epochs": [3],
}  # fmt: skip


pytestmark = pytest.mark.usefixtures("kept_compositions")


@pytest.fixture
def search(tmp_path, monkeypatch):
    """The search of a grid with some parameters changed, and what was typed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments/mine").mkdir(parents=True)

    def make(*typed, **changed):
        given = {name: {"values": values} for name, values in (GRID | changed).items() if values}
        content = {"method": "grid", "parameters": given}
        (tmp_path / "experiments/mine/sweep.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        return Search(parse(["experiment=mine", *typed]))

    return make


class Sweep:
    """A sweep in which each run scores what a function says; None fails."""

    def __init__(self, search, score):
        self.search, self.score = search, score
        self.results: dict[str, Result] = {}
        self.rounds = []
        runs = search.known()
        while runs:
            self.rounds.append(runs)
            self.results |= {run.key: self.result(run) for run in runs}
            runs = search.more(self.results, 1)

    def result(self, run):
        config, fold = self.search.settings_of(run), run.identity.task.fold
        place = (fold.repeat, fold.number) if fold else (0, 0)
        lr, epochs = config["optimizer"]["lr"], config["trainer"]["max_epochs"]
        score = self.score(run.identity.head, lr, epochs, *place)
        failed = "on purpose" if score is None else None
        what = {"key": run.key, "overrides": list(run.overrides), "config": config, "metric": "accuracy"}
        return Result(**what, task="majority", head=run.identity.head, seed=0, split="fold", score=score, failed=failed)

    def told(self, number):
        """(head, lr, epochs, repeat, fold) of the runs of a round."""
        found = []
        for run in self.rounds[number]:
            config, fold = self.search.settings_of(run), run.identity.task.fold
            found.append((
                run.identity.head, config["optimizer"]["lr"], config["trainer"]["max_epochs"], fold.repeat, fold.number,
            ))  # fmt: skip
        return found


CELLS = [(repeat, fold) for repeat in (0, 1) for fold in (0, 1, 2)]


def noise(repeat, fold):
    """A spread over folds that all settings share, and a little of a setting's own."""
    return 0.1 * fold + 0.05 * repeat


def peak(at):
    """Scores that fall by the distance from `at`, in doublings of the rate."""

    def score(head, lr, _epochs, repeat, fold):
        target = at[head]
        return (
            0.5 - 0.05 * abs(log2(lr / target)) + noise(repeat, fold) + 0.001 * ((fold + repeat) % 2) * log2(lr / 1e-4)
        )

    return score


def test_a_grid_grows_beyond_a_clear_edge_for_that_head_alone_on_all_folds_and_repeats(search):
    sweep = Sweep(search("check_epochs=false"), peak({"cls": 5.5e-4, "mean": 2e-4}))
    assert len(sweep.rounds) == 2
    assert sweep.told(1) == [("cls", 8e-4, 3, *cell) for cell in CELLS]


def test_a_grid_grows_downwards_too_and_twice_at_most(search):
    sweep = Sweep(search("check_epochs=false"), peak({"cls": 1e-9, "mean": 1.0}))
    assert len(sweep.rounds) == 3
    first, second = ({told[:2] for told in sweep.told(number)} for number in (1, 2))
    assert first == {("cls", 5e-5), ("mean", 8e-4)}
    assert second == {("cls", 2.5e-5), ("mean", 1.6e-3)}


def test_an_edge_that_is_better_by_chance_does_not_count(search):
    def score(_head, lr, _epochs, repeat, fold):
        return 0.5 + (0.1 if (repeat, fold) == (0, 0) else -0.015) * (lr == 4e-4)

    assert len(Sweep(search("check_epochs=false"), score).rounds) == 1


def test_epochs_grow_to_whole_numbers_with_all_learning_rates(search):
    def score(head, _lr, epochs, repeat, fold):
        return 0.5 + noise(repeat, fold) + 0.01 * epochs * (head == "cls") + 0.0001 * fold * epochs * (head == "cls")

    sweep = Sweep(search("check_epochs=false", **{"trainer.max_epochs": [2, 4]}), score)
    rates = (1e-4, 2e-4, 4e-4)
    assert sweep.told(1) == [("cls", lr, 8, *cell) for cell in CELLS for lr in rates]
    assert sweep.told(2) == [("cls", lr, 16, *cell) for cell in CELLS for lr in rates]
    assert len(sweep.rounds) == 3


def test_what_follows_depends_on_results_alone(search):
    score = peak({"cls": 1e-9, "mean": 2e-4})
    whole = Sweep(search(), score)
    again = search()
    runs = again.known()
    while new := again.more(whole.results, 5):
        runs += new
    assert [run.key for run in runs] == [run.key for round_ in whole.rounds for run in round_]


@pytest.mark.parametrize(
    ("typed", "changed"),
    [
        (["grow=false"], {}),
        (["fold=0,1"], {}),  # not all folds: an answer of half the rows
        (["optimizer.lr=2e-4"], {}),
        ([], {"fold": None, "folds": None, "repeat": None, "seed": [0, 1, 2]}),  # no cross-validation
    ],
)
def test_a_grid_does_not_grow(search, typed, changed):
    sweep = Sweep(search("check_epochs=false", *typed, **changed), peak({"cls": 1.0, "mean": 1e-9}))
    assert len(sweep.rounds) == 1


def test_a_rate_at_which_runs_fail_does_not_win(search):
    def score(head, lr, epochs, repeat, fold):
        return None if lr == 4e-4 and fold == 1 else peak({"cls": 1.0, "mean": 1.0})(head, lr, epochs, repeat, fold)

    assert len(Sweep(search("check_epochs=false"), score).rounds) == 1


def test_twice_the_epochs_are_run_once_a_head_at_the_setting_that_the_other_folds_choose(search):
    def score(head, lr, _epochs, repeat, fold):
        if head == "mean":
            return 0.5 + 0.1 * (lr == 2e-4)
        # In fold 0 itself, and in the other repeat, another rate than 1e-4 looks best.
        return 0.5 + 0.1 * (lr == (1e-4 if repeat == 0 and fold > 0 else 4e-4))

    sweep = Sweep(search("grow=false"), score)
    assert sweep.told(1) == [("cls", 1e-4, 6, 0, 0), ("mean", 2e-4, 6, 0, 0)]
    assert len(sweep.rounds) == 2


def test_epochs_are_checked_when_they_were_typed_and_after_the_grid_has_grown(search):
    sweep = Sweep(search("trainer.max_epochs=5", "head=cls"), peak({"cls": 5.5e-4}))
    assert [{told[1:3] for told in sweep.told(number)} for number in (1, 2)] == [{(8e-4, 5)}, {(4e-4, 10)}]
    sweep = Sweep(search("trainer.max_epochs=5", "head=cls", **{"trainer.max_epochs": None}), peak({"cls": 2e-4}))
    assert sweep.told(1) == [("cls", 2e-4, 10, 0, 0)]


@pytest.mark.parametrize(
    "typed",
    [["check_epochs=false"], ["encoder.frozen=true"], ["trainer.max_steps=10"], ["fold=1,2"], ["repeat=1"]],
    ids=" ".join,
)
def test_epochs_are_not_checked(search, typed):
    assert len(Sweep(search(*typed), peak({"cls": 2e-4, "mean": 2e-4})).rounds) == 1


def test_no_run_is_added_where_the_grid_has_twice_the_epochs(search):
    def score(_head, _lr, epochs, _repeat, _fold):
        return 0.5 - 0.1 * (epochs == 6)

    assert len(Sweep(search("grow=false", **{"trainer.max_epochs": [3, 6]}), score).rounds) == 1


def frame(rows):
    return pd.DataFrame(
        [
            (setting({"optimizer.lr": lr, "trainer.max_epochs": epochs}), repeat, fold)
            for lr, epochs, repeat, fold in rows
        ],
        columns=["setting", "repeat", "fold"],
    )


def test_a_reader_tells_the_checks_from_the_grid(search):
    sweep = Sweep(search("head=cls"), peak({"cls": 2e-4}))
    rows = [told[1:] for number in range(len(sweep.rounds)) for told in sweep.told(number)]
    assert len(rows) == 19
    check, checked = ({"optimizer.lr": 2e-4, "trainer.max_epochs": epochs} for epochs in (6, 3))
    assert epoch_checks(frame(rows)) == {setting(check): setting(checked)}
    assert epoch_checks(frame(rows[:-1])) == {}


def test_a_grid_of_which_one_fold_has_been_run_has_no_checks():
    rows = [(lr, epochs, 0, 0) for lr in (1e-4, 2e-4) for epochs in (3, 6)]
    assert epoch_checks(frame(rows)) == {}
    assert epoch_checks(frame([*rows, *((lr, e, 0, 1) for lr, e, _, _ in rows)])) == {}
