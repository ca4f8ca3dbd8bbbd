"""Score against a numeric setting: each head's curve over a tuned grid, or a point a run as after a random search."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from head2head.report.analysis import Analysis
from head2head.report.labels import varying
from head2head.report.plots import drawing
from head2head.report.plots.drawing import Plot

LEAST_VALUES = 3  # two values are a comparison, which tables show better


def plots(analysis: Analysis) -> list[Plot]:
    """A curve of each tuned setting; else one plot a setting of at least three values within a task and head."""
    tuned = curves(analysis)
    found = [_curves(analysis, tuned[tuned["name"] == name], name) for name in dict.fromkeys(tuned["name"])]
    frame = analysis.runs[analysis.runs["fold"] < 0]
    for name, values in numeric(analysis):
        of_setting = frame.assign(value=values)
        of_setting = of_setting[of_setting["score"].notna() & of_setting["value"].notna()]
        counts = of_setting.groupby(["task", "base"])["value"].nunique()
        tasks = [t for t in analysis.tasks if t in counts.index and counts[t].max() >= LEAST_VALUES]
        if tasks:
            found.append(_scatter(analysis, of_setting[of_setting["task"].isin(tasks)], name, tasks))
    return found


def curves(analysis: Analysis) -> pd.DataFrame:
    """One row a tuned setting, task, head and value: name, task, head, value; mean over folds and repeats of the best
    setting with that value, and its standard error."""
    rows: list[tuple[Any, ...]] = []
    for (task, head), part in analysis.experiment.grid.groupby(["task", "head"], sort=False):
        of_setting: dict[Any, np.ndarray] = {
            setting: part["score"][[found == setting for found in part["setting"]]].to_numpy()
            for setting in dict.fromkeys(part["setting"])
        }
        for name in sorted({name for setting in of_setting for name, value in setting if not isinstance(value, str)}):
            values = sorted({dict(setting)[name] for setting in of_setting})
            for value in values if len(values) > 1 else ():
                scores = [found for setting, found in of_setting.items() if dict(setting)[name] == value]
                best = max(scores, key=lambda found: -np.inf if np.isnan(found).any() else found.mean())
                error = best.std(ddof=1) / np.sqrt(len(best)) if len(best) > 1 else np.nan
                rows.append((name, task, head, value, best.mean(), error))
    return pd.DataFrame(rows, columns=["name", "task", "head", "value", "mean", "error"])


def _curves(analysis: Analysis, table: pd.DataFrame, name: str) -> Plot:
    tasks = [task for task in analysis.tasks if task in set(table["task"])]
    figure, axes = drawing.grid(len(tasks))
    looks = drawing.looks(analysis.heads)
    for axis, task in zip(axes, tasks, strict=True):
        for head, points in table[table["task"] == task].groupby("head", sort=False):
            look = looks[str(head)]
            axis.errorbar(
                points["value"], points["mean"], points["error"], color=look.color, linestyle=look.line, label=head,
                marker=look.marker, markersize=4, linewidth=1.4, elinewidth=0.8,
            )  # fmt: skip
        _axes(axis, analysis, task, name, table["value"])
    entries = drawing.head_entries(analysis.heads, table["head"], markersize=4, linewidth=1.4)
    drawing.arrange(figure, axes, 1.9, entries)
    best = table.loc[table.dropna(subset="mean").groupby(["task", "head"])["mean"].idxmax()]
    return Plot(
        name=_file(name),
        title=f"Each head over {name}",
        caption=f"Mean score over folds and repeats at each {name}, with its standard error; of several other settings "
        "the best. A curve that rises at an end asks for a wider grid. (What tables report was chosen by other folds.)",
        alt=f"Score by {name}. "
        + " ".join(f"{row.task}, {row.head}: best at {row.value:g}." for row in best.itertuples()),
        figure=figure,
    )


def numeric(analysis: Analysis) -> Iterator[tuple[str, pd.Series]]:
    """Settings whose values are numbers, and the number of each run (NaN where it has none)."""
    frame = analysis.experiment.frame
    for name, texts in varying(analysis.experiment.results, analysis.experiment.settings).items():
        values = pd.Series(pd.to_numeric(pd.Series(texts), errors="coerce").to_numpy(), index=frame.index, dtype=float)
        if np.isfinite(values).sum() >= LEAST_VALUES and not any(text in ("true", "false") for text in texts):
            yield name, values


def _scatter(analysis: Analysis, frame: pd.DataFrame, name: str, tasks: list[str]) -> Plot:
    bases = list(dict.fromkeys(analysis.experiment.frame.set_index("head").loc[analysis.heads, "base"]))
    figure, axes = drawing.grid(len(tasks))
    for axis, task in zip(axes, tasks, strict=True):
        _points(axis, frame[frame["task"] == task], bases)
        _axes(axis, analysis, task, name, frame.loc[frame["task"] == task, "value"])
    drawing.arrange(figure, axes, 1.9, drawing.head_entries(bases, frame["base"], markersize=5, linewidth=0))
    best = frame.loc[frame.groupby("task")["score"].idxmax()]
    return Plot(
        name=_file(name),
        title=f"Score against {name}",
        caption=f"Each point is one run; {name} is what it was given. Other settings may differ along with it.",
        alt=f"Score by {name}. "
        + " ".join(f"{run.task}: best run at {run.value:.3g} ({run.base})." for run in best.itertuples()),
        figure=figure,
    )


def _points(axis: Axes, frame: pd.DataFrame, bases: list[str]) -> None:
    looks, present = drawing.looks(bases), set(frame["base"])
    for base in (base for base in bases if base in present):
        runs, look = frame[frame["base"] == base], looks[base]
        axis.scatter(
            runs["value"], runs["score"], s=24, color=look.color, marker=look.marker, alpha=0.75, linewidths=0,
            label=base, rasterized=len(frame) > 2000,
        )  # fmt: skip


def _axes(axis: Axes, analysis: Analysis, task: str, name: str, values: pd.Series) -> None:
    axis.set_title(drawing.wrapped(task, 34))
    axis.set_xlabel(name)
    axis.set_ylabel(f"{analysis.metric_of(task)} (%)")
    if values.min() > 0 and values.max() / values.min() > 9.9:  # a decade, to within rounding
        drawing.logarithmic(axis)
    drawing.percent(axis.yaxis)


def _file(name: str) -> str:
    return "setting_" + "".join(c if c.isalnum() else "_" for c in name)
