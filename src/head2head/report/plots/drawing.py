"""What all figures share: colours and type, panels in a grid, and a figure's words and bytes.

The same figure gives the same bytes. Panels stand at computed places: matplotlib's constrained layout finds them by
measuring everything two more times.
"""

from __future__ import annotations

import io
import math
import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from matplotlib.transforms import ScaledTranslation

from head2head.report.labels import SEPARATOR

# Petroff (2021), "Accessible color sequences for data visualization": ten, told apart with the common kinds of colour
# blindness; here without its order, the greys last. Each head has a marker of its own besides.
PALETTE = (
    "#3f90da", "#ffa90e", "#bd1f01", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#92dadd", "#717581", "#94a4a2",
)  # fmt: skip
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
LINES: tuple[Any, ...] = (
    "-",
    (0, (5, 1.5)),
    (0, (1, 1.2)),
    (0, (6, 1.5, 1, 1.5)),
    (0, (3, 1, 1, 1, 1, 1)),
    (0, (8, 3)),
)
BLACK, WHITE, GREY = "#000000", "#ffffff", "#6b6b6b"
GRID, BAND = "#e6e6e6", "#efefef"
ALARM = "#c43c00"
# Every colour that figures use -> the variable of the page that stands for it, which is another in dark mode.
VARIABLES = {color: f"--head-{number}" for number, color in enumerate(PALETTE)} | {
    BLACK: "--ink", WHITE: "--paper", GREY: "--pencil", GRID: "--grid", BAND: "--band", ALARM: "--alarm",
}  # fmt: skip
MANY_LABELS = 14  # more than these are not told apart by colour and line

RC: dict[str, Any] = {
    "svg.hashsalt": "head2head",
    "svg.fonttype": "none",
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titley": 1.0,  # as it would be: else each drawing measures all ticks to see whether it is in their way
    "axes.labelsize": 9,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "hatch.linewidth": 0.6,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    # Labels are text, whatever signs are in them.
    "text.parse_math": False,
    "text.usetex": False,
}
WIDTH = 10.0  # inches; 960 pixels on the page
LINE = 0.16  # inches of a line of text
# Inches between a panel and its neighbours: ticks, their labels and the axis' label.
LEFT, RIGHT, BOTTOM, ABOVE_TITLE = 0.66, 0.12, 0.52, 0.14
DPI = 120  # of the PNG files, which are 1,200 pixels wide; print takes the SVG files


@dataclass(frozen=True)
class Plot:
    """A figure and what is said about it.

    name: stem of its files.
    caption: one or two sentences on how to read it.
    alt: what is seen, for those who do not see it.
    """

    name: str
    title: str
    caption: str
    alt: str
    figure: Figure

    def __post_init__(self) -> None:
        """Lay the figure out once: it takes as long as drawing."""
        with rc_context(RC):
            engine = self.figure.get_layout_engine()
            if engine is not None:
                engine.execute(self.figure)
                self.figure.set_layout_engine("none")

    def svg(self) -> str:
        """The figure as a file of its own. Text stays text."""
        file = io.StringIO()
        with rc_context(RC):
            self.figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
        # Where the font is not installed another sans-serif, not the reader's default.
        return file.getvalue().replace("'DejaVu Sans'", "'DejaVu Sans', Verdana, sans-serif")

    def png(self) -> bytes:
        file = io.BytesIO()
        with rc_context(RC):
            options: dict[str, Any] = {"metadata": {"Software": None}, "pil_kwargs": {"compress_level": 3}}
            self.figure.savefig(file, format="png", dpi=DPI, **options)
        return file.getvalue()


def inline(svg: str, name: str) -> str:
    """An SVG file as an element of a page: as wide as there is room for, its ids and its style its own, its colours
    the page's variables (`VARIABLES`)."""
    width, height = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg).groups()  # type: ignore[union-attr]
    body = svg[svg.index(">", svg.index("<svg")) + 1 :].strip()
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = body.replace('<style type="text/css">*{', f"<style>#{name} *{{")
    body = re.sub(r'<([^<>]*) id="', rf'<\1 id="{name}-', body)
    body = re.sub(r'href="#(?=[^<>]*>)', f'href="#{name}-', body).replace("url(#", f"url(#{name}-")
    body = re.sub(r'(?<= style=")[^"<>]*', _in_variables, body)
    pixels = f'width="{float(width) * 4 / 3:g}" height="{float(height) * 4 / 3:g}"'
    return f'<svg id="{name}" aria-hidden="true" {pixels} viewBox="0 0 {width} {height}">{body}'


def _in_variables(style: re.Match[str]) -> str:
    """A style with the page's variables in place of the colours that have one."""
    return re.sub(
        r"(?<=: )#[0-9a-f]{6}\b",
        lambda color: f"var({VARIABLES[color[0]]})" if color[0] in VARIABLES else color[0],
        style[0],
    )


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


@dataclass(frozen=True)
class Look:
    """How a head is drawn in every figure."""

    color: str
    marker: str
    line: Any


def looks(heads: Sequence[str]) -> dict[str, Look]:
    """One look a head. Where the rows are too many to be told apart, those of one head share its look."""
    groups = {head: legend_name(head, heads) for head in heads}
    order = {group: number for number, group in enumerate(dict.fromkeys(groups.values()))}
    return {head: _look(order[group]) for head, group in groups.items()}


def legend_name(head: str, heads: Sequence[str]) -> str:
    """What a legend calls a row of tables: its label, or without its settings where rows are many."""
    return head.partition(SEPARATOR)[0] if len(heads) > MANY_LABELS else head


def _look(number: int) -> Look:
    turn, color = divmod(number, len(PALETTE))
    return Look(PALETTE[color], MARKERS[(color + turn) % len(MARKERS)], LINES[turn % len(LINES)])


def wrapped(label: str, width: int = 34) -> str:
    """A label in lines of at most `width` characters, broken at its settings where it is too long."""
    if len(label) <= width:
        return label
    return "\n".join(line for part in label.split(SEPARATOR) for line in textwrap.wrap(part, width))


def percent(axis: Any) -> None:
    """Tick labels of fractions in per cent; the sign stands in the axis' label."""
    axis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g}".replace("-", "\N{MINUS SIGN}")))


def logarithmic(axes: Axes) -> None:
    """A log scale of x with plain numbers at 1, 2 and 5 of each decade, or at its start where they are many."""
    axes.set_xscale("log")
    axis, (low, high) = axes.xaxis, axes.get_xlim()
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 100 * low else (1.0,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def head_entries(heads: Sequence[str], shown: Iterable[str], **options: Any) -> list[tuple[str, Line2D]]:
    """Legend entries of the heads that are shown."""
    look, shown = looks(heads), set(shown)
    return [
        (
            legend_name(head, heads),
            Line2D([], [], color=look[head].color, marker=look[head].marker, linestyle=look[head].line, **options),
        )
        for head in heads
        if head in shown
    ]


def several(count: int, noun: str) -> str:
    """`1 task`, `2 tasks`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
