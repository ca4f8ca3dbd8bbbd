"""What a race says, in two sentences that a person can act on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from head2head.compare.standing import Row, undecided
from head2head.statistics.course import Course, Design
from head2head.statistics.race import Needed, needed


@dataclass(frozen=True)
class Answer:
    """The sentences, and the head to take; None where no head has a score."""

    what: str
    how_sure: str
    head: str | None

    def __str__(self) -> str:
        return f"{self.what}\n{self.how_sure}"


def answer(
    course: Course,
    found: Sequence[Row],
    design: Design,
    training_rows: int,
    baseline: float = -math.inf,
    ended: str = "",
) -> Answer:
    """The answer of a race as it stands.

    Args:
        found: the heads, as `standing.rows` orders them.
        training_rows: that there are to be had.
        baseline: score of the best constant prediction.
        ended: what in the budget has ended it; "" if nothing.
    """
    leader = next((row for row in found if row.state == "leads"), None)
    if leader is None:
        every = "No head has a score" if course.rounds else "No round is complete"
        return Answer(f"Not decided: {every.lower()}.", f"{ended or 'Every run has failed'}.".capitalize(), None)
    open_rows = undecided(found)
    nothing = leader.score is not None and leader.score <= baseline
    named = f"{leader.head}, {points(leader.score)} [{points(leader.low)}, {points(leader.high)}]"
    if nothing:
        named = f"no head is above the majority baseline, {points(baseline)}; {named}"
        named = named if open_rows else named.capitalize()
    if not open_rows:
        return Answer(f"{named}: {'; '.join(clauses(found, design.margin))}.", certainty(course, design), leader.head)
    rivals = listed([f"{row.head} ({points(abs(difference(row)))} below it)" for row in open_rows])
    others = "".join(f"; {clause}" for clause in clauses(found, design.margin))
    what = f"Not decided: {named}, leads, but {rivals} may be better by {margin_of(design)} or more{others}."
    return Answer(what, what_it_would_take(open_rows, design, course, training_rows, ended), leader.head)


def clauses(found: Sequence[Row], margin: float) -> list[str]:
    """What the leader is to the heads that have been dropped, the beaten ones first."""
    of = {state: [row for row in found if row.state == state] for state in ("beaten", "equal", "no better", "failed")}
    parts = []
    if of["beaten"]:
        parts.append(listed([f"{points(-difference(row))} above {row.head}" for row in of["beaten"]]))
    if of["equal"]:
        parts.append(f"equal to {listed([row.head for row in of['equal']])} within {margin_words(margin)}")
    if of["no better"]:
        shown = [f"{row.head} ({signed(difference(row))}, at most {signed(bound(row))})" for row in of["no better"]]
        parts.append(f"{listed(shown)} not better by {margin_words(margin)}")
    if of["failed"]:
        parts.append(f"all runs of {listed([row.head for row in of['failed']])} failed")
    return parts


def certainty(course: Course, design: Design) -> str:
    """How sure a decision is."""
    return (
        f"Decided after {course.rounds} of {design.rounds} rounds, by {course.runs} of the {design.runs} runs of the "
        f"full grid: at most {100 * design.alpha:.0f} % of such races drop a head that is better than all others by "
        f"more than {margin_of(design)}."
    )


def what_it_would_take(open_rows: Sequence[Row], design: Design, course: Course, training_rows: int, ended: str) -> str:
    """What would decide a race that is not decided: more rounds, or more rows."""
    needs = [needed(row.against, design.rules, design.folds) for row in open_rows if row.against is not None]
    before = f"{ended[:1].upper()}{ended[1:]}; " if ended else ""
    text = rows_needed(needs, training_rows) or rounds_needed(needs, design, course)
    return f"{before}{text if before else text[:1].upper() + text[1:]}, if the differences are what they look like."


def rows_needed(needs: Sequence[Needed], training_rows: int) -> str:
    """How many more rows would do; "" where runs are enough."""
    if all(need.rounds is not None for need in needs):
        return ""
    times = max(need.rows for need in needs)
    if times > 1000:
        return "no number of runs can decide this, nor any number of rows that one could get"
    more = round_up(training_rows * max(times - 1, 0.05))
    return f"no number of runs can decide this: about {more:,} more rows would, beside the {training_rows:,} there are"


def rounds_needed(needs: Sequence[Needed], design: Design, course: Course) -> str:
    """How many more rounds would do."""
    rounds = max(need.rounds or 0 for need in needs)
    more = max(rounds - course.rounds, 1)
    text = f"about {more} more round{'s' * (more > 1)} of {course.round_size} runs would decide it"
    return text if rounds <= design.rounds else f"{text} (repeats={-(-rounds // design.folds)})"


def round_up(number: float) -> int:
    """To two digits."""
    size = 10 ** max(len(str(int(number))) - 2, 0)
    return int(-(-number // size) * size)


def difference(row: Row) -> float:
    """To the leader."""
    return row.against.difference if row.against is not None else 0.0


def bound(row: Row) -> float:
    """The upper bound of the difference to the leader."""
    return row.against.high if row.against is not None else 0.0


def margin_of(design: Design) -> str:
    return margin_words(design.margin)


def margin_words(margin: float) -> str:
    """A margin in words.

    >>> margin_words(0.01), margin_words(0.005)
    ('a point', '0.5 points')
    """
    return "a point" if round(100 * margin, 6) == 1 else f"{100 * margin:g} points"


def points(value: float | None) -> str:
    """A fraction in points, with one digit."""
    return "-" if value is None else f"{100 * value:.1f}"


def signed(value: float) -> str:
    """A difference in points, with its sign."""
    return f"{100 * value:+.1f}"


def listed(parts: Sequence[str]) -> str:
    """Words in a row.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
