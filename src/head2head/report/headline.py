"""What the comparisons say, in two sentences a task that a person can act on."""

from __future__ import annotations

import math
from dataclasses import dataclass

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
    found = standing(analysis, task, leader.head)
    interval = "" if math.isnan(leader.ci_low) else f" [{percent(leader.ci_low)}, {percent(leader.ci_high)}]"
    name = f"{leader.head}, {percent(leader.mean)}{interval}{flags(leader)}"
    if found is None:
        return f"{name}; there is no other head to compare it with."
    if leader.mean <= leader.baseline:
        return f"no head is above the majority baseline, {percent(leader.baseline)}; the best mean is that of {name}."
    if not found.known:
        return f"{name}, has the best mean; how sure that is cannot be said, since predictions are missing."
    parts = []
    if len(found.above):
        parts.append(_listed([f"{points(row.difference)} above {row.reference}" for row in found.above.itertuples()]))
    if len(found.equal):
        margin = points(analysis.options.margin)
        within = "a point" if margin == "1.0" else f"{margin} points"
        parts.append(f"equal to {_listed(list(found.equal['reference']))} within {within}")
    first = f"{name}: {'; '.join(parts)}." if parts else f"{name}, has the best mean, but is not shown to be best."
    return first + (f" {_undecided(analysis, found.rest)}" if len(found.rest) else "")


@dataclass(frozen=True)
class Standing:
    """How a head of a task stands to the others; each a part of `analysis.against`.

    known: whether there are intervals at all.
    above: those it is significantly above, among all pairs of the task; below: likewise; equal: those practically equal
        to it; rest: those of which nothing is decided.
    """

    known: bool
    above: pd.DataFrame
    below: pd.DataFrame
    equal: pd.DataFrame
    rest: pd.DataFrame


def standing(analysis: Analysis, task: str, head: str) -> Standing | None:
    """How a head stands to the others of a task; None where there is no other with runs in common."""
    others = against(analysis, task, head)
    others = others[others["n"] > 0]
    if others.empty:
        return None
    equal = others["equal"].astype(bool)
    apart = ~equal & (others["p_all"] < analysis.options.alpha)
    above = apart & (others["difference"] > 0)
    return Standing(
        bool(others["ci_low"].notna().any()),
        others[above],
        others[apart & ~above],
        others[equal],
        others[~equal & ~apart],
    )


def _undecided(analysis: Analysis, rest: pd.DataFrame) -> str:
    """Which heads are not told apart from the leader, and what would tell them."""
    text = f"Not decided against {_listed(list(rest['reference']))}"
    need = needs(analysis, rest)
    if need.what == "few":
        return f"{text}: fewer than {FEWEST_RUNS} runs in common."
    if need.what == "unknown":
        return f"{text}."
    aim = f"a difference of {points(need.target)} points"
    if need.what == "runs":
        return f"{text}: about {need.number} runs instead of {need.have} would find {aim}."
    if need.what == "rows":
        return f"{text}: more runs would hardly help; about {need.number:,} more rows would find {aim}."
    return f"{text}: neither more runs nor more rows alone would find {aim}."


@dataclass(frozen=True)
class Need:
    """What would decide what is not decided.

    what: "runs" (`number` instead of `have`), "rows" (`number` more), "neither" would alone, "few" (fewer runs in
        common than any test takes), or "unknown" (no variances).
    target: the difference, as a fraction, that is to be found.
    """

    what: str
    number: int = 0
    have: int = 0
    target: float = math.nan


def needs(analysis: Analysis, rest: pd.DataFrame) -> Need:
    """What it takes to tell a head from those it is not told from.

    Args:
        rest: rows of one task's comparisons, as of `Standing`.
    """
    if (rest["n"] < FEWEST_RUNS).any():
        return Need("few", have=int(rest["n"].min()))
    known = rest[rest["sd_examples"] > 0]
    if known.empty:
        return Need("unknown")
    hardest = next(known.loc[[known["difference"].abs().idxmin()]].itertuples())
    target = max(abs(hardest.difference), analysis.options.margin)
    alpha = analysis.options.alpha / multiplier(hardest.p, hardest.p_all, len(rest))
    variances = hardest.sd_examples**2, hardest.sd_runs**2
    what = needed(*variances, hardest.freedom, hardest.n, target, alpha)
    if what.runs <= MOST * hardest.n:
        return Need("runs", math.ceil(what.runs), hardest.n, target)
    if what.rows <= MOST:
        rows = analysis.cells.loc[analysis.cells["task"] == hardest.task, "examples"].max()
        return Need("rows", math.ceil(max(what.rows - 1, 0.1) * rows / 100) * 100, rows, target)
    return Need("neither", target=target)


def multiplier(p: float, adjusted: float, pairs: int) -> float:
    """By how much Holm's correction has multiplied a p; at least the number of pairs where it stopped at 1."""
    return adjusted / p if 0 < p <= adjusted < 1 else max(pairs, 1)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
