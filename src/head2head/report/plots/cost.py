"""What a score costs: training time."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from head2head.report.analysis import Analysis
from head2head.report.plots import data, style
from head2head.report.plots.figure import Plot

MANY_POINTS = 2000


def plots(analysis: Analysis) -> list[Plot]:
    """None where no run has both a score and its seconds."""
    frame = data.runs(analysis)
    frame = frame[frame["score"].notna() & (frame["train_seconds"] > 0)]
    if frame.empty:
        return []
    tasks = [task for task in analysis.tasks if task in set(frame["task"])]
    figure, axes = style.grid(len(tasks), 2.7)
    for axis, task in zip(axes, tasks, strict=True):
        _panel(axis, frame[frame["task"] == task], analysis)
        axis.set_title(style.wrapped(task, 34))
        axis.set_xlabel("training time, wall-clock (s)")
        axis.set_ylabel(f"{data.metric_of(analysis, task)} (%)")
    style.legend(figure, style.head_entries(analysis.heads, frame["head"], markersize=5, linewidth=0))
    devices = sorted({str(device) for device in frame["device"]} - {""})
    return [
        Plot(
            name="cost",
            title="Score against training time",
            caption="Faint points are runs, the large ones means with a standard deviation each way. Time is "
            "wall-clock, without validation, as each run found its machine: what else ran there is not recorded, so "
            f"only large gaps mean anything. Runs on: {', '.join(devices) or 'not recorded'}.",
            alt=f"Score by training time on {style.several(len(tasks), 'task')}. " + _alt(frame, tasks),
            figure=figure,
        )
    ]


def _panel(axis: Axes, frame: pd.DataFrame, analysis: Analysis) -> None:
    looks, present = style.looks(analysis.heads), set(frame["head"])
    log = frame["train_seconds"].max() > 10 * frame["train_seconds"].min()
    raster = len(frame) > MANY_POINTS
    for head in (head for head in analysis.heads if head in present):
        runs, look = frame[frame["head"] == head], looks[head]
        x, y = runs["train_seconds"], runs["score"]
        if len(runs) > 1:
            axis.scatter(x, y, s=10, color=look.color, marker=look.marker, alpha=0.3, linewidths=0, rasterized=raster)
        axis.errorbar(
            x.mean(), y.mean(), xerr=_inside(x, log), yerr=y.std() if len(runs) > 1 else None, color=look.color,
            marker=look.marker, markersize=6, markeredgecolor="white", markeredgewidth=0.6, elinewidth=1.3, label=head,
            zorder=4,
        )  # fmt: skip
    if log:
        style.logarithmic(axis)
    style.percent(axis.yaxis)


def _inside(seconds: pd.Series, log: bool) -> np.ndarray | None:
    """One standard deviation each way; on a log axis not below the fastest run, where it could reach 0."""
    if len(seconds) < 2:
        return None
    std = seconds.std()
    low = min(std, seconds.mean() - seconds.min()) if log else std
    return np.array([[low], [std]])


def _alt(frame: pd.DataFrame, tasks: list[str]) -> str:
    means = frame.groupby(["task", "head"])["train_seconds"].mean()
    parts = []
    for task in tasks:
        fast, slow = means[task].idxmin(), means[task].idxmax()
        parts.append(f"{task}: {means[task][fast]:.3g} s ({fast}) to {means[task][slow]:.3g} s ({slow}).")
    return " ".join(parts)
