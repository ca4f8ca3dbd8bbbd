"""Critical-difference diagram of mean ranks over tasks (Demšar 2006, JMLR 7:1-30, figure 1)."""

from __future__ import annotations

import math
import textwrap

from matplotlib.figure import Figure

from head2head.report.analysis import Analysis
from head2head.report.plots import drawing
from head2head.report.plots.drawing import Plot
from head2head.report.ranks import Ranks


def plots(analysis: Analysis) -> list[Plot]:
    """One a kind of head; none for two heads, where all scores are tied, or where no two heads could differ."""
    able = [over for over in analysis.ranks if over.critical_difference <= len(over.mean_ranks) - 1]
    found = [over for over in able if not math.isnan(over.p_friedman)]
    names = [f"critical_difference_{over.kind}" if len(found) > 1 else "critical_difference" for over in found]
    return [_plot(analysis, over, name) for over, name in zip(found, names, strict=True)]


def _plot(analysis: Analysis, over: Ranks, name: str) -> Plot:
    alpha = analysis.options.alpha
    listed = [f"{head} {rank:.2f}" for head, rank in over.mean_ranks.sort_values().items()]
    return Plot(
        name=name,
        title=f"Mean ranks of {over.kind} heads over {len(over.tasks)} tasks",
        caption=f"Rank 1 is best. Heads joined by a thick bar do not differ (Nemenyi, {alpha:g}); the bar at the top "
        f"is as long as the critical difference, {over.critical_difference:.2f} ranks. {_friedman(over, alpha)}",
        alt=f"Mean ranks: {', '.join(listed)}.",
        figure=_figure(analysis, over),
    )


def _friedman(over: Ranks, alpha: float) -> str:
    p = f"p = {over.p_friedman:.4f}" if over.p_friedman >= 0.0001 else "p < 0.0001"
    if over.p_friedman < alpha:
        return f"Friedman's test: {p}."
    return f"Friedman's test does not find any difference ({p}), so no pair should be read as different."


def _figure(analysis: Analysis, over: Ranks) -> Figure:
    from scikit_posthocs import critical_difference_diagram  # imports seaborn

    looks, best = drawing.looks(analysis.heads), over.mean_ranks.min()
    names = {head: "\n".join(textwrap.wrap(head, 40)) for head in over.mean_ranks.index}
    end = max(len(names), best + over.critical_difference)
    figure = Figure(figsize=(drawing.WIDTH, 1), layout="constrained")
    axis = figure.subplots()
    drawn = critical_difference_diagram(
        over.mean_ranks.rename(names),
        over.nemenyi.rename(index=names, columns=names),
        alpha=analysis.options.alpha,
        ax=axis,
        color_palette={names[head]: looks[head].color for head in over.mean_ranks.index},
        label_fmt_left="{label} ({rank:.2f})\N{NO-BREAK SPACE}",
        label_fmt_right="\N{NO-BREAK SPACE}({rank:.2f}) {label}",
        crossbar_props={"linewidth": 3.5, "solid_capstyle": "butt", "zorder": 5},
        elbow_props={"linewidth": 1.2},
        text_h_margin=0.04 * (end - 1),
    )
    for label in drawn["labels"]:
        label.set_color("black")
    for (bar,) in drawn["crossbars"]:
        # The library joins the heads in the order of a set, which is another in every process.
        bar.set_data([min(bar.get_xdata()), max(bar.get_xdata())], bar.get_ydata()[:2])
    axis.plot([best, best + over.critical_difference], [2, 2], color="black", linewidth=2, label="critical difference",
              marker="|", markersize=8, markeredgewidth=1.5)  # fmt: skip
    axis.text(best + over.critical_difference / 2, 2.35, f"CD = {over.critical_difference:.2f}", ha="center")
    lowest = min(label.get_position()[1] for label in drawn["labels"])
    axis.set(xlim=(1 - 0.02 * end, end + 0.02 * end), ylim=(lowest - 0.6, 3), xticks=range(1, math.floor(end) + 1))
    axis.set_xlabel("mean rank (1 is best)", loc="right")
    axis.xaxis.set_label_position("top")
    axis.grid(visible=False)
    axis.spines["top"].set_visible(True)
    figure.set_size_inches(
        drawing.WIDTH, 0.3 * (4 - lowest) * (1.4 if any("\n" in name for name in names.values()) else 1)
    )
    return figure
