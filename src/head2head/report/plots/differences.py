"""A forest plot: each head's difference to its task's reference, with its interval."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from head2head.report.analysis import Analysis, Kind
from head2head.report.formats import signed
from head2head.report.plots import drawing
from head2head.report.plots.drawing import Plot

ROW = 0.26  # inches


def plots(analysis: Analysis) -> list[Plot]:
    """One a kind of head, where heads can be compared."""
    kinds = [kind for kind in analysis.kinds if not _differences(analysis, kind).empty]
    return [
        _plot(analysis, kind, f"differences_{kind.name}" if len(analysis.kinds) > 1 else "differences")
        for kind in kinds
    ]


def _differences(analysis: Analysis, kind: Kind) -> pd.DataFrame:
    table = analysis.comparisons
    table = table[table["to_reference"].astype(bool) & table["task"].isin(kind.tasks)]
    return table[table["difference"].notna()]


def _plot(analysis: Analysis, kind: Kind, name: str) -> Plot:
    table = _differences(analysis, kind)
    tasks = [task for task in kind.tasks if task in set(table["task"])]
    heads = [head for head in kind.heads if head in set(table["head"])]
    figure, axes = drawing.grid(len(tasks))
    names = [drawing.wrapped(head) for head in heads]
    for number, (axis, task) in enumerate(zip(axes, tasks, strict=True)):
        _panel(axis, table[table["task"] == task], analysis, heads)
        axis.set_title(drawing.wrapped(task, 34))
        axis.set_xlabel(f"difference to {analysis.references[task]}\n({analysis.metric_of(task)}, points)")
        first = number % drawing.columns_for(len(axes)) == 0
        axis.set_yticks(range(len(names)) if first else [], names if first else [])
        axis.set_ylim(len(names) - 0.5, -0.5)
    lines = sum(name.count("\n") + 1 for name in names)
    room = 0.15 + drawing.text_width(figure, names, fontsize=drawing.RC["ytick.labelsize"])
    drawing.arrange(figure, axes, ROW * lines, _entries(table), first=room, left=0.1)
    level = f"{100 * (1 - analysis.options.alpha):g} %"
    return Plot(
        name=name,
        title="Differences to the reference" + (f", {kind.name} heads" if "_" in name else ""),
        caption=f"Score minus that of the task's reference head, with the {level} interval over examples and runs; "
        "hollow: no interval, since predictions are missing. The band is the margin within which heads are practically "
        "equal. † differs from 0 after Holm's correction within the task. Axes differ between panels.",
        alt=_alt(table, analysis),
        figure=figure,
    )


def _panel(axis: Axes, table: pd.DataFrame, analysis: Analysis, heads: list[str]) -> None:
    looks, row = drawing.looks(analysis.heads), {head: number for number, head in enumerate(heads)}
    y, colors = table["head"].map(row).to_numpy(float), [looks[head].color for head in table["head"]]
    known = table["ci_low"].notna().to_numpy()
    margin = analysis.options.margin
    axis.axvspan(-margin, margin, color=drawing.BAND, zorder=0)
    axis.axvline(0, color=drawing.GREY, linewidth=1.1, zorder=1)
    axis.hlines(y, table["ci_low"], table["ci_high"], colors, linewidth=1.6, zorder=2)
    faces = np.where(known, colors, "white")
    axis.scatter(table["difference"], y, s=30, c=faces, edgecolors=colors, linewidths=1.2, zorder=3)
    for cell, height in zip(table.itertuples(), y, strict=True):
        if cell.significant:
            axis.text(cell.ci_high, height, " †", va="center", fontsize=9)
    axis.grid(axis="y", visible=False)
    axis.tick_params(axis="y", length=0)
    drawing.percent(axis.xaxis)


def _entries(table: pd.DataFrame) -> list[tuple[str, Line2D]]:
    style: dict[str, Any] = {"color": drawing.GREY, "marker": "o", "markersize": 5}
    entries = []
    if table["ci_low"].notna().any():
        entries.append(("difference and interval", Line2D([], [], linewidth=1.6, **style)))
    if table["ci_low"].isna().any():
        entries.append(("no interval", Line2D([], [], linestyle="", markerfacecolor="white", **style)))
    return entries


def _alt(table: pd.DataFrame, analysis: Analysis) -> str:
    parts = []
    for task, rows in table.groupby("task", sort=False):
        found = [
            f"{row.head} {signed(row.difference)}"
            + ("" if math.isnan(row.ci_low) else f" [{signed(row.ci_low)}, {signed(row.ci_high)}]")
            for row in rows.itertuples()
        ]
        parts.append(f"{task}, against {analysis.references[str(task)]}: {', '.join(found)}.")
    return "Differences in percentage points. " + " ".join(parts)
