"""A heat map of each head's difference to its task's reference head."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from head2head.report.analysis import Analysis, Kind
from head2head.report.formats import signed
from head2head.report.plots import drawing
from head2head.report.plots.drawing import Plot

CELL = (0.85, 0.42)  # inches
MANY_ROWS = 20  # are drawn closer
COLORS = "PuOr"  # told apart by the colour-blind


def plots(analysis: Analysis) -> list[Plot]:
    kinds = analysis.kinds
    return [
        _plot(analysis, kind, f"differences_{kind.name}" if len(kinds) > 1 else "differences")
        for kind in kinds
        if len(kind.heads) > 1
    ]


def _plot(analysis: Analysis, kind: Kind, name: str) -> Plot:
    values = differences(analysis, kind)
    figure = Figure()
    axis, beside = figure.add_axes((0, 0, 1, 1)), figure.add_axes((0, 0, 1, 1), label="scale")
    largest = np.nanmax(np.abs(values), initial=0) or 0.01
    image = axis.pcolormesh(values, cmap=COLORS, vmin=-largest, vmax=largest, edgecolors="white", linewidth=1.5)
    marks = {(cell.task, cell.head): cell.mark for cell in analysis.cells.itertuples()}
    for (i, j), value in np.ndenumerate(values):
        head, task = kind.heads[i], kind.tasks[j]
        if math.isnan(value):
            axis.add_patch(Rectangle((j, i), 1, 1, facecolor="#f4f4f4", edgecolor="#b5b5b5", hatch="////", linewidth=0))
            continue
        mark = {"above": "†", "below": "‡"}.get(marks[task, head], "")
        text = "ref." if head == analysis.references[task] else signed(value) + mark
        dark = _luminance(image.to_rgba(value)) < 0.18  # where white and black have equal contrast (WCAG 2)
        axis.text(j + 0.5, i + 0.5, text, ha="center", va="center", color="white" if dark else "black",
                  fontsize=8.5 if len(kind.tasks) <= 9 else 7, fontweight="bold" if mark else "normal")  # fmt: skip
    _axes(axis, analysis, kind)
    bar = figure.colorbar(image, cax=beside, label="points")
    drawing.percent(bar.ax.yaxis)
    bar.outline.set_visible(False)
    _arrange(figure, axis, beside)
    return Plot(
        name=name,
        title="Differences to the reference" + (f", {kind.name} heads" if "_" in name else ""),
        caption="Mean score minus the mean of the task's reference head (“ref.”), in percentage points. "
        "† significantly above, ‡ below (paired by seed, Holm-corrected). Colours are centred at 0; hatched: no score.",
        alt=_alt(analysis, kind, values),
        figure=figure,
    )


def differences(analysis: Analysis, kind: Kind) -> np.ndarray:
    """(heads, tasks): difference of means to the task's reference; NaN where one of them has no score."""
    means = analysis.cells.pivot(index="head", columns="task", values="mean").loc[kind.heads, kind.tasks]
    references = [means.loc[analysis.references[task], task] for task in kind.tasks]
    return means.to_numpy() - np.array(references)


def _luminance(rgba: np.ndarray) -> float:
    """Relative luminance of an sRGB colour (WCAG 2.2)."""
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgba[:3])
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _axes(axis: Axes, analysis: Analysis, kind: Kind) -> None:
    narrow = 12 if len(kind.tasks) > 5 else 20
    labels = [f"{drawing.wrapped(task, narrow)}\n({analysis.metric_of(task)})" for task in kind.tasks]
    axis.set_xticks(np.arange(len(kind.tasks)) + 0.5, labels)
    axis.set_yticks(np.arange(len(kind.heads)) + 0.5, [drawing.wrapped(head) for head in kind.heads])
    axis.xaxis.tick_top()
    axis.tick_params(length=0)
    axis.grid(visible=False)
    axis.invert_yaxis()
    for side in axis.spines.values():
        side.set_visible(False)


def _arrange(figure: Figure, axis: Axes, beside: Axes) -> None:
    """The heat map and its scale, around the room that the labels take."""
    tasks, heads = ([label.get_text() for label in which.get_ticklabels()] for which in (axis.xaxis, axis.yaxis))
    lines = [head.count("\n") + 1 for head in heads]
    height = sum(max(0.22 if len(lines) > MANY_ROWS else CELL[1], 0.17 * count) for count in lines)
    left = 0.15 + drawing.text_width(figure, heads, fontsize=drawing.RC["ytick.labelsize"])
    width = min(drawing.WIDTH - left - 1.0, CELL[0] * 1.25 * len(tasks))
    top = 0.15 + drawing.LINE * max(task.count("\n") + 1 for task in tasks)
    whole, total = left + width + 1.0, top + height + 0.1
    figure.set_size_inches(whole, total)
    axis.set_position((left / whole, 0.1 / total, width / whole, height / total))
    scale = min(height, 2.6)
    beside.set_position(
        ((left + width + 0.15) / whole, (0.1 + (height - scale) / 2) / total, 0.12 / whole, scale / total)
    )


def _alt(analysis: Analysis, kind: Kind, values: np.ndarray) -> str:
    parts = []
    for j, task in enumerate(kind.tasks):
        found = [f"{head} {signed(v)}" for head, v in zip(kind.heads, values[:, j], strict=True)
                 if not math.isnan(v) and head != analysis.references[task]]  # fmt: skip
        parts.append(f"{task}, against {analysis.references[task]}: {', '.join(found) or 'no score'}.")
    return "Differences in percentage points. " + " ".join(parts)
