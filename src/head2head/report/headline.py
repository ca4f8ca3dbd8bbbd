"""What the comparisons say, in two sentences a task that a person can act on."""

from __future__ import annotations

import math

import pandas as pd

from head2head.report.analysis import Analysis, against, leader_of
from head2head.report.formats import percent, points
from head2head.report.ranks import NOT_RANKED
from head2head.report.tables import flags
from head2head.statistics.uncertainty import FEWEST_RUNS, needed

MOST = 100  # times as many runs or rows: more are as good as never
SHOWN = 4  # heads named in a row


def headline(analysis: Analysis) -> list[str]:
    """Of each task with at least two heads what is best and what it is better than, and what would decide the rest.

    >>> headline(analysis)
    ["rte: mean, 68.2 [66.1, 70.3]: 3.1 above pooler; equal to max within a point. Not decided against cls: ..."]

    A head is above another where the difference is significant among all pairs of the task (`p_all` of the comparisons:
    which head leads was found by looking), equal to it where the whole interval lies within the margin. WNLI is left
    out.
    """
    names = analysis.experiment.frame.groupby("task")["task_name"].first()
    tasks = [task for task in analysis.tasks if names[task] not in NOT_RANKED]
    found = [_of_task(analysis, task) for task in tasks]
    return [f"{task}: {text}" if len(found) > 1 else text for task, text in zip(tasks, found, strict=True)]


def _of_task(analysis: Analysis, task: str) -> str:
    leader = leader_of(analysis, task)
    if leader is None:
        return "no head has a score."
    others = against(analysis, task, leader.head)
    interval = "" if math.isnan(leader.ci_low) else f" [{percent(leader.ci_low)}, {percent(leader.ci_high)}]"
    name = f"{leader.head}, {percent(leader.mean)}{interval}{flags(leader)}"
    others = others[others["n"] > 0]
    if others.empty:
        return f"{name}; there is no other head to compare it with."
    if leader.mean <= leader.baseline:
        return f"no head is above the majority baseline, {percent(leader.baseline)}; the best mean is that of {name}."
    if others["ci_low"].isna().all():
        return f"{name}, has the best mean; how sure that is cannot be said, since predictions are missing."
    equal = others[others["equal"].astype(bool)]
    above = others[~others.index.isin(equal.index) & (others["p_all"] < analysis.options.alpha)]
    rest = others[~others.index.isin([*equal.index, *above.index])]
    parts = []
    if len(above):
        parts.append(_listed([f"{points(row.difference)} above {row.reference}" for row in above.itertuples()]))
    if len(equal):
        margin = points(analysis.options.margin)
        within = "a point" if margin == "1.0" else f"{margin} points"
        parts.append(f"equal to {_listed(list(equal['reference']))} within {within}")
    first = f"{name}: {'; '.join(parts)}." if parts else f"{name}, has the best mean, but is not shown to be best."
    return first + (f" {_undecided(analysis, rest)}" if len(rest) else "")


def _undecided(analysis: Analysis, rest: pd.DataFrame) -> str:
    """Which heads are not told apart from the leader, and what would tell them."""
    text = f"Not decided against {_listed(list(rest['reference']))}"
    if (rest["n"] < FEWEST_RUNS).any():
        return f"{text}: fewer than {FEWEST_RUNS} runs in common."
    known = rest[rest["sd_examples"] > 0]
    if known.empty:
        return f"{text}."
    hardest = next(known.loc[[known["difference"].abs().idxmin()]].itertuples())
    target = max(abs(hardest.difference), analysis.options.margin)
    alpha = analysis.options.alpha / max(len(rest), 1)
    variances = hardest.sd_examples**2, hardest.sd_runs**2
    what = needed(*variances, hardest.freedom, hardest.n, target, alpha)
    aim = f"a difference of {points(target)} points"
    if what.runs <= MOST * hardest.n:
        return f"{text}: about {math.ceil(what.runs)} runs instead of {hardest.n} would find {aim}."
    if what.rows <= MOST:
        rows = analysis.cells.loc[analysis.cells["task"] == hardest.task, "examples"].max()
        more = math.ceil(max(what.rows - 1, 0.1) * rows / 100) * 100
        return f"{text}: more runs would hardly help; about {more:,} more rows would find {aim}."
    return f"{text}: neither more runs nor more rows alone would find {aim}."


def _listed(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
