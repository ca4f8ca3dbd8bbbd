"""`method: bayes` on made-up objectives: results are written by hand, nothing is trained."""

import math
from pathlib import Path

import numpy as np
import pytest

from head2head.errors import UserError
from head2head.run.result import Result
from head2head.sweep import bayes, space
from head2head.sweep.composer import Composer
from head2head.sweep.distributions import Choice, Range
from head2head.sweep.file import SweepFile
from head2head.sweep.parameters import parameter
from head2head.sweep.plan import Planner

LR = Range("log_uniform_values", {"min": 1e-6, "max": 1e-1})
DROPOUT = Range("uniform", {"min": 0.0, "max": 0.9})
HEADS = Choice(("mean", "max", "cls"))


COMPOSER = Composer()  # one for all: composing is what takes time here


def planner(sweep_seed=0, maximize=True, **parameters):
    parameters = {name.replace("__", "."): value for name, value in parameters.items()}
    file = SweepFile(Path("mine/sweep.yaml"), "mine", "bayes", parameters, (), "score", maximize, 30)
    return Planner(file, parameters, ["encoder=random-tiny", "task=needle"], sweep_seed, compose=COMPOSER)


def result(run, score, **changed):
    return Result(
        key=run.key, overrides=list(run.overrides), config={}, task="needle", head="mean", seed=0, metric="accuracy",
        split="validation", score=score, metrics={"last": {"validation": {"loss": 3.0}}}, **changed,
    )  # fmt: skip


def go_on(plan, objective, count, runs=None, results=None, width=1):
    """Choose and finish runs until there are so many, or no more are chosen."""
    runs, results = runs if runs is not None else [], results if results is not None else {}
    while chosen := bayes.choose(plan, runs, results, min(width, count - len(runs))):
        runs += chosen
        results |= {run.key: objective(run) for run in chosen}
    return runs, results


def hill(values):
    """Best, with 0, at a learning rate of 1e-3 and a dropout of 0.2."""
    return -abs(math.log10(values["optimizer.lr"]) + 3) - abs(values["head.dropout"] - 0.2)


def test_it_finds_better_runs_than_chance():
    chosen, random = [], []
    for seed in range(4):
        plan = planner(seed, optimizer__lr=LR, head__dropout=DROPOUT)
        runs, _ = go_on(plan, lambda run: result(run, hill(run.assignment)), 30)
        assert len({run.key for run in runs}) == 30
        chosen += [hill(run.assignment) for run in runs[15:]]
        random += [hill(row) for row in space.sample(plan.parameters, 30, seed)[15:]]
    assert np.mean(chosen) > np.mean(random) + 0.4


def test_it_goes_down_when_less_is_better():
    plan = planner(maximize=False, optimizer__lr=LR, head__dropout=DROPOUT)
    runs, _ = go_on(plan, lambda run: result(run, hill(run.assignment)), 25)
    scores = [hill(run.assignment) for run in runs]
    assert np.mean(scores[15:]) < np.mean(scores[:10])


def test_a_resumed_sweep_makes_the_choices_of_one_that_was_never_broken_off():
    parameters = {"optimizer__lr": LR, "head": HEADS, "head__dropout": DROPOUT, "seed": Choice((0, 1))}

    def score(run):
        return result(run, -abs(math.log10(run.assignment["optimizer.lr"]) + 3))

    whole, results = go_on(planner(**parameters), score, 14, width=2)
    done = {run.key: results[run.key] for run in whole[:12]}
    known = dict(sorted(done.items()))  # as results.jsonl has them: in another order
    plan = planner(**parameters)
    runs = bayes.replay(plan, known)
    assert {run.key for run in runs} == set(done)
    resumed, _ = go_on(plan, score, 14, runs, known, width=2)
    assert [run.overrides for run in resumed[12:]] == [run.overrides for run in whole[12:]]
    other, _ = go_on(planner(sweep_seed=1, **parameters), score, 2)
    assert other[0].key != whole[0].key


def test_a_small_space_is_gone_through_to_the_last_run_and_then_the_sweep_ends():
    plan = planner(head=HEADS, seed=Choice((0, 1, 2)), batch_size=Range("int_uniform", {"min": 3, "max": 4}))
    runs, results = go_on(plan, lambda run: result(run, float(run.assignment["head"] == "max")), 30)
    assert len(runs) == len({run.key for run in runs}) == 3 * 3 * 2
    assert bayes.choose(plan, runs, results, 5) == []


def test_runs_that_fail_do_not_stop_it_and_are_not_chosen_again():
    plan = planner(optimizer__lr=LR, head__dropout=DROPOUT)

    def outcome(run):
        bad = run.assignment["optimizer.lr"] > 1e-2
        return result(run, None, failed="diverged") if bad else result(run, hill(run.assignment))

    runs, results = go_on(plan, outcome, 25)
    assert len({run.key for run in runs}) == 25
    assert any(found.failed for found in results.values())
    runs, _ = go_on(plan, lambda run: result(run, None, failed="all of them"), 12)
    assert len({run.key for run in runs}) == 12


def test_runs_that_are_chosen_together_differ():
    plan = planner(head=HEADS, seed=Choice((0, 1)))
    assert len({run.key for run in bayes.choose(plan, [], {}, 4)}) == 4
    assert bayes.choose(plan, [], {}, 0) == []


@pytest.mark.parametrize(
    ("settings", "low", "high", "step"),
    [
        ({"min": 2, "max": 5}, 2, 5, 1),
        ({"min": 0.5, "max": 2}, 0.5, 2, None),
        ({"distribution": "q_uniform", "min": 3, "max": 21, "q": 5}, 5, 20, 5),  # round(X / q) * q
        ({"distribution": "q_uniform", "min": 0.1, "max": 0.35, "q": 0.1}, 0.1, 0.3, 0.1),
        ({"distribution": "log_uniform", "min": -3, "max": -1}, math.exp(-3), math.exp(-1), None),
        ({"distribution": "inv_log_uniform", "min": 1, "max": 3}, math.exp(-3), math.exp(-1), None),
        ({"distribution": "log_uniform_values", "min": 0.1, "max": 1.0}, 0.1, 1, None),
        ({"distribution": "inv_log_uniform_values", "min": 0.1, "max": 1.0}, 0.1, 1, None),
    ],
)
@pytest.mark.filterwarnings("error")
def test_a_range_is_searched_within_its_bounds(settings, low, high, step):
    found = bayes.searched("x", parameter(settings))
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert found.step == (pytest.approx(step) if step else None)
    assert found.log == ("log" in settings.get("distribution", ""))
    rng = np.random.default_rng(0)
    drawn = parameter(settings)
    assert all(bayes.interval("x", drawn).holds(drawn.sample(rng)) for _ in range(200))
    assert not bayes.interval("x", drawn).holds(low - 1e-6)
    assert not bayes.interval("x", drawn).holds(high + 1e-6)
    assert step is None or not bayes.interval("x", drawn).holds(low + step / 2)


@pytest.mark.parametrize("kind", ["normal", "q_normal", "log_normal", "q_log_normal", "beta", "q_beta"])
def test_a_distribution_that_it_cannot_search_is_refused_before_anything_runs(kind):
    plan = planner(head__dropout=parameter({"distribution": kind}))
    for work in (lambda: bayes.replay(plan, {}), lambda: bayes.choose(plan, [], {}, 1)):
        with pytest.raises(UserError, match=f"^parameters: head.dropout: bayes cannot search a {kind} distribution"):
            work()


def test_the_values_of_a_run_are_read_back_from_its_overrides():
    parameters = {
        "optimizer.lr": LR,
        "batch_size": Range("int_uniform", {"min": 2, "max": 64}),
        "head.dropout": Range("q_uniform", {"min": 0.0, "max": 0.5, "q": 0.1}),
        "encoder.frozen": Choice((True, False)),
        "optimizer.betas": Choice(([0.9, 0.98], [0.9, 0.999])),
        "head": Choice(("mean", "max")),
    }
    for row in space.sample(parameters, 50, seed=3):
        overrides = ["encoder=random-tiny", *reversed(space.overrides(row)), "~x", "+y='a=b'"]
        assert bayes.assignment(parameters, overrides) == row


@pytest.mark.parametrize(
    "overrides",
    [[], ["batch_size=1"], ["batch_size=9"], ["batch_size=2.5"], ["batch_size=x"], ["batch_size=nan"], ["~batch_size"]],
)
def test_a_run_outside_the_space_has_no_values_in_it(overrides):
    parameters = {"batch_size": Range("int_uniform", {"min": 2, "max": 8})}
    assert bayes.assignment(parameters, overrides) is None
    assert bayes.assignment({"head": Choice(("mean",))}, ["head=max"]) is None


def test_results_that_are_not_of_this_sweep_are_left_out():
    """The bounds were narrowed, another setting was changed, or another parameter was added since."""
    wide = planner(optimizer__lr=LR)
    runs, results = go_on(wide, lambda run: result(run, 0.5), 8)
    narrow = planner(optimizer__lr=Range("log_uniform_values", {"min": 1e-6, "max": 1e-4}))
    kept = bayes.replay(narrow, results)
    assert {run.key for run in kept} == {run.key for run in runs if run.assignment["optimizer.lr"] <= 1e-4}
    assert 0 < len(kept) < 8
    assert len(bayes.choose(narrow, kept, results, 1)) == 1
    other = planner(optimizer__lr=LR)
    other.fixed = [*other.fixed, "batch_size=5"]
    assert bayes.replay(other, results) == []
    assert bayes.replay(planner(optimizer__lr=LR, head=HEADS), results) == []


def test_the_objective_is_the_score_or_a_metric_that_the_task_has():
    (run,) = planner(head=HEADS).runs([{"head": "max"}])
    assert bayes.objective(result(run, 0.7), "score") == 0.7
    assert bayes.objective(result(run, 0.7), "validation/loss") == 3
    assert bayes.objective(result(run, None, failed="x"), "validation/loss") is None
    with pytest.raises(UserError, match=r"^metric: validation/f1: needle has score, validation/loss$"):
        bayes.objective(result(run, 0.7), "validation/f1")


def test_settings_that_stored_overrides_leave_out_have_the_files_value():
    plan = planner(optimizer__lr=LR, threads=Choice((1,)), save_model=Choice((False,)))
    runs = plan.runs([{"optimizer.lr": 0.001, "threads": 1, "save_model": False}])
    stored = result(runs[0], 0.5)
    stored.overrides = [o for o in stored.overrides if not o.startswith(("threads", "save_model"))]
    assert bayes.replay(plan, {stored.key: stored}) == runs
