"""Settings of a head, dropped: what is run, what is chosen, and that no fold has a say in its own score."""

import itertools

import numpy as np
import pytest

from head2head.statistics.settings_left import Scored, choice, left, to_run

SPREAD = 0.02
SETTINGS = [0, 1, 2]


def run(score, examples=400, seed=0):
    """A fold's run, whose examples make a difference of about 2 points of their own between two of them."""
    rng = np.random.default_rng(seed)
    return Scored(score, np.arange(examples), 0.03 * rng.standard_normal(examples) / np.sqrt(examples))


def fold(*scores, number=0):
    return {s: run(score, seed=10 * number + s) for s, score in enumerate(scores)}


def test_without_a_fold_all_settings_are_run_and_none_can_be_chosen():
    assert to_run([], SETTINGS, SPREAD) == SETTINGS
    assert choice([fold(0.7, 0.6, 0.5)], SETTINGS, SPREAD, 0) is None
    assert choice([fold(0.7)], [0], SPREAD, 0) == 0


def test_one_bad_fold_drops_no_setting_two_do():
    bad = fold(0.7, 0.69, 0.5)
    assert to_run([bad], SETTINGS, SPREAD) == SETTINGS
    assert to_run([bad, fold(0.7, 0.69, 0.52, number=1)], SETTINGS, SPREAD) == [0, 1]
    assert to_run([bad, fold(0.7, 0.69, 0.75, number=1)], SETTINGS, SPREAD) == SETTINGS


def test_a_setting_within_a_standard_error_of_the_best_stays():
    close = [fold(0.70, 0.69, number=number) for number in range(4)]
    assert to_run(close, [0, 1], SPREAD) == [0, 1]
    assert to_run(close, [0, 1], 0.001) == [0, 1]  # the examples alone leave it open
    far = [fold(0.70, 0.64, number=number) for number in range(4)]
    assert to_run(far, [0, 1], SPREAD) == [0]


def test_the_other_folds_choose():
    folds = [fold(0.9, 0.7, number=0), fold(0.6, 0.7, number=1), fold(0.6, 0.7, number=2)]
    assert choice(folds, [0, 1], 1.0, 0) == 1  # fold 0 itself would have it 0
    assert choice(folds, [0, 1], 1.0, 1) == 0


def raced(scores, folds):
    """The folds of a repeat as a race runs them, from a (S, K) table of what each run would score."""
    done = []
    for number in range(folds):
        wanted = to_run(done, SETTINGS, SPREAD)
        done.append({s: run(scores[s, number], seed=100 * s + number) for s in wanted})
    return done


@pytest.mark.parametrize("seed", range(30))
def test_the_setting_chosen_for_a_fold_does_not_depend_on_that_folds_scores(seed):
    """Whatever fold i scores, fold i is scored with the same setting."""
    rng = np.random.default_rng(seed)
    scores = 0.7 + rng.normal(0, 0.04, (3, 1)) + rng.normal(0, 0.03, (3, 5))
    fold_number = int(rng.integers(5))
    chosen = set()
    for own in itertools.product((0.3, 0.7, 0.99), repeat=3):
        changed = scores.copy()
        changed[:, fold_number] = own
        chosen.add(choice(raced(changed, 5), SETTINGS, SPREAD, fold_number))
    assert len(chosen) == 1


@pytest.mark.parametrize("seed", range(20))
def test_what_is_left_without_a_fold_has_been_run_in_all_folds(seed):
    rng = np.random.default_rng(seed)
    done = raced(0.7 + rng.normal(0, 0.05, (3, 1)) + rng.normal(0, 0.03, (3, 5)), 5)
    for without in (None, *range(5)):
        assert all(s in runs for s in left(done, SETTINGS, SPREAD, without) for runs in done)
