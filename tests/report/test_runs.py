"""Reading results.jsonl, and what its runs are called."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from synthetic import make_result

from head2head.errors import UserError
from head2head.report.runs import load
from head2head.run.result import VERSION


def test_a_finished_run_beats_a_failed_one_of_the_same_key_wherever_it_stands(make):
    for order in (1, -1):
        make([make_result("rte", "mean", 0, 0.7), make_result("rte", "mean", 0, None)][::order])
        frame = load("trial").frame
        assert frame["score"].tolist() == [0.7]
        assert frame["failed"].tolist() == [None]


def test_of_two_finished_runs_of_a_key_the_last_line_counts(make):
    make([make_result("rte", "mean", 0, 0.7), make_result("rte", "mean", 0, 0.8)])
    assert load("trial").frame["score"].tolist() == [0.8]


def test_two_keys_with_the_same_task_head_and_seed_are_told(make):
    make([make_result("rte", "mean", 0, 0.7), make_result("rte", "mean", 0, 0.8, key="other")])
    experiment = load("trial")
    assert experiment.frame["score"].tolist() == [0.8]
    assert experiment.remarks[0].endswith(": 1.")


def test_of_two_keys_the_one_with_a_whole_runs_score_of_the_latest_version_counts(make):
    later = VERSION + 1
    old, new = make_result("rte", "mean", 0, 0.7), make_result("rte", "mean", 0, 0.8, key="b", version=later)
    short = make_result("rte", "mean", 0, 0.6, key="c", version=later, stopped="hyperband")
    failed = make_result("rte", "mean", 0, None, key="d", version=later)
    make([new, short, failed, old])
    assert load("trial").frame["score"].tolist() == [0.8]


def test_settings_are_sorted_by_their_values(make):
    rates = (1e-4, 3e-5, 1e-5)
    make([make_result("rte", head, 0, 0.5, settings={"optimizer.lr": lr}) for lr in rates for head in ("max", "mean")])
    assert [head.partition("=")[2] for head in load("trial").heads] == ["1e-05", "3e-05", "0.0001"] * 2
    rows = (1000, 200, None)
    make([make_result("rte", "mean", 0, 0.5, settings={"task.train_rows": n}) for n in rows])
    assert [task.partition("=")[2] for task in load("trial").tasks] == ["200", "1000", "null"]


def test_the_order_of_lines_changes_nothing(make):
    results = [make_result(task, head, seed, 0.7) for task in "ab" for head in ("max", "cls") for seed in (2, 1)]
    make(results)
    forward = load("trial").frame
    make(results[::-1])
    assert load("trial").frame.equals(forward)


def test_heads_stand_in_the_usual_order_then_by_name(make):
    heads = ["zeta", "max", "alpha", "mean", "pooler", "weighted_sum-mean", "cls"]
    make([make_result("rte", head, 0, 0.5) for head in heads])
    assert load("trial").heads == ["pooler", "cls", "mean", "max", "weighted_sum-mean", "alpha", "zeta"]


def test_heads_on_the_same_layers_stand_together_in_the_usual_order_of_pools(make):
    heads = ["concat_last4-mean", "embeddings-attention", "embeddings-mean", "embeddings-cls", "max", "attention"]
    make([make_result("rte", head, 0, 0.5) for head in heads])
    usual = ["max", "attention", "concat_last4-mean", "embeddings-cls", "embeddings-mean", "embeddings-attention"]
    assert load("trial").heads == usual


def test_a_setting_that_varies_within_a_cell_is_written_behind_the_head(make):
    make([make_result("rte", "mean", 0, 0.5, settings={"optimizer.lr": lr}) for lr in (3e-05, 1e-04)])
    assert load("trial").heads == ["mean · optimizer.lr=3e-05", "mean · optimizer.lr=0.0001"]


def test_what_is_not_part_of_the_key_is_not_compared(make):
    settings = [{"output_dir": "a", "threads": 1}, {"output_dir": "b", "threads": 2, "trainer.enable_progress_bar": 0}]
    make([make_result("rte", "mean", seed, 0.5, settings=settings[seed]) for seed in (0, 1)])
    assert load("trial").heads == ["mean"]


def test_whole_floats_and_integers_are_one_setting(make):
    make([make_result("rte", "mean", seed, 0.5, settings={"optimizer.lr": 1.0 if seed else 1}) for seed in (0, 1)])
    assert load("trial").heads == ["mean"]


def test_what_the_task_decides_is_not_written(make):
    epochs = {"rte": 10, "sst2": 3}
    make([make_result(t, "mean", 0, 0.5, settings={"trainer.max_epochs": n}) for t, n in epochs.items()])
    assert load("trial").heads == ["mean"]


def test_what_follows_from_a_written_setting_is_not_written(make):
    make(
        [
            make_result("rte", "mean", 0, 0.5, settings={"encoder.name": name, "optimizer.lr": lr}, encoder=name)
            for name, lr in (("bert", 2e-5), ("minilm", 1e-4))
        ]
    )
    assert load("trial").heads == ["mean · encoder.name=bert", "mean · encoder.name=minilm"]


def test_two_folders_with_the_same_encoder_are_one(make):
    make([make_result("rte", "mean", s, 0.5, settings={"encoder.name": f"/disk{s}/bert"}) for s in (0, 1)])
    assert load("trial").heads == ["mean"]


def test_a_setting_tuned_for_each_head_and_task_keeps_rows_whole_and_is_told(make):
    rates = {("a", "mean"): 1e-5, ("a", "cls"): 2e-5, ("b", "mean"): 2e-5, ("b", "cls"): 1e-5}
    make([make_result(t, h, 0, 0.5, settings={"optimizer.lr": lr}) for (t, h), lr in rates.items()])
    experiment = load("trial")
    assert experiment.heads == ["cls", "mean"]
    assert experiment.remarks == ["optimizer.lr differs between heads and tasks: 1e-05, 2e-05."]


def test_a_setting_of_the_task_is_written_behind_the_task(make):
    few = [
        make_result("rte", "mean", 0, 0.5, settings={"task.train_rows": rows, "task.max_length": rows})
        for rows in (100, 1000)
    ]
    make([*few, make_result("sst2", "mean", 0, 0.5)])
    experiment = load("trial")
    assert experiment.tasks == ["rte · task.max_length=100", "rte · task.max_length=1000", "sst2"]
    assert experiment.heads == ["mean"]


def test_a_score_that_is_no_number_is_a_failure(make):
    make([make_result("rte", "mean", 0, float("nan"))])
    assert load("trial").frame["failed"].tolist() == ["its score is nan"]


def _without_score() -> str:
    return json.dumps(asdict(make_result("rte", "mean", 1, 0.5)) | {"score": None})


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('{"key": "a', "Unterminated"),
        ("[]", "mapping"),
        ('{"key": "a"}', "missing"),
        ('{"colour": 1}', "colour"),
        (_without_score(), "neither a score nor"),
    ],
)
def test_a_broken_line_is_named(make, line, why):
    folder = make([make_result("rte", "mean", 0, 0.7)])
    with (folder / "results.jsonl").open("a") as file:
        file.write(f"\n{line}\n")
    with pytest.raises(UserError, match=rf"^experiments/trial/results\.jsonl:3: .*{why}.*remove the line"):
        load("trial")


def test_an_unknown_experiment_names_near_ones(make):
    make([make_result("rte", "mean", 0, 0.7)])
    with pytest.raises(UserError, match=r"unknown experiment 'trail'; did you mean trial\?"):
        load("trail")
    with pytest.raises(UserError, match=r"experiment: '\.\./trial' is no name"):
        load("../trial")


def test_an_experiment_without_results_says_what_makes_them(make):
    folder = make([])
    for _ in range(2):
        with pytest.raises(UserError, match=r"no results yet; `python sweep\.py experiment=trial`"):
            load("trial")
        (folder / "results.jsonl").unlink(missing_ok=True)
