"""Panels at computed places: matplotlib's constrained layout finds them by measuring everything two more times."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation

from head2head.report.plots.style import wrapped

WIDTH = 10.0  # inches; 960 pixels on the page
LINE = 0.16  # inches of a line of text
# Inches between a panel and its neighbours: ticks, their labels and the axis' label.
LEFT, RIGHT, BOTTOM, ABOVE_TITLE = 0.66, 0.12, 0.52, 0.14


def grid(count: int) -> tuple[Figure, list[Axes]]:
    """A figure with `count` panels, which `arrange` puts into their places."""
    figure = Figure(figsize=(WIDTH if columns_for(count) > 1 else 0.7 * WIDTH, 1))
    return figure, [figure.add_axes((0, 0, 1, 1), label=str(number)) for number in range(count)]


def columns_for(count: int) -> int:
    """How many panels stand side by side."""
    return 2 if count == 4 else min(3, count)


def arrange(
    figure: Figure,
    axes: Sequence[Axes],
    height: float,
    entries: Iterable[tuple[str, Line2D]],
    *,
    first: float = LEFT,
    left: float = LEFT,
    right: float = RIGHT,
) -> None:
    """Put panels into rows and columns and a legend below, and give the figure its height.

    Args:
        height: of a panel, in inches.
        entries: of the legend, each name once.
        first, left, right: inches left of the first column and of the others, and right of each.
    """
    columns = columns_for(len(axes))
    rows = math.ceil(len(axes) / columns)
    top = ABOVE_TITLE + LINE * max(axis.get_title().count("\n") + 1 for axis in axes)
    below = legend(figure, entries)
    whole, total = figure.get_figwidth(), rows * (top + height + BOTTOM) + below
    width = (whole - first - (columns - 1) * left - columns * right) / columns
    figure.set_figheight(total)
    for number, axis in enumerate(axes):
        row, column = divmod(number, columns)
        x = first + column * (width + left + right)
        y = total - (row + 1) * (top + height) - row * BOTTOM
        axis.set_position((x / whole, y / total, width / whole, height / total))
        fix_labels(axis, figure)


def fix_labels(axis: Axes, figure: Figure) -> None:
    """Axis labels at a fixed distance: else each drawing measures all tick labels once more."""
    scale = figure.dpi_scale_trans
    axis.xaxis.set_label_coords(0.5, 0, axis.transAxes + ScaledTranslation(0, -0.27, scale))
    axis.yaxis.set_label_coords(0, 0.5, axis.transAxes + ScaledTranslation(-0.45, 0, scale))


def legend(figure: Figure, entries: Iterable[tuple[str, Line2D]], columns: int = 4) -> float:
    """Draw a legend at the bottom; returns its height in inches."""
    handles = dict(entries)
    if not handles:
        return 0.0
    names = [wrapped(name) for name in handles]
    width = max(len(line) for name in names for line in name.split("\n"))
    columns = max(1, min(columns, len(handles), int(110 // (width + 8))))
    made = figure.legend(list(handles.values()), names, loc="lower center", ncols=columns, borderaxespad=0)
    return float(made.get_window_extent().height / figure.dpi)


def text_width(figure: Figure, texts: Iterable[str], **options: Any) -> float:
    """Width of the widest of several texts, in inches."""
    probe = figure.text(0, 0, "", **options)
    widths = [0.0]
    for text in dict.fromkeys(texts):
        probe.set_text(text)
        widths.append(probe.get_window_extent().width / figure.dpi)
    probe.remove()
    return max(widths)
