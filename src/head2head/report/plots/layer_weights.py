"""What the weighted sums of layers have learned."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from head2head.report.analysis import Analysis
from head2head.report.plots import drawing
from head2head.report.plots.drawing import Plot


def plots(analysis: Analysis) -> list[Plot]:
    """None where no head has learned layer weights."""
    table = shares(analysis)
    if table.empty:
        return []
    tasks = [task for task in analysis.tasks if task in set(table["task"])]
    figure, axes = drawing.grid(len(tasks))
    for axis, task in zip(axes, tasks, strict=True):
        _panel(axis, table[table["task"] == task], analysis)
        axis.set_title(drawing.wrapped(task, 34))
        axis.set_xlabel("hidden state (0: embeddings)")
        axis.set_ylabel("share of the mixture (%)")
        axis.set_ylim(0, 1.05 * table["share"].max())
    entries = drawing.head_entries(analysis.heads, table["head"], markersize=4, linewidth=2)
    drawing.arrange(figure, axes, 1.7, entries)
    return [
        Plot(
            name="layer_weights",
            title="Learned layer weights",
            caption="What each layer contributes after training, as a share of the weights' sum: thin lines are runs, "
            "thick ones their mean. The dotted line is the equal mixture that training starts from; lines that stay "
            "there have learned no preference.",
            alt=_alt(table, tasks),
            figure=figure,
        )
    ]


def shares(analysis: Analysis) -> pd.DataFrame:
    """One row a run and layer: task, head, seed, layer, share (of the sum of the run's weights)."""
    rows = []
    for result, task, head in analysis.experiment.scored():
        if not result.layer_weights:
            continue
        weights = np.asarray(result.layer_weights["weights"], dtype=float)
        rows += [
            (task, head, result.seed, layer, share)
            for layer, share in zip(result.layer_weights["layers"], weights / weights.sum(), strict=True)
        ]
    return pd.DataFrame(rows, columns=["task", "head", "seed", "layer", "share"])


def _panel(axis: Axes, table: pd.DataFrame, analysis: Analysis) -> None:
    looks, present = drawing.looks(analysis.heads), set(table["head"])
    for layers in {len(runs) for _, runs in table.groupby(["head", "seed"])}:
        axis.axhline(1 / layers, color=drawing.GREY, linestyle=":", linewidth=1.1, zorder=1)
    for head in (head for head in analysis.heads if head in present):
        of_head, look = table[table["head"] == head], looks[head]
        points, starts = of_head[["layer", "share"]].to_numpy(), (of_head["seed"].diff() != 0).to_numpy().nonzero()[0]
        seeds = np.split(points, starts[1:])  # rows of a seed stand together
        axis.add_collection(LineCollection(seeds, colors=look.color, linewidths=0.7, alpha=0.45, zorder=2))
        mean = of_head.groupby("layer")["share"].mean()
        axis.plot(
            mean.index, mean, color=look.color, linestyle=look.line, marker=look.marker, markersize=4.5, linewidth=2.2,
            zorder=3, label=head,
        )  # fmt: skip
    axis.set_xticks(sorted(set(table["layer"])))
    drawing.percent(axis.yaxis)


def _alt(table: pd.DataFrame, tasks: list[str]) -> str:
    means = table.groupby(["task", "head", "layer"])["share"].mean()
    return "Shares of layers in weighted sums. " + " ".join(
        f"{task}, {head}: most weight on layer {shares.idxmax()[2]} ({100 * shares.max():.0f} %)."
        for task in tasks
        for head, shares in means[[task]].groupby("head")
    )
