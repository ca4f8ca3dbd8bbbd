"""What the comparisons say, in a sentence or two."""

from __future__ import annotations

import pandas as pd

from head2head.report.analysis import Analysis
from head2head.report.formats import signed


def headline(analysis: Analysis) -> str:
    """On how many tasks a head is significantly above or below the reference, and where none could have been."""
    comparisons = analysis.comparisons
    to_reference = comparisons["reference"] == comparisons["task"].map(analysis.references)
    tested = comparisons[to_reference & (comparisons["n"] > 0)]
    tasks = [task for task in analysis.tasks if task in set(tested["task"])]
    if not tasks:
        return "Nothing can be compared: no two heads have a task and a seed in common."
    names = {analysis.references[task] for task in tasks}
    reference = names.pop() if len(names) == 1 else "the task's reference head"
    above = tested[tested["significant"] & (tested["difference"] > 0)]
    below = tested[tested["significant"] & (tested["difference"] < 0)]
    if above.empty and below.empty:
        where = "On none of the " + f"{len(tasks)} tasks" if len(tasks) > 1 else f"On {tasks[0]} no head"
        verb = " does any head differ" if len(tasks) > 1 else " differs"
        text = f"{where}{verb} significantly from {reference}."
    else:
        text = (
            f"On {_count(above, tasks)} some head is significantly above {reference}{_largest(above, tasks)}; "
            f"on {_count(below, tasks)} is one significantly below{_largest(below, tasks)}."
        )
    return text + _impossible(tested, tasks, analysis.options.alpha)


def _count(found: pd.DataFrame, tasks: list[str]) -> str:
    count = found["task"].nunique()
    return f"{count} of {len(tasks)} task{'s' * (len(tasks) != 1)}" if count else "none"


def _largest(found: pd.DataFrame, tasks: list[str]) -> str:
    """Of each task the head that is furthest away: ` (max and 2 more on needle, +3.10 points)`."""
    parts = []
    for task in tasks:
        rows = found[found["task"] == task]
        if len(rows):
            row = rows.loc[rows["difference"].abs().idxmax()]
            more = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
            parts.append(f"{row['head']}{more} on {task}, {signed(row['difference'])} points")
    shown = "; ".join(parts[:4]) + (f"; and on {len(parts) - 4} more" if len(parts) > 4 else "")
    return f" ({shown})" if parts else ""


def _impossible(tested: pd.DataFrame, tasks: list[str], alpha: float) -> str:
    """The tasks on which no score at all could have been significant."""
    floors = tested.groupby("task")["floor"].min()
    never = [task for task in tasks if floors[task] >= alpha]
    if not never:
        return ""
    where = "" if len(never) == len(tasks) else f" on {', '.join(never)}"
    return f" With so few seeds no difference could have been significant{where}, however large."
