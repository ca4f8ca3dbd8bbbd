"""A run held against its repetition: what counts as agreement, and what is told."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from head2head.data.task import CLASSIFICATION_METRICS, REGRESSION_METRICS, TOKEN_METRICS
from head2head.run.comparison import TOLERANCE, compare, shown
from head2head.run.result import Result

THEN = Result(
    key="a" * 64, overrides=[], config={"optimizer": {"lr": 0.001}}, task="rte", head="mean", seed=0,
    metric="accuracy", split="validation", score=0.7, metrics={"last": {"validation": {"accuracy": 0.7, "mcc": 0.4}}},
    threads=1, device="a processor", stream="cpu torch", git_commit="b" * 40, versions={"torch": "2.13.0"},
)  # fmt: skip


def now(accuracy=0.7, **changes) -> Result:
    return replace(THEN, metrics={"last": {"validation": {"accuracy": accuracy, "mcc": 0.4}}}, **changes)


def test_equal_numbers_agree_whatever_else_has_changed():
    found = compare(THEN, now(stream="cuda torch", threads=2))
    assert found.equal
    assert found.agrees
    assert [str(d) for d in found.differences] == ["stream: cpu torch -> cuda torch", "threads: 1 -> 2"]


def test_the_last_bit_counts_where_nothing_but_the_projects_own_code_has_changed():
    other = now(np.nextafter(0.7, 1), git_commit="c" * 40)
    assert compare(THEN, other).promised
    assert not compare(THEN, other).agrees
    assert compare(THEN, now(git_commit="c" * 40)).agrees


@pytest.mark.parametrize(
    "change",
    [
        {"key": "d" * 64},
        {"stream": "cpu compiled"},
        {"threads": 2},
        {"device": "another processor"},
        {"versions": {"torch": "2.14.0"}},
        {"data": {"train": "e" * 64}},
        {"config": {"optimizer": {"lr": 0.002}}},
    ],
)
def test_elsewhere_metrics_agree_within_their_tolerance(change):
    tolerance = TOLERANCE["accuracy"]
    near, far = (compare(THEN, now(0.7 + sign * tolerance, **change)) for sign in (-0.9, 1.1))
    assert not near.promised
    assert not near.equal
    assert near.agrees
    assert not far.agrees


def test_every_metric_has_a_tolerance():
    assert set(TOLERANCE) == {*CLASSIFICATION_METRICS, *REGRESSION_METRICS, *TOKEN_METRICS}


def test_a_metric_that_is_missing_now_is_no_agreement():
    other = replace(THEN, threads=2, metrics={"last": {"validation": {"accuracy": 0.7}}})
    assert not compare(THEN, other).agrees


def test_settings_are_compared_one_by_one_and_hashes_shown_by_their_beginning():
    found = compare(THEN, now(key="d" * 64, config={"optimizer": {"lr": 0.002, "new": 1}}))
    assert [str(d) for d in found.differences] == [
        "key: aaaaaaaa -> dddddddd",
        "optimizer.lr: 0.001 -> 0.002",
        "optimizer.new: none -> 1",
    ]
    assert shown("f" * 40 + "+") == "ffffffff"


def predictions(folder, labels, logits):
    folder.mkdir()
    column = pa.array(logits, type=pa.list_(pa.float32()))
    pq.write_table(pa.table({"prediction": labels, "logits": column}), folder / "predictions-validation.parquet")
    return str(folder)


def test_predictions_are_counted_and_their_logits_compared_to_the_bit(tmp_path):
    one = replace(THEN, folder=predictions(tmp_path / "a", ["x", "y", "O"], [[0.5, 1.0], [2.0, 1.0], None]))
    same = replace(THEN, folder=predictions(tmp_path / "b", ["x", "y", "O"], [[0.5, 1.0], [2.0, 1.0], None]))
    other = replace(THEN, folder=predictions(tmp_path / "c", ["x", "x", "O"], [[0.5, 1.0], [2.0, 1.25], None]))
    short = replace(THEN, folder=predictions(tmp_path / "d", ["x"], [[0.5, 1.0]]))
    assert compare(one, same).equal
    (found,) = compare(one, other).predictions
    assert (found.split, found.count, found.same, found.largest) == ("validation", 3, 2, 0.25)
    assert not compare(one, other).agrees
    assert compare(one, short).predictions[0].same == 0
    assert compare(one, replace(THEN, folder=str(tmp_path))).predictions == ()
