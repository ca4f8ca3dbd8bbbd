"""Colours, type and grids of panels, the same in every figure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from head2head.report.labels import SEPARATOR

# Okabe & Ito (2008), "Color universal design": told apart with every kind of colour blindness. Its yellow is
# left out (it does not show on white); black comes last.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P")
LINES: tuple[Any, ...] = (
    "-",
    (0, (5, 1.5)),
    (0, (1, 1.2)),
    (0, (6, 1.5, 1, 1.5)),
    (0, (3, 1, 1, 1, 1, 1)),
    (0, (8, 3)),
)
GREY = "#6b6b6b"
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
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.7,
    "hatch.linewidth": 0.6,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    # Labels are text, whatever signs are in them.
    "text.parse_math": False,
    "text.usetex": False,
}


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
    return Look(PALETTE[color], MARKERS[turn % len(MARKERS)], LINES[turn % len(LINES)])


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
