"""What a score costs: training time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from head2head.report.analysis import Analysis
from head2head.report.plots import drawing
from head2head.report.plots.drawing import Plot

MANY_POINTS = 2000


def plots(analysis: Analysis) -> list[Plot]:
    """None where no run has both a score and its seconds."""
    frame = analysis.runs
    frame = frame[frame["score"].notna() & (frame["train_seconds"] > 0)]
    if frame.empty:
        return []
    tasks = [task for task in analysis.tasks if task in set(frame["task"])]
    figure, axes = drawing.grid(len(tasks))
    for axis, task in zip(axes, tasks, strict=True):
        _panel(axis, frame[frame["task"] == task], analysis)
        axis.set_title(drawing.wrapped(task, 34))
        axis.set_xlabel("training time, wall-clock (s)")
        axis.set_ylabel(f"{analysis.metric_of(task)} (%)")
    drawing.arrange(figure, axes, 1.9, drawing.head_entries(analysis.heads, frame["head"], markersize=5, linewidth=0))
    devices = sorted({str(device) for device in frame["device"]} - {""})
    return [
        Plot(
            name="cost",
            title="Score against training time",
            caption="Faint points are runs, the large ones means with a standard deviation each way. Time is "
            "wall-clock, without validation, as each run found its machine: what else ran there is not recorded, so "
            f"only large gaps mean anything. Runs on: {', '.join(devices) or 'not recorded'}.",
            alt=f"Score by training time on {drawing.several(len(tasks), 'task')}. " + _alt(frame, tasks),
            figure=figure,
        )
    ]


def _panel(axis: Axes, frame: pd.DataFrame, analysis: Analysis) -> None:
    looks, present = drawing.looks(analysis.heads), set(frame["head"])
    heads = [head for head in analysis.heads if head in present]
    runs = frame.groupby("head")[["train_seconds", "score"]]
    mean, std, fastest = (getattr(runs, name)().loc[heads] for name in ("mean", "std", "min"))
    log = frame["train_seconds"].max() > 10 * frame["train_seconds"].min()
    low = mean["train_seconds"] - std["train_seconds"]
    if log:  # where one standard deviation could reach below 0
        low = low.clip(lower=fastest["train_seconds"])
    colors = [looks[head].color for head in heads]
    axis.hlines(mean["score"], low, mean["train_seconds"] + std["train_seconds"], colors, linewidth=1.3, zorder=3)
    high = (mean["score"] + std["score"]).clip(upper=1)
    axis.vlines(mean["train_seconds"], mean["score"] - std["score"], high, colors, linewidth=1.3, zorder=3)
    if len(frame) > len(heads):
        faint = {"s": 10, "alpha": 0.3, "linewidths": 0, "rasterized": len(frame) > MANY_POINTS, "label": "run"}
        _points(axis, frame, looks, **faint)
    _points(axis, mean.reset_index(), looks, s=36, edgecolors="white", linewidths=0.6, zorder=4, label="mean")
    if log:
        drawing.logarithmic(axis)
    drawing.percent(axis.yaxis)


def _points(axis: Axes, table: pd.DataFrame, looks: Mapping[str, drawing.Look], **options: Any) -> None:
    """A point a row, in the look of its head; those of one marker at once."""
    markers = table["head"].map({head: look.marker for head, look in looks.items()})
    colors = table["head"].map({head: look.color for head, look in looks.items()})
    for marker in dict.fromkeys(markers):
        of_marker = (markers == marker).to_numpy()
        points = table[of_marker]
        axis.scatter(points["train_seconds"], points["score"], c=colors[of_marker], marker=marker, **options)


def _alt(frame: pd.DataFrame, tasks: list[str]) -> str:
    means = frame.groupby(["task", "head"])["train_seconds"].mean()
    parts = []
    for task in tasks:
        fast, slow = means[task].idxmin(), means[task].idxmax()
        parts.append(f"{task}: {means[task][fast]:.3g} s ({fast}) to {means[task][slow]:.3g} s ({slow}).")
    return " ".join(parts)
