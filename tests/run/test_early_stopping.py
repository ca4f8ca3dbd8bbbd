"""Hyperband: the rule, and runs that it does and does not stop."""

import json

import numpy as np
import pytest

from composed import compose
from head2head.errors import UserError
from head2head.run.early_stopping import falls_behind
from head2head.run.key import identify
from head2head.run.result import read_result as read
from head2head.run.run import run
from head2head.sweep.plan import Planned, find


@pytest.mark.parametrize(
    ("own", "others", "bands", "eta", "expected"),
    [
        ([5], [], [1], 3, None),  # alone it is the best
        ([5], [[1], [2]], [2, 4], 3, None),  # no band reached
        ([3], [[1], [2]], [1], 3, 1),  # of three the best third is one; the next may just go on
        ([2], [[1], [3]], [1], 3, None),
        ([2], [[1], [2]], [1], 3, None),  # as good as the threshold
        ([3], [[1, 9], [2, 9]], [1, 2], 3, 1),
        ([3, 3, 3], [[1, 1], [2, 2]], [1, 2, 4], 3, 2),  # the last band reached counts, also between bands
        ([3, 3, 3], [[1], [2]], [1, 2, 4], 3, None),  # and who has not got there does not
        ([3, 0, 3], [[1, 1, 1], [2, 2, 2]], [3], 3, None),  # the best value so far counts
        ([4], [[1], [2], [3]], [1], 2, 1),
        ([3], [[1], [2], [4]], [1], 2, None),
        ([4], [[1], [2], [3]], [1], 1.5, 1),
        ([3], [[1], [2], [4]], [1], 1.5, None),
    ],
)
def test_a_run_goes_on_while_it_is_among_the_best(own, others, bands, eta, expected):
    assert falls_behind(own, [*others, own], bands, eta) == expected


def test_strictly_the_value_at_the_band_counts():
    own, others = [3, 0, 3], [[1, 1, 1], [2, 2, 2]]
    assert falls_behind(own, [*others, own], [3], 3, strict=True) == 3
    assert falls_behind(own, [*others, own], [2], 3, strict=True) is None


def reference(table, row, bands, eta, strict):
    """W&B's rule in other words: more than n / eta (rounded down) of the n runs that have reached the last band
    were better there than the run is. Rows of the table are runs, NaN what is yet to come."""
    length = int((~np.isnan(table[row])).sum())
    reached = np.array(bands)[np.array(bands) <= length]
    if not len(reached):
        return None
    column = table[:, reached.max() - 1]
    column = column[~np.isnan(column)]
    value = table[row, reached.max() - 1] if strict else np.nanmin(table[row])
    return int(reached.max()) if (column < value).sum() > len(column) // eta else None


@pytest.mark.parametrize("strict", [False, True])
def test_the_rule_is_wandbs(strict):
    rng = np.random.default_rng(0)
    stopped = 0
    for _ in range(300):
        runs, eta = int(rng.integers(1, 9)), float(rng.choice([1.5, 2, 3, 4]))
        bands = sorted(rng.choice(np.arange(1, 8), size=3, replace=False).tolist())
        table = rng.integers(0, 6, size=(runs, 9)).astype(float)  # with ties
        for row, length in enumerate(rng.integers(1, 10, size=runs)):
            table[row, length:] = np.nan
        curves = [values[~np.isnan(values)].tolist() for values in table]
        for row in range(runs):
            expected = reference(table, row, bands, eta, strict)
            assert falls_behind(curves[row], curves, bands, eta, strict) == expected
            stopped += expected is not None
    assert stopped > 50


SMALL = [
    *("encoder=random-tiny", "task.rows.train=60", "task.rows.validation=64", "threads=1", "save_model=false"),
    *("trainer.accelerator=cpu", "trainer.enable_progress_bar=false"),
]


@pytest.fixture
def place(tmp_path):
    """Where runs go; what the sweep's other runs have achieved is written beside it."""

    def go(others, *overrides, bands="[1,3]", metric="score"):
        curves = tmp_path / "curves"
        curves.mkdir()
        for number, values in enumerate(others):
            (curves / f"{number}.json").write_text(json.dumps(values))
        settings = f'bands:{bands},eta:3.0,strict:false,metric:"{metric}",maximize:true,curves:"{curves}"'
        places = [f"output_dir={tmp_path}/runs", f"cache_dir={tmp_path}/cache"]
        plain = [*SMALL, *places, *overrides]
        typed = [*plain, f"early_terminate={{{settings}}}"]
        assert identify(compose(typed)).key == identify(compose(plain)).key
        result = run(compose(typed), typed)
        return result, Planned(tuple(plain), {}, identify(compose(plain))), curves

    return go


def test_a_run_that_falls_behind_is_stopped_and_is_no_whole_run(place):
    """Curves hold what is minimized: -1 is an accuracy of 1."""
    result, planned, curves = place([[-1.0] * 5, [-1.0] * 5], "trainer.max_epochs=5")
    assert result.stopped == "hyperband: not among the best 1/3 after 1 validations"
    assert [point["epoch"] for point in result.curve] == [1]
    assert (result.steps, result.failed) == (2, None)
    assert result.score == result.curve[0]["metrics"]["validation"]["accuracy"]
    assert json.loads((curves / f"{result.key}.json").read_text()) == [-result.score]
    assert find(planned) is None
    assert find(planned, stopped_too=True) == result == read(planned.identity.folder)


def test_a_run_that_keeps_up_comes_to_its_end(place):
    result, planned, curves = place([[0.0] * 5, [0.0] * 5], "trainer.max_epochs=5")
    assert result.stopped is None
    assert len(result.curve) == 5
    own = [-point["metrics"]["validation"]["accuracy"] for point in result.curve]
    assert json.loads((curves / f"{result.key}.json").read_text()) == own
    assert find(planned) == result


@pytest.mark.parametrize("limit", [("trainer.max_epochs=2",), ("trainer.max_steps=3",)], ids=["epochs", "steps"])
def test_a_run_that_has_come_to_its_end_anyway_is_not_called_stopped(limit, place):
    """Three steps end within the second epoch, and are validated behind training."""
    result, planned, _ = place([[-1.0] * 2, [-1.0] * 2], *limit, bands="[2]")
    assert len(result.curve) == 2
    assert result.stopped is None
    assert find(planned) == result


def test_an_objective_that_the_task_does_not_have_is_refused_with_those_it_has(place, tmp_path):
    with pytest.raises(UserError, match=r"^metric: validation/f1: this task has score, validation/accuracy$"):
        place([], "trainer.max_epochs=1", metric="validation/f1")
    assert not (tmp_path / "runs").exists()
