"""A setting is chosen by folds that it is not scored on."""

import math

import numpy as np
import pandas as pd
import pytest

from head2head.statistics.choice import Growth, by_others, choose, growth, is_tuned, rectangle, setting

LOW, MIDDLE, HIGH = (setting({"optimizer.lr": lr}) for lr in (1e-4, 3e-4, 1e-3))


def table(scores: dict, head: str = "mean", repeat: int = 0) -> pd.DataFrame:
    """setting -> scores by fold; None where there is no run."""
    return pd.DataFrame(
        [
            {"head": head, "setting": chosen, "repeat": repeat, "fold": fold, "score": score}
            for chosen, values in scores.items()
            for fold, score in enumerate(values)
            if score is not None
        ]
    )


def test_the_other_folds_choose_and_the_fold_itself_has_no_say():
    # Fold 0 by 1 and 2: low 0.5, high 0.6. Fold 1 by 0 and 2: 0.7 and 0.55. Fold 2 by 0 and 1: 0.7 and 0.45.
    found = choose(table({LOW: [0.9, 0.5, 0.5], HIGH: [0.4, 0.5, 0.7]}))
    assert found["setting"].tolist() == [HIGH, LOW, LOW]
    assert found["score"].tolist() == [0.4, 0.5, 0.5]
    assert found["complete"].all()


def test_it_agrees_with_the_definition_written_as_loops():
    rng = np.random.default_rng(0)
    scores = rng.random((20, 4, 5))
    for grid in scores:
        chosen, complete = by_others(grid)
        assert complete.all()
        for fold in range(5):
            means = [np.mean([grid[s, f] for f in range(5) if f != fold]) for s in range(4)]
            assert chosen[fold] == int(np.argmax(means))


def test_repeats_choose_apart_and_heads_too():
    frame = pd.concat(
        [
            table({LOW: [0.9, 0.9], HIGH: [0.1, 0.1]}, "mean", 0),
            table({LOW: [0.1, 0.1], HIGH: [0.9, 0.9]}, "mean", 1),
            table({LOW: [0.1, 0.1], HIGH: [0.9, 0.9]}, "max", 0),
        ],
        ignore_index=True,
    )
    found = choose(frame).set_index(["head", "repeat"])["setting"]
    assert set(found["mean", 0]) == {LOW}
    assert set(found["mean", 1]) == set(found["max", 0]) == {HIGH}


def test_run_is_the_index_of_the_chosen_run():
    frame = table({LOW: [0.9, 0.5, 0.5], HIGH: [0.4, 0.5, 0.7]})
    frame.index = [f"key{i}" for i in range(6)]
    found = choose(frame.sample(frac=1, random_state=0))
    assert dict(zip(found["fold"], found["run"], strict=True)) == {0: "key3", 1: "key1", 2: "key2"}


def test_of_equal_settings_the_smaller_is_taken_also_where_only_rounding_differs():
    rounded = [0.1 + 0.2, 0.3, 0.1 + 0.2]
    assert set(choose(table({HIGH: rounded, LOW: [0.3, 0.1 + 0.2, 0.3]}))["setting"]) == {LOW}


def test_a_failed_run_is_worse_than_any_score():
    nan = math.nan
    found = choose(table({LOW: [0.1, 0.1, 0.1], HIGH: [0.9, nan, 0.9]}))
    assert found["setting"].tolist() == [LOW, HIGH, LOW]
    assert found["failed"].tolist() == [False, True, False]  # fold 1 takes it by folds 0 and 2, and it fails there
    assert found["score"].isna().tolist() == [False, True, False]
    everywhere = choose(table({LOW: [nan, nan, nan], HIGH: [nan, nan, nan]}))
    assert everywhere["setting"].tolist() == [LOW] * 3
    assert everywhere["failed"].all()


def test_one_setting_is_chosen_without_the_others():
    found = choose(table({(): [0.5, None, None]}))
    assert found[["fold", "setting", "score", "complete"]].to_numpy().tolist() == [[0, (), 0.5, True]]


def test_with_one_fold_nothing_can_be_chosen():
    found = choose(table({LOW: [0.5], HIGH: [0.6]}))
    assert found["setting"].tolist() == [None]
    assert found["score"].isna().all()
    assert not found["complete"].any()


def test_a_fold_just_begun_does_not_shut_the_other_settings_out():
    frame = table({LOW: [0.1, 0.1, 0.1, 0.1], MIDDLE: [0.5, 0.5, 0.5, None], HIGH: [0.9, 0.9, 0.9, None]})
    found = choose(frame)
    assert found["setting"].tolist() == [HIGH] * 4
    assert found["run"].isna().tolist() == [False, False, False, True]
    assert found["complete"].tolist() == [False, False, False, True]


def test_a_setting_just_begun_or_dropped_long_ago_is_no_candidate():
    begun = choose(table({LOW: [0.9, None, None], MIDDLE: [0.5, 0.5, 0.5], HIGH: [0.6, 0.6, 0.6]}))
    assert begun["setting"].tolist() == [HIGH] * 3
    assert begun["complete"].tolist() == [False, False, False]
    raced = choose(table({LOW: [0.5, 0.5, None, None, None], HIGH: [0.4, 0.6, 0.6, 0.6, 0.6]}))
    assert raced["setting"].tolist() == [HIGH, HIGH, HIGH, HIGH, HIGH]


def test_the_largest_complete_part_of_a_grid():
    run = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 1, 0, 0, 0]], dtype=bool)
    settings, folds = rectangle(run)  # 3 x 2, 2 x 3 and 1 x 5: of the first two the one with more folds
    assert (settings.tolist(), folds.tolist()) == ([0, 1], [0, 1, 2])
    assert [part.tolist() for part in rectangle(np.zeros((2, 3), dtype=bool))] == [[], []]


def test_two_runs_of_one_cell_are_refused():
    frame = table({LOW: [0.5, 0.5]})
    with pytest.raises(ValueError, match="two runs"):
        choose(pd.concat([frame, frame]))


def test_what_is_tuned_is_decided_here():
    assert all(is_tuned(name) for name in ("optimizer.lr", "trainer.max_epochs", "trainer.max_steps", "batch_size"))
    assert not any(is_tuned(name) for name in ("encoder.name", "task.max_length", "trainer.precision", "seed"))


def test_an_edge_counts_when_it_beats_the_inner_settings_by_more_than_a_standard_error():
    # Differences 0.05, 0.02, 0.02: mean 0.03, standard deviation 0.0173, standard error 0.01.
    frame = table({LOW: [0.5, 0.5, 0.5], MIDDLE: [0.60, 0.61, 0.59], HIGH: [0.65, 0.63, 0.61]})
    (found,) = growth(frame)
    assert found[:3] == ("optimizer.lr", "higher", 1e-3)
    assert found.value == pytest.approx(3.33e-3)
    assert (found.gain, found.error) == pytest.approx((0.03, 0.01))


def test_an_edge_within_a_standard_error_does_not_count():
    # Differences 0.05, -0.04, 0.02: mean 0.01, standard error 0.026.
    assert growth(table({LOW: [0.5] * 3, MIDDLE: [0.60, 0.60, 0.60], HIGH: [0.65, 0.56, 0.62]})) == []


def test_one_dimension_at_a_time_whatever_the_other():
    scores = {
        setting({"optimizer.lr": lr, "trainer.max_epochs": epochs}): [base, base + 0.01, base]
        for (lr, epochs), base in {
            (1e-4, 3): 0.5, (3e-4, 3): 0.6, (1e-3, 3): 0.55, (1e-4, 5): 0.5, (3e-4, 5): 0.7, (1e-3, 5): 0.6,
        }.items()
    }  # fmt: skip
    (found,) = growth(table(scores))
    assert found[:4] == ("trainer.max_epochs", "higher", 5, 8)
    assert isinstance(found.value, int)


@pytest.mark.parametrize(
    ("name", "values", "direction", "following"),
    [
        ("optimizer.lr", (1e-4, 2e-4, 4e-4), "lower", 5e-5),
        ("optimizer.lr", (1e-4, 2e-4, 4e-4), "higher", 8e-4),
        ("batch_size", (16, 32), "higher", 64),
        ("optimizer.weight_decay", (0.0, 0.01), "higher", 0.02),
    ],
)
def test_the_grid_goes_on_as_it_went(name, values, direction, following):
    order = values if direction == "higher" else values[::-1]
    scores = {setting({name: value}): [0.1 * i, 0.1 * i + 0.001] for i, value in enumerate(order)}
    (found,) = growth(table(scores))
    assert (found.direction, found.value) == (direction, following)


def test_nothing_is_below_zero_and_one_epoch_is_the_least():
    assert growth(table({setting({"optimizer.weight_decay": v}): [0.5 - v, 0.501 - v] for v in (0.0, 0.1, 0.2)})) == []
    assert growth(table({setting({"trainer.max_epochs": v}): [1 / v, 1 / v + 0.001] for v in (1, 2, 4)})) == []


def test_an_edge_that_fails_or_is_not_run_everywhere_yet_does_not_count():
    inner = {LOW: [0.1, 0.1, 0.11], MIDDLE: [0.5, 0.5, 0.5]}
    assert growth(table(inner | {HIGH: [0.9, math.nan, 0.9]})) == []
    before = growth(table(inner))
    assert before == growth(table(inner | {HIGH: [0.9, None, None]}))
    assert isinstance(before[0], Growth)


@pytest.mark.parametrize("spread", [0.0, 0.02])
def test_in_simulation_the_choice_flatters_by_no_more_than_two_tenths_of_a_point(spread):
    """Six settings, five folds, 500 rows: rows differ in difficulty, settings in the rows they find hard, runs in
    skill. The mean of the chosen scores is held against the true scores of the chosen settings."""
    rng, (simulations, settings, folds, rows) = np.random.default_rng(0), (1000, 6, 5, 100)
    true = 0.6 + spread * rng.standard_normal((simulations, settings, 1))
    hard = 0.25 * np.tanh(rng.standard_normal((simulations, 1, folds, rows)))
    own = 0.1 * np.tanh(rng.standard_normal((simulations, settings, folds, rows)))
    skill = 0.01 * rng.standard_normal((simulations, settings, folds, 1))
    scores = (rng.random(own.shape) < true[..., None] + hard + own + skill).mean(axis=-1)
    luck = hard.mean(axis=-1)  # common to all settings
    chosen = np.stack([by_others(grid)[0] for grid in scores])

    def optimism(numbers: np.ndarray) -> float:
        picked = np.take_along_axis(scores - luck - true, numbers[:, None, :], axis=1)
        return float(picked.mean())

    naive = np.repeat(scores.mean(axis=-1).argmax(axis=1)[:, None], folds, axis=1)
    assert abs(optimism(chosen)) < 0.002
    if not spread:
        assert optimism(naive) > 0.01
