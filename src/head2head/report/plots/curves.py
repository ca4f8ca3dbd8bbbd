"""Learning curves: validation score by epoch."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from head2head.report.analysis import Analysis
from head2head.report.plots import drawing
from head2head.report.plots.drawing import Plot

FEW_BANDS = 6  # heads whose bands can be told apart in one panel


def plots(analysis: Analysis) -> list[Plot]:
    """None where no run was validated more than once."""
    table = curves(analysis)
    counts = table.groupby(["task", "head", "seed"]).size()
    if table.empty or counts.max() < 2:
        return []
    tasks = [task for task in analysis.tasks if counts.get(task, counts.iloc[:0]).max() > 1]
    table = table[table["task"].isin(tasks)]
    x = "epoch" if not table.duplicated(["task", "head", "seed", "epoch"]).any() else "step"
    bands = table.groupby("task")["head"].nunique().max() <= FEW_BANDS
    figure, axes = drawing.grid(len(tasks))
    for axis, task in zip(axes, tasks, strict=True):
        _panel(axis, table[table["task"] == task], analysis, x, bands)
        axis.set_title(drawing.wrapped(task, 34))
        axis.set_xlabel(x)
        axis.set_ylabel(f"{analysis.metric_of(task)} (%)")
    entries = drawing.head_entries(analysis.heads, table["head"], markersize=4, linewidth=1.6)
    drawing.arrange(figure, axes, 1.9, entries)
    return [
        Plot(
            name="learning_curves",
            title="Learning curves",
            caption=f"Score at each validation ({x}), mean over runs"
            + (
                ", band: one standard deviation."
                if bands
                else "; bands are left out where they would cover each other."
            )
            + " A curve still rising at the end asks for longer training.",
            alt=f"Mean validation score by {x} of {drawing.several(table['head'].nunique(), 'head')} on "
            f"{drawing.several(len(tasks), 'task')}. {_alt(table, tasks)}",
            figure=figure,
        )
    ]


def curves(analysis: Analysis) -> pd.DataFrame:
    """One row a validation of a run: task, head, seed, epoch, step, score."""
    rows = [
        (task, head, result.seed, point["epoch"], point["step"], point["metrics"][result.split][result.metric])
        for result, task, head in analysis.experiment.scored()
        for point in result.curve
        if result.metric in point["metrics"].get(result.split, {})
    ]
    return pd.DataFrame(rows, columns=["task", "head", "seed", "epoch", "step", "score"])


def _panel(axis: Axes, table: pd.DataFrame, analysis: Analysis, x: str, bands: bool) -> None:
    looks, present = drawing.looks(analysis.heads), set(table["head"])
    many = len(analysis.heads) > drawing.MANY_LABELS
    summary = table.groupby(["head", x])["score"].agg(["mean", "std"])
    for head in (head for head in analysis.heads if head in present):
        points, look = summary.loc[head], looks[head]
        axis.plot(
            points.index, points["mean"], color=look.color, linestyle=look.line, marker=None if many else look.marker,
            markersize=3.5, linewidth=0.9 if many else 1.6, zorder=3, label=head,
        )  # fmt: skip
        if bands and points["std"].notna().any():
            low, high = points["mean"] - points["std"], (points["mean"] + points["std"]).clip(upper=1)
            axis.fill_between(points.index, low, high, color=look.color, alpha=0.13, linewidth=0, zorder=2)
    at = np.unique(table[x])
    if len(at) <= 8:
        axis.set_xticks(at)
    drawing.percent(axis.yaxis)


def _alt(table: pd.DataFrame, tasks: list[str]) -> str:
    last = table[table["step"] == table.groupby(["task", "head", "seed"])["step"].transform("max")]
    best = last.groupby(["task", "head"])["score"].mean()
    return " ".join(f"{task}: {best[task].idxmax()} ends highest." for task in tasks)
