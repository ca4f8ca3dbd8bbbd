"""Which head to take over all tasks, how sure that is, and what would make it surer: two sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import pandas as pd

from head2head.report.analysis import Analysis, Kind, leader_of
from head2head.report.formats import percent
from head2head.report.headline import Need, needs, standing
from head2head.report.ranks import NOT_RANKED
from head2head.statistics.uncertainty import FEWEST_RUNS

ABOVE, BELOW, OPEN = "above", "below", "open"


def verdict(analysis: Analysis) -> list[str]:
    """Two sentences on the sentence heads and two on the token heads, as far as there are any.

    >>> verdict(analysis)
    ["Take mean: the best mean on rte, 68.2, and shown to be above every other head.", "More runs would not change ..."]

    Over several tasks the head with the best mean rank is named, or where not every head was run on every task the one
    with the most best means. It is above the others of a task where each difference is significant among all pairs, or
    practically none; below, where one head is significantly above it. WNLI is left out.
    """
    names = analysis.experiment.frame.groupby("task")["task_name"].first()
    sentences = []
    for kind in analysis.kinds:
        tasks = [task for task in kind.tasks if names[task] not in NOT_RANKED]
        of_kind = _of_kind(analysis, kind, tasks)
        several = len(analysis.kinds) > 1
        sentences += [f"{kind.name.capitalize()} heads: {of_kind[0]}" if several else of_kind[0], of_kind[1]]
    return [sentence for sentence in sentences if sentence]


def _of_kind(analysis: Analysis, kind: Kind, tasks: list[str]) -> tuple[str, str]:
    leaders = {task: leader for task in tasks if (leader := leader_of(analysis, task)) is not None}
    if not leaders:
        return "No head has a score.", "The failed runs are listed below, with their reasons."
    low = [task for task, leader in leaders.items() if leader.mean <= leader.baseline]
    if len(low) == len(leaders):
        first = f"No head is above the majority baseline{_on(low, tasks)}, so there is none to take."
        return first, "Before more runs are worth it, one run must learn: longer training, another rate, more rows."
    head, why = _taken(analysis, kind, {task: leader.head for task, leader in leaders.items()})
    if len(leaders) == 1:
        why += f", {percent(next(iter(leaders.values())).mean)}"
    found, wanted, alone = _standings(analysis, leaders, head)
    sure = [f"not above the majority baseline{_on(low, tasks)}"] * bool(low)
    sure += [text for text in (_counted(found, len(tasks)), _unsure(alone, tasks)) if text]
    return f"Take {head}: {why}; {', '.join(sure)}.", _surer(wanted, alone, len(tasks))


def _taken(analysis: Analysis, kind: Kind, leads: Mapping[str, str]) -> tuple[str, str]:
    """The head to take, and what for."""
    ranked = next((over for over in analysis.ranks if over.kind == kind.name), None)
    if ranked is not None and len(leads) > 1:
        head = str(ranked.mean_ranks.idxmin())
        return head, f"the best mean rank, {ranked.mean_ranks.min():.2f} over {len(ranked.tasks)} tasks"
    counts = Counter(leads.values())
    head = max(kind.heads, key=lambda name: counts[name])
    of = "" if len(leads) == 1 else f" on {counts[head]} of {len(leads)} tasks"
    return head, f"the best mean{of}"


def _standings(
    analysis: Analysis, tasks: Iterable[str], head: str
) -> tuple[dict[str, list[str]], dict[str, Need], dict[str, str]]:
    """Tasks by how the head stands in them; of the undecided what would decide them; of those of which nothing can be
    said, why."""
    found: dict[str, list[str]] = {ABOVE: [], BELOW: [], OPEN: []}
    wanted, alone = {}, {}
    for task in tasks:
        of_task = standing(analysis, task, head)
        if of_task is None:
            scored = analysis.cells[(analysis.cells["task"] == task) & (analysis.cells["n"] > 0)]
            alone[task] = "not run" if head not in set(scored["head"]) else "no other head"
        elif not of_task.known:
            alone[task] = "no predictions"
        elif len(of_task.below):
            found[BELOW].append(f"{task} ({_best(of_task.below)})")
        elif len(of_task.rest):
            found[OPEN].append(task)
            wanted[task] = needs(analysis, of_task.rest)
        else:
            found[ABOVE].append(task)
    return found, wanted, alone


def _best(below: pd.DataFrame) -> str:
    """The head that is furthest above."""
    return str(below.loc[below["difference"].idxmin(), "reference"])


def _counted(found: Mapping[str, list[str]], tasks: int) -> str:
    """How sure: `shown above every other head, or equal to it, on stsb`."""
    if tasks == 1:
        words = {ABOVE: "shown to be above every other head, or as good", OPEN: "not shown to be best"}
        words[BELOW] = f"below {', '.join(found[BELOW])}"
        return next((words[name] for name, members in found.items() if members), "")
    words = {ABOVE: "shown above or as good as every other on", BELOW: "below another on", OPEN: "undecided on"}
    return ", ".join(f"{words[name]} {', '.join(members)}" for name, members in found.items() if members)


def _unsure(alone: Mapping[str, str], tasks: list[str]) -> str:
    """Of which tasks nothing can be said, and why."""
    words = {
        "no predictions": "how sure that is{} cannot be said, since predictions are missing",
        "no other head": "with no other head to compare it with{}",
        "not run": "not run{}",
    }
    parts = []
    for why, text in words.items():
        members = [task for task, reason in alone.items() if reason == why]
        if members:
            parts.append(text.format(_on(members, tasks)))
    return ", ".join(parts)


def _surer(wanted: Mapping[str, Need], alone: Mapping[str, str], tasks: int) -> str:
    """What would make it surer."""
    parts, of = [], dict[str, list[str]]()
    for task, need in wanted.items():
        on = "" if tasks == 1 else f" on {task}"
        texts = {
            "few": f"at least {FEWEST_RUNS} runs instead of {need.have}{on}",
            "runs": f"about {need.number:,} runs instead of {need.have}{on}",
            "rows": f"about {need.number:,} more rows{on}",
        }
        of.setdefault(need.what, []).append(texts.get(need.what, task))
    listed = [*of.get("few", ()), *of.get("runs", ()), *of.get("rows", ())]
    if listed:
        parts.append(f"Surer with {', '.join(listed)}")
    if "neither" in of:
        on = "" if tasks == 1 else f"{' o' if parts else 'O'}n {', '.join(of['neither'])} "
        parts.append(f"{on.lstrip() or 'N'}{'n' * bool(on)}either more runs nor more rows alone would decide it")
    if "no predictions" in alone.values() or "unknown" in of:
        parts.append(
            f"{'t' if parts else 'T'}he predictions of every run would say how sure: run the report where the runs' "
            "folders are, or run the sweep again"
        )
    elif "no other head" in alone.values() and not parts:
        parts.append("Runs of a second head would say more")
    if not parts:
        return "What is shown here more runs would not make surer; another task or encoder might say otherwise."
    return "; ".join(parts) + "."


def _on(members: list[str], tasks: list[str]) -> str:
    """` on cola, rte`; nothing where there is but one task or it is all of them."""
    return "" if len(members) == len(tasks) else f" on {', '.join(members)}"
