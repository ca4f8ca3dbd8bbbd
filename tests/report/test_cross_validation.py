"""An experiment with folds: rows are heads, settings are chosen by the other folds, official scores stand beside."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from synthetic import FOLDS, cross_validated, make_result, write_experiment

from head2head.report import tables
from head2head.report.analysis import Options, analyse
from head2head.report.headline import headline
from head2head.report.runs import load

RATES = (1e-4, 3e-4, 1e-3)
HEADS = {
    "pooler": dict.fromkeys(RATES, 0.6),
    "mean": dict(zip(RATES, (0.6, 0.85, 0.7), strict=True)),
    "max": dict(zip(RATES, (0.5, 0.6, 0.8), strict=True)),
}


@pytest.fixture
def analysis(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_experiment(tmp_path, cross_validated(tmp_path, HEADS, rows=400, repeats=2, official=100))
    return analyse(load("trial"), Options())


def test_tuned_settings_make_no_rows_of_their_own(analysis):
    assert analysis.heads == ["pooler", "mean", "max"]
    assert len(analysis.experiment.frame) == 3 * 3 * 10
    assert analysis.cells["n"].tolist() == [10, 10, 10]


def test_the_score_is_the_mean_over_folds_of_what_the_other_folds_choose(analysis):
    frame = analysis.experiment.frame
    expected = []
    for repeat in range(2):
        part = frame[(frame["head"] == "mean") & (frame["repeat"] == repeat)]
        grid = part.pivot(index="setting", columns="fold", values="score")
        for fold in range(FOLDS):
            chosen = grid.drop(columns=fold).mean(axis=1).to_numpy().argmax()
            expected.append(grid[fold].to_numpy()[chosen])
    cell = analysis.cells.set_index("head").loc["mean"]
    assert cell["mean"] == pytest.approx(np.mean(expected))
    assert cell["examples"] == 400
    assert cell["clusters"] == 200


def test_official_scores_are_of_the_chosen_runs(analysis):
    keys = set(analysis.experiment.reported.query("head == 'mean'")["key"])
    scores = [r.metrics["last"]["validation"]["accuracy"] for r in analysis.experiment.results if r.key in keys]
    row = analysis.official.set_index("head").loc["mean"]
    assert (row["n"], row["mean"]) == (10, pytest.approx(np.mean(scores)))
    assert row["examples"] == 100
    assert any("do not stand beside published scores" in caution for caution in analysis.cautions)


def test_the_chosen_setting_of_each_fold_is_listed_with_where_the_grid_should_grow(analysis):
    rows = {str(row[1]): [str(cell) for cell in row[2:]] for row in tables.chosen(analysis).rows}
    assert rows["mean"] == ["0.0003 0.0003 0.0003 0.0003 0.0003 | 0.0003 0.0003 0.0003 0.0003 0.0003", "\N{EN DASH}"]
    assert rows["max"][1] == "optimizer.lr higher: 0.00333"
    assert "(edge)" in str(tables.scores(analysis).rows[2][1])
    assert any("max: the largest optimizer.lr (0.001) is" in caution for caution in analysis.cautions)


def test_a_difference_of_folds_is_paired_by_row_and_its_dagger_is_holms(analysis):
    row = analysis.comparisons.query("reference == 'pooler' and head == 'mean'").iloc[0]
    assert row["significant"]
    assert row["p_holm"] >= row["p"]
    assert row["ci_low"] < row["difference"] < row["ci_high"]
    cells = analysis.cells.set_index("head")["mean"]
    assert row["difference"] == pytest.approx(cells["mean"] - cells["pooler"])
    assert str(tables.scores(analysis).rows[1][1]).startswith(f"{100 * cells['mean']:.1f} [")


def test_nadeau_bengio_and_the_interval_over_runs_are_in_the_detailed_table(analysis):
    frame = analysis.experiment.reported.pivot(index="run", columns="head", values="score")
    differences = frame["mean"] - frame["pooler"]
    row = analysis.comparisons.query("reference == 'pooler' and head == 'mean'").iloc[0]
    t = differences.mean() / np.sqrt((1 / 10 + 1 / 4) * differences.var(ddof=1))
    assert row["corrected_t"] == pytest.approx(t)
    alone = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert (row["runs_low"], row["runs_high"]) == pytest.approx(tuple(alone))
    assert "Nadeau-Bengio t" in tables.detail(analysis).columns


def test_the_headline_names_the_winner_and_what_it_is_above(analysis):
    (text,) = headline(analysis)
    cell = analysis.cells.set_index("head").loc["mean"]
    interval = f"[{100 * cell['ci_low']:.1f}, {100 * cell['ci_high']:.1f}]"
    assert text.startswith(f"mean, {100 * cell['mean']:.1f} {interval}: ")
    assert " above pooler" in text


def test_heads_that_answer_alike_are_equal_within_a_point(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = cross_validated(tmp_path, {"mean": {1e-3: 0.8}, "pooler": {1e-3: 0.4}}, rows=400)
    write_experiment(tmp_path, results + [copied(result, "max") for result in results if result.head == "mean"])
    (text,) = headline(analyse(load("trial"), Options()))
    assert text.endswith("equal to max within a point.")


def copied(result, head):
    """The same answers under another head's name."""
    import copy

    twin = copy.deepcopy(result)
    twin.head, twin.key = head, f"{head}{result.key}"
    return twin


def test_what_is_not_decided_says_what_would(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_experiment(tmp_path, cross_validated(tmp_path, {"mean": {1e-3: 0.70}, "max": {1e-3: 0.71}}, rows=300))
    (text,) = headline(analyse(load("trial"), Options()))
    assert "is not shown to be best" in text
    assert "Not decided against" in text
    assert "more rows" in text or "runs instead of" in text


def test_below_five_runs_there_is_an_interval_and_no_dagger(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = [r for r in cross_validated(tmp_path, HEADS, rows=400) if r.seed < 4]
    write_experiment(tmp_path, results)
    analysis = analyse(load("trial"), Options())
    assert analysis.comparisons["p"].isna().all()
    assert analysis.comparisons["ci_low"].notna().all()
    assert any("no dagger where heads have fewer than 5 runs" in caution for caution in analysis.cautions)


def test_a_grid_that_is_not_done_is_marked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = cross_validated(tmp_path, HEADS, rows=400)
    undone = [r for r in results if (r.head, r.seed) != ("max", 4) or r.config["optimizer"]["lr"] == 1e-4]
    write_experiment(tmp_path, undone)
    found = {str(row[0]): str(row[1]) for row in tables.scores(analyse(load("trial"), Options())).rows}
    assert found["max"].endswith("(incomplete)")
    assert "incomplete" not in found["mean"]


def test_a_failed_run_of_the_chosen_setting_is_counted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = cross_validated(tmp_path, HEADS, rows=400)
    for result in results:
        if (result.head, result.seed, result.config["optimizer"]["lr"]) == ("mean", 2, 3e-4):
            result.failed, result.score, result.metrics = "out of memory", None, {}
    write_experiment(tmp_path, results)
    found = {str(row[0]): str(row[1]) for row in tables.scores(analyse(load("trial"), Options())).rows}
    assert "(n=4)" in found["mean"]
    assert "(1 failed)" in found["mean"]
    assert " [" in found["mean"]
    assert " [" in found["pooler"]


def test_runs_that_have_not_converged_carry_the_flag_beside_any_mark(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = cross_validated(tmp_path, HEADS, rows=400, repeats=2)
    write_experiment(tmp_path, results)
    experiment = load("trial")
    for result in experiment.results:
        result.converged = False if result.head == "mean" else None
    cell = tables.scores(analyse(experiment, Options())).rows[1][1]
    assert cell.bold
    assert "†" in cell.rest
    assert "(10 not converged)" in cell.rest


@pytest.mark.parametrize(("share", "flagged"), [(0.95, True), (0.7, False)])
def test_a_head_that_gains_by_twice_the_epochs_is_flagged_and_the_check_scores_nothing(
    tmp_path, monkeypatch, share, flagged
):
    monkeypatch.chdir(tmp_path)
    results = cross_validated(tmp_path, {"pooler": {1e-3: 0.5}, "mean": {1e-3: 0.7}}, rows=400)
    twice = cross_validated(tmp_path / "twice", {"mean": {1e-3: share}}, rows=400)[0]
    twice.config["trainer"]["max_epochs"], twice.key = 6, "twice"
    write_experiment(tmp_path, [*results, twice])
    analysis = analyse(load("trial"), Options())
    cells = analysis.cells.set_index("head")
    assert cells["n"].tolist() == [5, 5]
    assert cells["gains"].tolist() == [False, flagged]
    scores = [result.score for result in results if result.head == "mean"]
    assert cells.loc["mean", "mean"] == pytest.approx(np.mean(scores))
    assert not cells["incomplete"].any()
    assert ("(not converged)" in str(tables.scores(analysis).rows[1][1])) == flagged
    gain, error = analysis.checked["rte", "mean"]
    assert gain == pytest.approx(twice.score - scores[0])
    assert error > 0
    assert any("twice the epochs gain" in caution for caution in analysis.cautions) == flagged


def test_texts_encoded_apart_are_another_task_and_a_solved_classifier_another_row(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    heads = {"mean": {1e-3: 0.7}}
    results = cross_validated(tmp_path / "a", heads)
    apart = cross_validated(tmp_path / "b", heads)
    exact = cross_validated(tmp_path / "c", heads)
    for result in apart:
        result.config["task"]["pairs"], result.key = "apart", f"apart{result.key}"
    for result in exact:
        result.config["optimizer"], result.key = {"strengths": [0.1, 1.0], "folds": 5}, f"exact{result.key}"
        result.config["encoder"]["dropout"] = 0.0  # of no use where nothing is trained by gradients
    write_experiment(tmp_path, results + apart + exact)
    experiment = load("trial")
    assert experiment.tasks == ["rte", "rte · apart"]
    assert experiment.heads == ["mean", "mean · exact"]
    assert "encoder.dropout is 0 where heads are solved, null where heads are trained." in experiment.remarks
    assert analyse(experiment, Options()).references["rte"] == "mean"


@pytest.mark.parametrize("other", [False, True])
def test_each_fold_has_data_of_its_own_and_heads_must_share_them(make, other):
    make([make_result("rte", head, s, 0.7, split="fold", fold=s, data={"fold": f"{s}{head * other}"})
          for head in ("mean", "max") for s in range(5)])  # fmt: skip
    cautions = analyse(load("trial"), Options()).cautions
    assert any("2 different versions of the data" in caution for caution in cautions) == other


def test_folds_and_seeds_of_a_task_are_two_columns(make):
    make([make_result("rte", "mean", s, 0.7, split="fold", fold=s) for s in range(5)]
         + [make_result("rte", "mean", s, 0.6) for s in range(5)])  # fmt: skip
    assert load("trial").tasks == ["rte · split=fold", "rte · split=validation"]


def test_seeds_on_one_validation_set_have_intervals_over_examples_too(tmp_path, monkeypatch):
    """The same variance components, with every example in every run."""
    monkeypatch.chdir(tmp_path)
    results = cross_validated(tmp_path, {"pooler": {1e-3: 0.5}, "mean": {1e-3: 0.8}}, official=300)
    for result in results:
        del result.config["fold"], result.config["folds"], result.config["repeat"]
        result.split, result.score = "validation", result.metrics["last"]["validation"]["accuracy"]
        del result.metrics["last"]["fold"]
    write_experiment(tmp_path, results)
    analysis = analyse(load("trial"), Options())
    assert analysis.cells["examples"].tolist() == [300, 300]
    assert analysis.official.empty
    assert analysis.comparisons["significant"].tolist() == [True]
    assert "over runs" in tables.scores(analysis).caption
