"""The race: its bounds, its course, and the share of races that drop the best head."""

import importlib
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from head2head.statistics.course import Design, Entry, Failed, replay
from head2head.statistics.race import Rules, against, needed, probability_best, variance
from head2head.statistics.settings_left import Scored
from head2head.statistics.uncertainty import components

RULES = Rules(looks=tuple(range(1, 11)), rivals=4)


def rounds(mean, count, examples=500, seed=0, spread=0.0, noise=1.0):
    """Rounds of folds with examples of their own: rights and wrongs, as accuracy has it."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        right = (rng.random(examples) < mean + spread * rng.standard_normal()).astype(float)
        ids = number * examples + np.arange(examples)
        influence = noise * (right - right.mean()) / math.sqrt(examples * (examples - 1))
        found.append(Scored(float(right.mean()), ids, influence))
    return found


def test_the_first_look_spends_its_share_and_later_ones_more():
    levels = [RULES.level(rounds) for rounds in RULES.looks]
    assert levels[0] == pytest.approx(0.05 / 2 / 4 * 0.1**1.5)
    assert levels == sorted(levels)
    assert levels[-1] < 0.05 / 2 / 4


def difference(count):
    """Differences of two heads by round: scores (R,), cluster ids and influences (N,), influences (R, G)."""
    pairs = list(zip(rounds(0.7, count, seed=1), rounds(0.6, count, seed=2), strict=True))
    scores = np.array([a.score - b.score for a, b in pairs])
    ids, influence = (
        np.concatenate(x) for x in zip(*((a.clusters, a.influence - b.influence) for a, b in pairs), strict=True)
    )
    whole = np.zeros((count, len(ids)))
    whole[np.repeat(np.arange(count), len(ids) // count), ids] = influence
    return scores, ids, influence, whole


def test_before_the_third_round_the_spread_of_runs_is_the_one_set_beforehand():
    scores, ids, influence, whole = difference(2)
    examples, run, freedom = variance(scores, ids, influence, 0.03)
    assert examples == pytest.approx(float(components(scores, whole).examples))
    assert run == 0.03**2
    assert freedom == len(ids) - 1


def test_later_the_rounds_have_their_say_and_the_one_set_beforehand_counts_as_four():
    scores, ids, influence, whole = difference(5)
    wild = scores + np.array([0.2, -0.2, 0.1, -0.1, 0.0])
    parts = components(wild, whole)  # the same without a spread set beforehand
    examples, run, freedom = variance(wild, ids, influence, 0.5)
    assert examples == pytest.approx(float(parts.examples))
    assert run == pytest.approx((4 * 0.5**2 + 4 * 5 * float(parts.runs)) / 8)
    assert 8 <= freedom < 20
    assert variance(np.full(5, 0.1), ids, influence, 0.0)[1] == 0.0


def test_rounds_that_spread_more_than_was_set_beforehand_are_believed():
    scores, ids, influence, whole = difference(5)
    wild = scores + np.array([0.2, -0.2, 0.1, -0.1, 0.0])
    assert variance(wild, ids, influence, 0.01)[1] == pytest.approx(5 * float(components(wild, whole).runs))


def test_bounds_are_those_of_a_t_interval():
    found = against(rounds(0.7, 4, seed=1), "other", rounds(0.65, 4, seed=2), RULES, 0.01)
    error = math.sqrt(found.examples + found.run / 4)
    low, high = stats.t.interval(0.98, found.freedom, found.difference, error)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))


def test_states_follow_from_the_bounds():
    base = against(rounds(0.7, 4, seed=1), "other", rounds(0.7, 4, seed=2), RULES, 0.01)
    cases = {
        "beaten": (-0.05, -0.001), "equal": (-0.009, 0.009), "no better": (-0.03, 0.009), "open": (-0.005, 0.011)
    }  # fmt: skip
    for state, (low, high) in cases.items():
        assert base._replace(low=low, high=high).state(0.01) == state


def test_the_probability_of_being_best_shares_out_one():
    heads = {"a": rounds(0.75, 5, seed=1), "b": rounds(0.75, 5, seed=2), "c": rounds(0.55, 2, seed=3)}
    found = probability_best(heads, RULES)
    assert sum(found.values()) == pytest.approx(1)
    assert found["c"] < 0.01
    same = probability_best({"a": heads["a"], "b": rounds(0.75, 5, seed=1)}, RULES)
    assert same["a"] == pytest.approx(0.5, abs=0.02)


def test_more_rounds_are_asked_for_where_they_help_and_more_rows_where_not():
    noisy = against(rounds(0.70, 5, 2000, 1), "o", rounds(0.70, 5, 2000, 1), RULES, 0.01)._replace(difference=0.0)
    some = needed(noisy._replace(examples=1e-6, run=0.02**2), RULES, 5)
    assert some.rows == 1
    assert some.rounds is not None
    z = stats.norm.ppf(1 - RULES.level(10))
    assert 1e-6 + 0.02**2 / some.rounds <= (0.01 / z) ** 2 < 1e-6 + 0.02**2 / (some.rounds - 1)
    none = needed(noisy._replace(examples=0.01**2, run=0.0), RULES, 5)
    assert none.rounds is None
    assert none.rows == pytest.approx((z * 0.01 / 0.01) ** 2)
    # Two of five folds: the rest of the rows is still to come.
    half = needed(noisy._replace(examples=1e-5, run=0.0, rounds=2), RULES, 5)
    assert half.rounds == max(3, math.ceil(1e-5 * 2 / (0.01 / z) ** 2))


# --- the course ---------------------------------------------------------------------------------------------------


def results(means, folds, worse=0.1, examples=500):
    """What every run of a grid scores, as a function of the entry alone."""

    def known(entry: Entry):
        mean = means[entry.head] - worse * entry.setting
        number = [*means].index(entry.head) * 1000 + entry.setting * 100 + entry.round
        (run,) = rounds(mean, 1, examples, number)
        return run._replace(clusters=run.clusters + (entry.round % folds) * examples)

    return known


DESIGN = Design({"a": 1, "b": 1, "c": 1}, folds=5, repeats=2, margin=0.01, run_spread=0.02)
MEANS = {"a": 0.80, "b": 0.79, "c": 0.50}


def test_a_head_far_behind_is_dropped_at_once_and_runs_no_more():
    course = replay(DESIGN, results(MEANS, 5))
    assert course.dropped["c"].state == "beaten"
    assert course.dropped["c"].after == 1
    assert len(course.settings["c"]) == 1
    assert len(course.settings["a"]) > 1
    assert course.over


def test_the_next_round_is_what_the_heads_that_are_left_have_not_run():
    every = results(MEANS, 5)
    seen = []

    def until(entry: Entry):
        return every(entry) if entry.round < 3 else seen.append(entry)

    course = replay(DESIGN, until)
    assert course.rounds == 3
    assert course.wanted == seen
    assert {entry.head for entry in course.wanted} == {"a", "b"}
    assert {entry.round for entry in course.wanted} == {3}


def test_heads_with_settings_are_first_looked_at_after_two_folds_of_a_repeat():
    design = Design({"a": 3, "b": 3}, 5, 2, 0.0, 0.02)  # no margin: nothing is ever equal
    course = replay(design, results({"a": 0.8, "b": 0.8}, 5, worse=0.0))
    assert [look.rounds for look in course.looks] == [2, 3, 4, 5, 7, 8, 9, 10]


def test_bad_settings_are_dropped_within_a_head_and_taken_up_again_in_a_new_repeat():
    design = Design({"a": 3, "b": 3}, 5, 2, 0.0, 0.02)
    course = replay(design, results({"a": 0.8, "b": 0.8}, 5, worse=0.15))
    assert [len(run) for run in course.settings["a"]] == [3, 3, 1, 1, 1] * 2
    assert set(course.chosen["a"]) == {0}


def test_a_setting_that_fails_is_out_and_a_head_of_which_all_fail_has_failed():
    every = results(MEANS, 5, worse=0.0)

    def known(entry: Entry):
        bad = entry.head == "b" or (entry.head == "a" and entry.setting == 1 and entry.round == 1)
        return Failed("loss is nan") if bad else every(entry)

    course = replay(Design({"a": 2, "b": 2, "c": 1}, 5, 1, 0.01, 0.02), known)
    assert course.dropped["b"].state == "failed"
    assert set(course.chosen["a"]) == {0}
    assert course.leader == "a"


# --- simulated races ----------------------------------------------------------------------------------------------


@pytest.fixture
def simulation(monkeypatch):
    folder = Path(__file__).parents[2] / "benchmarks"
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    yield importlib.import_module("race")
    for name in set(sys.modules) - before:
        if (folder / f"{name}.py").exists():
            del sys.modules[name]


def test_the_best_head_is_dropped_in_few_races_and_runs_are_saved(simulation):
    table = simulation.run(simulation.short(), 20)
    boundary = table[table["truth"] == "boundary"]
    drops, races = (boundary["false_drop"] * boundary["races"]).sum(), int(boundary["races"].sum())
    assert stats.binomtest(round(drops), races, 0.05, "greater").pvalue > 0.01
    apart = table[table["truth"] == "apart"].iloc[0]
    assert apart["runs_saved"] > 0.1
    assert apart["winner_within_margin"] > 0.9
