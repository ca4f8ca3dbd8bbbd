"""Every run a point: what each seed, or fold and repeat, scored."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from head2head.report.analysis import Analysis, Kind
from head2head.report.formats import percent
from head2head.report.plots import drawing
from head2head.report.plots.drawing import Plot

SPREAD = 0.56  # of a row's height, over which its seeds are spread
MANY_ROWS = 20  # are drawn closer
MANY_POINTS = 2000  # a panel of more is drawn as pixels


def plots(analysis: Analysis) -> list[Plot]:
    kinds = analysis.kinds
    return [_plot(analysis, kind, f"seeds_{kind.name}" if len(kinds) > 1 else "seeds") for kind in kinds]


def _plot(analysis: Analysis, kind: Kind, name: str) -> Plot:
    frame = analysis.runs
    frame = frame[frame["kind"] == kind.name]
    names = [drawing.wrapped(head) for head in kind.heads]
    lines = sum(name.count("\n") + 1 for name in names)
    height = max((0.3 if len(names) < MANY_ROWS else 0.2) * len(names), 0.17 * lines)
    figure, axes = drawing.grid(len(kind.tasks))
    for number, (axis, task) in enumerate(zip(axes, kind.tasks, strict=True)):
        _panel(axis, frame[frame["task"] == task], analysis, task, kind.heads)
        first = number % drawing.columns_for(len(axes)) == 0
        axis.set_yticks(range(len(names)) if first else [], names if first else [])
        axis.set_ylim(len(names) - 0.5, -0.5)
    entries = _entries(analysis, frame, baseline=any(axis.get_lines() for axis in axes))
    room = 0.15 + drawing.text_width(figure, names, fontsize=drawing.RC["ytick.labelsize"])
    noted = 0.62 if any(axis.texts for axis in axes) else drawing.RIGHT
    drawing.arrange(figure, axes, height, entries, first=room, left=0.1, right=noted)
    level = f"{100 * (1 - analysis.options.alpha):g} %"
    return Plot(
        name=name,
        title="Every run" if name == "seeds" else f"Every run, {kind.name} heads",
        caption="Each small point is one run; within a row a seed (or fold and repeat) stands at the same height for "
        "every head. "
        f"The diamond is the mean, its bar the {level} interval over examples and runs (where predictions are there), "
        "the dashed line the majority baseline (a number where it is far off). A cross is a collapsed run (constant "
        "predictions), which counts in the mean; failed runs are counted at the right. Axes differ between panels.",
        alt=_alt(analysis, kind),
        figure=figure,
    )


def _panel(axis: Axes, frame: pd.DataFrame, analysis: Analysis, task: str, heads: list[str]) -> None:
    looks, row = drawing.looks(analysis.heads), {head: number for number, head in enumerate(heads)}
    heights = _heights(frame["run"])
    y = frame["head"].map(row).to_numpy(float) + frame["run"].map(heights).to_numpy(float)
    colors = frame["head"].map({head: look.color for head, look in looks.items()}).to_numpy()
    few = frame.groupby("head").size().max() < 15
    raster = len(frame) > MANY_POINTS
    for collapsed, marker, size in ((False, "o", 18 if few else 9), (True, "x", 30 if few else 18)):
        which = (frame["collapsed"] == collapsed).to_numpy() & frame["score"].notna().to_numpy()
        axis.scatter(
            frame["score"][which], y[which], s=size, c=colors[which], marker=marker, alpha=0.9 if collapsed else 0.6,
            linewidths=1.3 if collapsed else 0, rasterized=raster, zorder=3, label="collapsed" if collapsed else "run",
        )  # fmt: skip
    cells = analysis.cells[(analysis.cells["task"] == task) & analysis.cells["head"].isin(heads)]
    _means(axis, cells, row)
    for cell in cells.itertuples():
        if cell.n and not cell.failed:
            continue
        note, color = (f"{cell.failed} failed", drawing.ALARM) if cell.failed else ("no run", drawing.GREY)
        axis.text(
            1.01, row[cell.head], note, transform=axis.get_yaxis_transform(), va="center", fontsize=8, color=color
        )
    axis.set_title(drawing.wrapped(task, 34))
    far = _baseline(axis, cells["baseline"].iloc[0], frame["score"])
    axis.set_xlabel(f"{analysis.metric_of(task)} (%)" + far)
    axis.grid(axis="y", visible=False)
    axis.tick_params(axis="y", length=0)
    drawing.percent(axis.xaxis)


def _baseline(axis: Axes, baseline: float, scores: pd.Series) -> str:
    """Draw the majority baseline; where that would squeeze the points, say where it is instead."""
    low, high = scores.min(), scores.max()
    if math.isnan(baseline):
        return ""
    if low - baseline > 2 * max(high - low, 0.05):
        return f"; majority baseline: {percent(baseline)}"
    axis.axvline(baseline, color=drawing.GREY, linestyle=(0, (4, 3)), linewidth=1.1, zorder=1)
    return ""


def _means(axis: Axes, cells: pd.DataFrame, row: dict[str, int]) -> None:
    """Mean and interval of heads with more than one seed: of one, the point says it all."""
    cells = cells[cells["n"] > 1]
    y = cells["head"].map(row)
    axis.hlines(y, cells["ci_low"], cells["ci_high"], color="black", linewidth=1.4, zorder=4)
    axis.scatter(
        cells["mean"], y, s=34, marker="D", c="white", edgecolors="black", linewidths=1.2, zorder=5, label="mean"
    )


def _heights(seeds: pd.Series) -> dict[int, float]:
    """Where in its row a seed stands: spread evenly, in an order that shows no trend."""
    numbers = sorted(set(seeds))
    if len(numbers) < 2:
        return dict.fromkeys(numbers, 0.0)
    levels = np.linspace(-SPREAD / 2, SPREAD / 2, len(numbers))
    step = next(step for step in range(max(2, round(0.618 * len(numbers))), 2 * len(numbers) + 2)
                if math.gcd(step, len(numbers)) == 1)  # fmt: skip
    return {seed: float(levels[i * step % len(numbers)]) for i, seed in enumerate(numbers)}


def _entries(analysis: Analysis, frame: pd.DataFrame, baseline: bool) -> list[tuple[str, Line2D]]:
    entries = [("one run", Line2D([], [], color=drawing.GREY, marker="o", linestyle="", markersize=4))]
    if (analysis.cells["n"] > 1).any():
        mean = Line2D([], [], color="black", marker="D", markerfacecolor="white", markersize=5, linewidth=1.4)
        entries.append((f"mean, {100 * (1 - analysis.options.alpha):g} % interval", mean))
    if frame["collapsed"].any():
        entries.append(("collapsed run", Line2D([], [], color=drawing.GREY, marker="x", linestyle="", markersize=5)))
    if baseline:
        entries.append(("majority baseline", Line2D([], [], color=drawing.GREY, linestyle=(0, (4, 3)), linewidth=1.1)))
    return entries


def _alt(analysis: Analysis, kind: Kind) -> str:
    heads, tasks = drawing.several(len(kind.heads), "head"), drawing.several(len(kind.tasks), "task")
    parts = [f"Scores of every run of {heads} on {tasks}."]
    for task in kind.tasks:
        cells = analysis.cells[(analysis.cells["task"] == task) & (analysis.cells["n"] > 0)]
        if len(cells):
            low, high = (cells.loc[row] for row in (cells["mean"].idxmin(), cells["mean"].idxmax()))
            ends = [f"{percent(cell['mean'])} ({cell['head']})" for cell in (low, high)]
            parts.append(f"{task}: means from {ends[0]} to {ends[1]}.")
    return " ".join(parts)
