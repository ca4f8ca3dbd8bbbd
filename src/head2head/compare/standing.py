"""How the heads of a race stand, in numbers: the rows of the live table, and what the answer is made of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from head2head.statistics.course import Course, Design
from head2head.statistics.race import Against, against, mean_of, own, probability_best

LEVEL = 0.95  # of the intervals that are shown


@dataclass(frozen=True)
class Row:
    """One head.

    rounds, runs: that it has run.
    score, low, high: mean over its rounds and its interval, as fractions; None before it has a score.
    best: how likely it is the best.
    state: leads, open, beaten, equal, "no better", or failed.
    against: its difference to the leader, with the bounds that it was dropped by, or those of the last look.
    """

    head: str
    rounds: int
    runs: int
    state: str
    score: float | None = None
    low: float | None = None
    high: float | None = None
    best: float | None = None
    against: Against | None = None


def rows(course: Course, design: Design) -> list[Row]:
    """Every head, those first that are left, the best of them first."""
    scored = {head: rounds for head, rounds in course.scored.items() if rounds and state_of(course, head) != "failed"}
    best = probability_best(scored, design.rules) if scored else {}
    found = [_row(course, design, head, best.get(head)) for head in design.settings]
    return sorted(found, key=lambda row: (row.state not in ("leads", "open"), row.score is None, -(row.score or 0.0)))


def _row(course: Course, design: Design, head: str, best: float | None) -> Row:
    runs = sum(map(len, course.settings[head]))
    row = Row(head, len(course.settings[head]), runs, state_of(course, head))
    scored = course.scored.get(head)
    if not scored or row.state == "failed":
        return row
    low, high = own(scored, design.rules, LEVEL)
    return Row(
        head, row.rounds, runs, row.state, mean_of(scored), low, high, best, against_leader(course, design, head)
    )


def state_of(course: Course, head: str) -> str:
    """A head's state; of two that were dropped by each other's like, that against the head that dropped it."""
    if head in course.dropped:
        return course.dropped[head].state
    return "leads" if head == course.leader else "open"


def against_leader(course: Course, design: Design, head: str) -> Against | None:
    """A head's difference to the leader of now. The head that dropped it may have lost the lead since: then it is
    computed anew, by the same level."""
    leader = course.leader
    if leader is None or head == leader:
        return None
    look = next((look for look in reversed(course.looks) if head in look.against), None)
    if look is None:
        return None
    if look.leader == leader:
        return look.against[head]
    return against(course.scored[head], leader, course.scored[leader], design.rules, look.level)


def undecided(found: Iterable[Row]) -> list[Row]:
    """Heads that may still be better than the leader by more than the margin."""
    return [row for row in found if row.state == "open"]
