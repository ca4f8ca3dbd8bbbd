"""What the figures of a report show."""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.markers import MarkerStyle
from synthetic import cross_validated, make_result, write_experiment

from head2head.report import plots
from head2head.report.analysis import Analysis, Options, analyse
from head2head.report.plots import (
    cost,
    curves,
    differences,
    drawing,
    layer_weights,
    seeds,
    settings,
)
from head2head.report.runs import load

SCORES = {"pooler": (0.70, 0.72, 0.74), "mean": (0.78, 0.77, 0.82), "max": (0.60, 0.65, 0.61)}


def analysed(make, results, **options) -> Analysis:
    make(results)
    return analyse(load("trial"), Options(**options))


def runs(tasks=("rte",), scores=SCORES, **fields):
    return [
        make_result(t, head, s, x, **fields) for t in tasks for head, xs in scores.items() for s, x in enumerate(xs)
    ]


def scatter(axis, label):
    return next(scatters(axis, label))


def scatters(axis, label):
    """All of a label: heads with markers of their own are a collection each."""
    return (c for c in axis.collections if c.get_label() == label)


def offsets_of(axis, label):
    return [tuple(point) for found in scatters(axis, label) for point in found.get_offsets()]


def texts(axis):
    return [text.get_text() for text in axis.texts]


def test_each_run_is_a_point_at_its_score_in_the_row_of_its_head(make):
    axis = seeds.plots(analysed(make, runs()))[0].figure.axes[0]
    points = scatter(axis, "run").get_offsets()
    labels = [label.get_text() for label in axis.get_yticklabels()]
    shown = {head: sorted(x for x, y in points if round(y) == row) for row, head in enumerate(labels)}
    assert shown == {head: sorted(scores) for head, scores in SCORES.items()}


def test_a_seed_stands_at_the_same_height_in_every_row(make):
    axis = seeds.plots(analysed(make, runs()))[0].figure.axes[0]
    y = scatter(axis, "run").get_offsets()[:, 1].reshape(3, 3)
    assert np.allclose(y - np.arange(3)[:, None], y[0])
    assert len(set(np.round(y[0], 6))) == 3


def test_the_mean_is_marked(make):
    axis = seeds.plots(analysed(make, runs()))[0].figure.axes[0]
    assert [tuple(p) for p in scatter(axis, "mean").get_offsets()] == [
        (pytest.approx(0.72), 0),
        (pytest.approx(0.79), 1),
        (pytest.approx(0.62), 2),
    ]


def test_intervals_are_bars_where_predictions_are_there(tmp_path, monkeypatch):
    analysis = with_predictions(tmp_path, monkeypatch)
    axis = seeds.plots(analysis)[0].figure.axes[0]
    bars = next(c for c in axis.collections if isinstance(c, LineCollection)).get_segments()
    assert [bar[:, 0].tolist() for bar in bars] == analysis.cells[["ci_low", "ci_high"]].to_numpy().tolist()


def test_a_collapsed_run_is_a_cross(make):
    results = [*runs(), make_result("rte", "mean", 3, 0.5, collapsed=True)]
    axis = seeds.plots(analysed(make, results))[0].figure.axes[0]
    collapsed = scatter(axis, "collapsed")
    assert collapsed.get_offsets()[:, 0].tolist() == [0.5]
    cross = MarkerStyle("x")
    assert np.array_equal(
        collapsed.get_paths()[0].vertices, cross.get_path().transformed(cross.get_transform()).vertices
    )
    assert 0.5 not in scatter(axis, "run").get_offsets()[:, 0]


def test_failed_and_missing_runs_are_named_in_their_row(make):
    results = [*runs(), make_result("rte", "mean", 3, None), *runs(["cola"], {"pooler": (0.7, 0.8)})]
    figure = seeds.plots(analysed(make, results))[0].figure
    notes = [[(text.get_text(), text.get_position()[1]) for text in axis.texts] for axis in figure.axes]
    assert notes == [[("no run", 1), ("no run", 2)], [("1 failed", 1)]]  # cola, rte; pooler, mean, max


def test_the_majority_baseline_is_a_line(make):
    axis = seeds.plots(analysed(make, runs(baseline=0.55)))[0].figure.axes[0]
    assert [line.get_xdata()[0] for line in axis.lines] == [0.55]


def test_a_baseline_far_off_is_a_number_instead(make):
    axis = seeds.plots(analysed(make, runs(baseline=0.0)))[0].figure.axes[0]
    assert not axis.lines
    assert axis.get_xlabel() == "accuracy (%); majority baseline: 0.0"
    assert "majority baseline" not in [text.get_text() for text in axis.figure.legends[0].get_texts()]


def test_axes_are_in_per_cent(make):
    axis = seeds.plots(analysed(make, runs()))[0].figure.axes[0]
    assert axis.xaxis.get_major_formatter()(0.725) == "72.5"
    assert axis.xaxis.get_major_formatter()(-0.05) == "\N{MINUS SIGN}5"


def with_predictions(tmp_path, monkeypatch) -> Analysis:
    """Three heads by cross-validation, of which mean is far above pooler and max is not."""
    monkeypatch.chdir(tmp_path)
    rates = {"pooler": {1e-4: 0.60, 1e-3: 0.55}, "mean": {1e-4: 0.7, 1e-3: 0.9}, "max": {1e-4: 0.61, 1e-3: 0.5}}
    write_experiment(tmp_path, cross_validated(tmp_path, rates, rows=400))
    return analyse(load("trial"), Options())


def test_the_forest_plot_has_each_difference_with_its_interval(tmp_path, monkeypatch):
    analysis = with_predictions(tmp_path, monkeypatch)
    plot = differences.plots(analysis)[0]
    (axis,) = plot.figure.axes
    rows = analysis.comparisons[analysis.comparisons["to_reference"]]
    bars = next(c for c in axis.collections if isinstance(c, LineCollection)).get_segments()
    assert [bar[:, 0].tolist() for bar in bars] == rows[["ci_low", "ci_high"]].to_numpy().tolist()
    assert axis.collections[-1].get_offsets()[:, 0].tolist() == rows["difference"].tolist()
    assert [label.get_text() for label in axis.get_yticklabels()] == ["mean", "max"]
    assert texts(axis) == [" †"]
    assert "difference to pooler" in axis.get_xlabel()


def test_a_difference_without_an_interval_is_hollow_and_has_no_dagger(make):
    results = runs(["cola"]) + runs(["rte"], {"pooler": (0.5, 0.6), "mean": (0.5, 0.5)})
    plot = differences.plots(analysed(make, results))[0]
    axis = plot.figure.axes[0]
    points = axis.collections[-1]
    assert points.get_offsets()[:, 0].tolist() == pytest.approx([0.07, -0.10])
    assert {to_hex(color) for color in points.get_facecolors()} == {"#ffffff"}
    assert texts(axis) == []
    assert "cola, against pooler: mean +7.00, max \N{MINUS SIGN}10.00." in plot.alt


def test_each_heads_curve_over_a_tuned_setting(tmp_path, monkeypatch):
    analysis = with_predictions(tmp_path, monkeypatch)
    (plot,) = settings.plots(analysis)
    assert plot.name == "setting_optimizer_lr"
    frame = analysis.experiment.frame[analysis.experiment.frame["head"] == "mean"]
    rates = frame["setting"].map(lambda setting: dict(setting)["optimizer.lr"])
    expected = [frame.loc[rates == rate, "score"] for rate in (1e-4, 1e-3)]
    line = next(c for c in plot.figure.axes[0].containers if c.get_label() == "mean")[0]
    assert line.get_xdata().tolist() == [1e-4, 1e-3]
    assert line.get_ydata() == pytest.approx([scores.mean() for scores in expected])
    assert "rte, mean: best at 0.001." in plot.alt


def test_the_learning_curve_is_the_mean_over_seeds_with_a_standard_deviation(make):
    axis = curves.plots(analysed(make, runs()))[0].figure.axes[0]
    line = next(line for line in axis.lines if line.get_label() == "pooler")
    assert line.get_xdata().tolist() == [1, 2, 3]
    assert line.get_ydata() == pytest.approx([0.70, 0.71, 0.72])  # the curve rises by 0.01 to the score
    band = axis.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (pytest.approx(0.70 - 0.02), pytest.approx(0.72 + 0.02))


def test_bands_end_at_the_highest_score_there_is(make):
    axis = curves.plots(analysed(make, runs(scores={"mean": (0.9, 1.0)})))[0].figure.axes[0]
    assert axis.collections[0].get_paths()[0].vertices[:, 1].max() == 1


def test_validations_within_an_epoch_are_shown_by_step(make):
    curve = [{"epoch": 1, "step": s, "metrics": {"validation": {"accuracy": 0.5 + s / 100}}} for s in (5, 10)]
    axis = curves.plots(analysed(make, runs(curve=curve)))[0].figure.axes[0]
    assert axis.get_xlabel() == "step"
    assert axis.lines[0].get_xdata().tolist() == [5, 10]


def test_one_validation_is_no_curve(make):
    curve = [{"epoch": 1, "step": 5, "metrics": {"validation": {"accuracy": 0.5}}}]
    assert curves.plots(analysed(make, runs(curve=curve))) == []


def test_layer_weights_are_shares_of_their_sum_a_line_a_seed(make):
    recorded = [[0.2, 0.6, 1.2], [0.5, 0.5, 0.5]]
    results = [
        make_result("rte", "weighted_sum-mean", s, 0.7, layer_weights={"layers": [4, 5, 6], "weights": weights})
        for s, weights in enumerate(recorded)
    ]
    axis = layer_weights.plots(analysed(make, results))[0].figure.axes[0]
    lines = next(c for c in axis.collections if isinstance(c, LineCollection)).get_segments()
    assert lines[0][:, 0].tolist() == [4, 5, 6]
    assert lines[0][:, 1] == pytest.approx([0.1, 0.3, 0.6])
    assert lines[1][:, 1] == pytest.approx([1 / 3] * 3)
    mean = next(line for line in axis.lines if line.get_label() == "weighted_sum-mean")
    assert mean.get_ydata() == pytest.approx([(0.1 + 1 / 3) / 2, (0.3 + 1 / 3) / 2, (0.6 + 1 / 3) / 2])


def test_without_learned_layer_weights_there_is_no_figure_of_them(make):
    assert layer_weights.plots(analysed(make, runs())) == []


def test_cost_shows_mean_seconds_and_mean_score(make):
    axis = cost.plots(analysed(make, runs()))[0].figure.axes[0]  # seconds 10, 11, 12
    assert offsets_of(axis, "mean") == [(11, pytest.approx(mean)) for mean in (0.72, 0.79, 0.62)]
    across, up = (c.get_segments()[1] for c in axis.collections if isinstance(c, LineCollection))
    assert across.tolist() == [[10, pytest.approx(0.79)], [12, pytest.approx(0.79)]]
    assert np.ptp(up[:, 1]) == pytest.approx(2 * np.std(SCORES["mean"], ddof=1))
    assert sorted(offsets_of(axis, "run")) == sorted(
        (10 + seed, score) for scores in SCORES.values() for seed, score in enumerate(scores)
    )


def test_on_a_log_axis_the_bar_of_seconds_ends_at_the_fastest_run(make):
    results = [make_result("rte", "mean", s, 0.7, seconds={"train": t}) for s, t in enumerate((1, 2, 60))]
    axis = cost.plots(analysed(make, results))[0].figure.axes[0]
    assert axis.get_xscale() == "log"
    across = next(c for c in axis.collections if isinstance(c, LineCollection)).get_segments()[0]
    assert across[:, 0].tolist() == [1, pytest.approx(21 + np.std([1, 2, 60], ddof=1))]


def test_a_setting_over_a_decade_is_shown_on_a_log_axis(make):
    rates = (1e-5, 3e-5, 1e-4)
    results = [make_result("rte", "mean", 0, 0.7 + i / 100, settings={"optimizer.lr": r}) for i, r in enumerate(rates)]
    (plot,) = settings.plots(analysed(make, results))
    (axis,) = plot.figure.axes
    assert axis.get_xscale() == "log"
    points = next(c for c in axis.collections if c.get_label() == "mean").get_offsets()
    assert sorted(map(tuple, points)) == [(1e-5, 0.7), (3e-5, 0.71), (1e-4, 0.72)]
    assert axis.xaxis.get_major_formatter()(1e-5) == "1e-05"


def test_a_setting_of_less_than_a_decade_is_shown_on_a_plain_axis(make):
    results = [make_result("rte", "mean", 0, 0.7, settings={"batch_size": b}) for b in (16, 32, 64)]
    (plot,) = settings.plots(analysed(make, results))
    assert plot.figure.axes[0].get_xscale() == "linear"


def test_a_setting_that_only_tells_tasks_or_heads_apart_has_no_figure(make):
    results = [
        make_result("rte", head, s, 0.7, settings={"optimizer.lr": rate})
        for head, rate in (("pooler", 1e-5), ("mean", 2e-5), ("max", 3e-5))
        for s in range(3)
    ]
    assert settings.plots(analysed(make, results)) == []


def test_a_head_has_one_colour_in_every_figure(make):
    analysis = analysed(make, runs(["cola", "rte"]))
    color = drawing.looks(analysis.heads)["mean"].color
    curve = next(line for line in curves.plots(analysis)[0].figure.axes[0].lines if line.get_label() == "mean")
    means = list(scatters(cost.plots(analysis)[0].figure.axes[0], "mean"))
    mean = means[analysis.heads.index("mean")].get_facecolors()[0]
    axis = seeds.plots(analysis)[0].figure.axes[0]
    row = [label.get_text() for label in axis.get_yticklabels()].index("mean")
    offsets, colors = scatter(axis, "run").get_offsets(), scatter(axis, "run").get_facecolors()
    in_row = {to_hex(c) for (_, y), c in zip(offsets, colors, strict=True) if round(y) == row}
    assert {to_hex(curve.get_color()), to_hex(mean), *in_row} == {color.lower()}


def test_ten_heads_have_ten_colours_and_ten_markers():
    looks = drawing.looks([f"head{i}" for i in range(10)]).values()
    assert len({look.color for look in looks}) == len({look.marker for look in looks}) == 10


def test_twelve_heads_are_told_apart():
    looks = drawing.looks([f"head{i}" for i in range(12)]).values()
    assert len({(look.color, look.marker) for look in looks}) == 12
    assert len({(look.color, str(look.line)) for look in looks}) == 12


def test_sentence_and_token_heads_have_figures_of_their_own(make):
    results = runs(["rte"]) + runs(["conll2003"], {"ner": (0.9, 0.91), "concat_last4-ner": (0.8, 0.82)})
    names = [plot.name for plot in plots.draw(analysed(make, results))]
    assert names[:4] == ["seeds_sentence", "seeds_token", "differences_sentence", "differences_token"]


def test_an_experiment_of_failed_runs_alone_can_be_drawn(make):
    names = [
        plot.name for plot in plots.draw(analysed(make, [make_result("rte", h, 0, None) for h in ("cls", "mean")]))
    ]
    assert names == ["seeds"]


def test_labels_are_no_formulas(make):
    analysis = analysed(make, runs(scores={"pooler": (0.5,), "a$b_1$<i>": (0.6,)}))
    svg = plots.draw(analysis)[0].svg()
    assert "a$b_1$&lt;i&gt;" in svg


SCRIPT = """
import hashlib, sys
from head2head.report import plots
from head2head.report.analysis import Options, analyse
from head2head.report.runs import load
for plot in plots.draw(analyse(load("trial"), Options())):
    print(plot.name, hashlib.sha256(plot.svg().encode()).hexdigest(), hashlib.sha256(plot.png()).hexdigest())
"""


def test_the_same_results_give_the_same_bytes_in_every_process(make):
    weights = {"layers": [5, 6], "weights": [0.4, 0.6]}
    analysis = analysed(make, runs(["cola", "mrpc", "rte"], layer_weights=weights))
    here = [
        f"{plot.name} {hashlib.sha256(plot.svg().encode()).hexdigest()} {hashlib.sha256(plot.png()).hexdigest()}"
        for plot in plots.draw(analysis)
    ]
    there = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=os.environ | {"PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert there.stdout.splitlines() == here
    assert len(here) == 5


def test_an_inline_figure_shares_no_id_with_another(make):
    first, second = plots.draw(analysed(make, runs()))[:2]
    ids = [set(re.findall(r' id="([^"]+)"', plots.drawing.inline(plot.svg(), plot.name))) for plot in (first, second)]
    assert ids[0]
    assert not ids[0] & ids[1]


def test_every_reference_within_an_inline_figure_has_its_target(make):
    for plot in plots.draw(analysed(make, runs())):
        svg = plots.drawing.inline(plot.svg(), plot.name)
        assert set(re.findall(r'(?:href="|url\()#([^")]+)', svg)) <= set(re.findall(r' id="([^"]+)"', svg))


def test_drawing_leaves_the_users_matplotlib_alone(make):
    import matplotlib

    before = dict(matplotlib.rcParams)
    for plot in plots.draw(analysed(make, runs())):
        plot.svg()
    assert dict(matplotlib.rcParams) == before
    assert not Path("plots").exists()
