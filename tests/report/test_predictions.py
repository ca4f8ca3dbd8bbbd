"""The predictions behind reported scores: packed once, the same bytes each time, kept when run folders are gone."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from synthetic import cross_validated, make_result, write_experiment

from head2head.errors import UserError
from head2head.metrics import EntityScores
from head2head.report import predictions
from head2head.report.analysis import Options, analyse
from head2head.report.predictions import FILE, collect, entity_counts, read, write
from head2head.report.report import report
from head2head.report.runs import load

HEADS = {"pooler": {1e-3: 0.6}, "mean": {1e-3: 0.7}}


@pytest.fixture
def trial(tmp_path, monkeypatch):
    """An experiment of two heads, with its runs' folders."""
    monkeypatch.chdir(tmp_path)
    return write_experiment(tmp_path, cross_validated(tmp_path, HEADS, official=40))


def test_what_is_packed_is_what_the_runs_wrote(trial):
    results = load("trial").results
    write(collect(trial, results), trial / FILE)
    packed = read(trial / FILE)
    assert len(packed) == 2 * len(results) == 20
    for result in results:
        own = pd.read_parquet(Path(result.folder) / "predictions-fold.parquet")
        found = packed[result.key, "fold"]
        assert found["row"].tolist() == own["row"].tolist()
        assert found["cluster"].tolist() == own["cluster"].tolist()
        for packed_name, name in (("gold", "label"), ("prediction", "prediction")):
            assert np.array(["no", "yes"])[found[packed_name].astype(int)].tolist() == own[name].tolist()


def test_equal_predictions_give_equal_bytes_whatever_their_order(trial):
    results = load("trial").results
    write(collect(trial, results), trial / "one.parquet")
    write(collect(trial, results[::-1]), trial / "two.parquet")
    assert (trial / "one.parquet").read_bytes() == (trial / "two.parquet").read_bytes()


def test_packing_what_was_packed_changes_nothing_and_needs_no_run_folders(trial):
    report("trial", {})
    before = (trial / FILE).read_bytes()
    table = (trial / "table.md").read_text()
    shutil.rmtree(trial.parents[1] / "runs")
    report("trial", {})
    assert (trial / FILE).read_bytes() == before
    assert (trial / "table.md").read_text() == table
    assert "No interval" not in table


@pytest.mark.usefixtures("trial")
def test_a_run_whose_predictions_are_missing_is_said():
    shutil.rmtree(Path(load("trial").results[0].folder))
    analysis = analyse(load("trial"), Options())
    (text,) = [caution for caution in analysis.cautions if "No interval" in caution]
    assert "pooler on rte" in text
    assert "a run's folder is not here" in text
    cells = analysis.cells.set_index("head")
    assert np.isnan(cells.loc["pooler", "ci_low"])
    assert not np.isnan(cells.loc["mean", "ci_low"])


@pytest.mark.usefixtures("trial")
def test_predictions_that_do_not_give_the_recorded_score_carry_nothing():
    folder = Path(load("trial").results[0].folder)
    table = pd.read_parquet(folder / "predictions-fold.parquet")
    table["prediction"] = table["label"]
    table.to_parquet(folder / "predictions-fold.parquet")
    assert any("do not give the recorded score" in caution for caution in analyse(load("trial"), Options()).cautions)


@pytest.mark.usefixtures("trial")
def test_predictions_without_clusters_are_said_to_be_older():
    folder = Path(load("trial").results[0].folder)
    pd.read_parquet(folder / "predictions-fold.parquet").drop(columns="cluster").to_parquet(
        folder / "predictions-fold.parquet"
    )
    assert any("before clusters were" in caution for caution in analyse(load("trial"), Options()).cautions)


def test_what_is_left_out_is_not_packed(trial):
    (trial / "report.yaml").write_text("leave_out: [validation]\n")
    report("trial", {})
    assert {split for _, split in read(trial / FILE)} == {"fold"}


def test_a_file_too_large_to_commit_is_refused_with_what_to_leave_out(trial, monkeypatch):
    monkeypatch.setattr(predictions, "LARGEST", 1000)
    with pytest.raises(UserError, match=r"leave_out: \[\.\.\.\] \(rows by split: fold 400, validation 400\)"):
        report("trial", {})
    assert not (trial / "table.md").exists()


def test_a_damaged_file_is_one_line(trial):
    (trial / FILE).write_bytes(b"PAR1 nonsense")
    with pytest.raises(UserError, match="not a file of packed predictions"):
        analyse(load("trial"), Options())


def test_no_texts_are_packed_and_little_is(trial):
    report("trial", {})
    assert (trial / FILE).stat().st_size < 8 * 800
    table = pd.read_parquet(trial / FILE)
    assert [name for name in table if table[name].dtype == object] == []


LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]


def some_words(sentences: int = 60) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(1)
    lengths = rng.integers(1, 9, sentences)
    rows = np.repeat(np.arange(sentences), lengths)
    names = np.array(LABELS, dtype=object)
    gold = rng.choice(5, len(rows), p=[0.5, 0.2, 0.1, 0.1, 0.1])
    found = np.where(rng.random(len(rows)) < 0.7, gold, rng.integers(0, 5, len(rows)))
    table = {"row": rows, "cluster": rows // 10, "label": names[gold], "prediction": names[found]}
    return pd.DataFrame(table), lengths


def test_counts_of_entities_are_those_of_the_metric_by_type():
    words, lengths = some_words()
    found = entity_counts(words, LABELS)
    number = {name: i for i, name in enumerate(LABELS)}
    metric = EntityScores(LABELS)
    tags = (torch.tensor(words[name].map(number).to_numpy()) for name in ("prediction", "label"))
    metric.update(*tags, torch.tensor(lengths))
    by_type = found.groupby("type")[["tp", "fp", "fn"]].sum()
    for i, name in enumerate(metric.types):
        tp, fp, fn = by_type.loc[name]
        assert (tp, tp + fp, tp + fn) == (metric.correct[i], metric.predicted[i], metric.gold[i])
    assert found["row"].nunique() == len(lengths)  # sentences without entities too
    assert found[found["type"].isna()][["tp", "fp", "fn"]].to_numpy().sum() == 0


def test_entity_f1_of_packed_counts_is_the_runs_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words, lengths = some_words()
    number = {name: i for i, name in enumerate(LABELS)}
    metric = EntityScores(LABELS)
    metric.update(*(torch.tensor(words[n].map(number).to_numpy()) for n in ("prediction", "label")),
                  torch.tensor(lengths))  # fmt: skip
    score = float(metric.compute()["entity_f1"])
    results = []
    for seed in (0, 1):
        folder = tmp_path / f"run{seed}"
        folder.mkdir()
        words.to_parquet(folder / "predictions-validation.parquet")
        results.append(
            make_result(
                "conll", "ner", seed, score, metric="entity_f1", settings={"task.labels": LABELS}, folder=str(folder)
            )
        )
    write_experiment(tmp_path, results)
    report("trial", {})
    analysis = analyse(load("trial"), Options())
    (cell,) = analysis.cells.itertuples()
    assert (cell.examples, cell.clusters, cell.without) == (60, 6, "")
    assert cell.ci_low < score < cell.ci_high
