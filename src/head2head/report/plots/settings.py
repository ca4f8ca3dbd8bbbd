"""Score against a numeric setting that the runs vary, as after a random search."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from head2head.report.analysis import Analysis
from head2head.report.labels import varying
from head2head.report.plots import drawing
from head2head.report.plots.drawing import Plot

LEAST_VALUES = 3  # two values are a comparison, which tables show better


def plots(analysis: Analysis) -> list[Plot]:
    """One a setting of at least three values within a task and head."""
    frame = analysis.runs
    found = []
    for name, values in numeric(analysis):
        of_setting = frame.assign(value=values)[frame["score"].notna() & values.notna()]
        counts = of_setting.groupby(["task", "base"])["value"].nunique()
        tasks = [t for t in analysis.tasks if t in counts.index and counts[t].max() >= LEAST_VALUES]
        if tasks:
            found.append(_plot(analysis, of_setting[of_setting["task"].isin(tasks)], name, tasks))
    return found


def numeric(analysis: Analysis) -> Iterator[tuple[str, pd.Series]]:
    """Settings whose values are numbers, and the number of each run (NaN where it has none)."""
    frame = analysis.experiment.frame
    for name, texts in varying(analysis.experiment.results, analysis.experiment.settings).items():
        values = pd.Series(pd.to_numeric(pd.Series(texts), errors="coerce").to_numpy(), index=frame.index, dtype=float)
        if np.isfinite(values).sum() >= LEAST_VALUES and not any(text in ("true", "false") for text in texts):
            yield name, values


def _plot(analysis: Analysis, frame: pd.DataFrame, name: str, tasks: list[str]) -> Plot:
    bases = list(dict.fromkeys(analysis.experiment.frame.set_index("head").loc[analysis.heads, "base"]))
    figure, axes = drawing.grid(len(tasks))
    for axis, task in zip(axes, tasks, strict=True):
        _panel(axis, frame[frame["task"] == task], bases)
        axis.set_title(drawing.wrapped(task, 34))
        axis.set_xlabel(name)
        axis.set_ylabel(f"{analysis.metric_of(task)} (%)")
    drawing.arrange(figure, axes, 1.9, drawing.head_entries(bases, frame["base"], markersize=5, linewidth=0))
    best = frame.loc[frame.groupby("task")["score"].idxmax()]
    return Plot(
        name="setting_" + "".join(c if c.isalnum() else "_" for c in name),
        title=f"Score against {name}",
        caption=f"Each point is one run; {name} is what it was given. Other settings may differ along with it.",
        alt=f"Score by {name}. "
        + " ".join(f"{run.task}: best run at {run.value:.3g} ({run.base})." for run in best.itertuples()),
        figure=figure,
    )


def _panel(axis: Axes, frame: pd.DataFrame, bases: list[str]) -> None:
    looks, present = drawing.looks(bases), set(frame["base"])
    smallest, largest = frame["value"].min(), frame["value"].max()
    for base in (base for base in bases if base in present):
        runs, look = frame[frame["base"] == base], looks[base]
        axis.scatter(
            runs["value"], runs["score"], s=24, color=look.color, marker=look.marker, alpha=0.75, linewidths=0,
            label=base, rasterized=len(frame) > 2000,
        )  # fmt: skip
    if smallest > 0 and largest / smallest > 9.9:  # a decade, to within rounding
        drawing.logarithmic(axis)
    drawing.percent(axis.yaxis)
