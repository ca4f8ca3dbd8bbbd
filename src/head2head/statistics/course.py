"""The course of a race: what it has decided, and which runs it needs next. A function of the results alone.

A race that was killed is started from the beginning, and finds the results it had: it makes the same decisions again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from head2head.statistics import settings_left
from head2head.statistics.race import Against, Look, Rules, look, mean_of
from head2head.statistics.settings_left import FoldRuns, Scored


class Entry(NamedTuple):
    """A run of a race: a head by one of its settings, by number, in a round: round repeat x folds + fold."""

    head: str
    setting: int
    round: int


class Failed(NamedTuple):
    """A run without a score."""

    why: str


Known = Callable[[Entry], Scored | Failed | None]


@dataclass(frozen=True)
class Design:
    """What a race is run over.

    settings: head -> number of its settings.
    folds, repeats: the rounds, in this order: all folds of the first repeat, then those of the next.
    margin, run_spread, alpha: see `race.Rules`.
    """

    settings: Mapping[str, int]
    folds: int
    repeats: int
    margin: float
    run_spread: float
    alpha: float = 0.05

    @property
    def rules(self) -> Rules:
        looks = tuple(sorted({self.usable(rounds) for rounds in range(1, self.rounds + 1)} - {0}))
        return Rules(looks, len(self.settings) - 1, self.margin, self.run_spread, self.alpha)

    @property
    def rounds(self) -> int:
        return self.folds * self.repeats

    @property
    def runs(self) -> int:
        """Of the full grid."""
        return self.rounds * sum(self.settings.values())

    @cached_property
    def chooses(self) -> bool:
        """Whether some head has several settings: then a single fold of a repeat scores nothing."""
        return max(self.settings.values()) > 1

    def usable(self, rounds: int) -> int:
        """How many of the rounds that have been run heads can be compared on."""
        return rounds - (self.chooses and rounds % self.folds == 1)


@dataclass
class Lane:
    """One head's part of a race.

    settings: those that have not failed.
    repeats: what has been run, fold by fold of each repeat.
    """

    settings: list[int]
    repeats: list[list[FoldRuns]] = field(default_factory=list)

    def begin(self, repeat: int) -> None:
        """Open a repeat that is not open yet."""
        if len(self.repeats) == repeat:
            self.repeats.append([])

    def to_run(self, run_spread: float) -> list[int]:
        """Settings to be run in the next fold."""
        return settings_left.to_run(self.repeats[-1], self.settings, run_spread)

    def add(self, runs: Mapping[int, Scored | Failed]) -> None:
        """A fold's runs. A setting that fails once is out, in all folds."""
        self.settings = [s for s in self.settings if not isinstance(runs.get(s), Failed)]
        self.repeats[-1].append({s: run for s, run in runs.items() if isinstance(run, Scored)})

    def chosen(self, rounds: int, run_spread: float) -> list[int]:
        """The setting chosen for each of the first rounds by the other folds of its repeat."""
        found: list[int] = []
        for folds in self.repeats:
            for fold in range(min(len(folds), rounds - len(found))):
                setting = settings_left.choice(folds, self.settings, run_spread, fold)
                assert setting is not None  # `usable` leaves out a repeat of one fold where there is a choice
                found.append(setting)
        return found

    def scored(self, chosen: Sequence[int]) -> list[Scored]:
        """The runs of the settings chosen."""
        folds = [fold for repeat in self.repeats for fold in repeat]
        return [fold[setting] for fold, setting in zip(folds, chosen, strict=False)]


class Dropped(NamedTuple):
    """Why a head runs no more.

    state: beaten, equal, "no better", or failed, as no run of it has a score.
    after: number of rounds that it has run.
    against: its difference to the leader then; None if it has failed.
    """

    state: str
    after: int
    against: Against | None


@dataclass
class Course:
    """How a race has gone.

    left: heads that are not dropped.
    dropped: the others.
    rounds: number of them that are complete.
    chosen: head -> setting chosen for each round that counts.
    scored: head -> the runs of these settings.
    settings: head -> for each round the settings that were run.
    looks: at the heads that were left.
    wanted: runs that the next round needs and that have no result yet; none when the race is over.
    """

    left: list[str]
    dropped: dict[str, Dropped] = field(default_factory=dict)
    rounds: int = 0
    chosen: dict[str, list[int]] = field(default_factory=dict)
    scored: dict[str, list[Scored]] = field(default_factory=dict)
    settings: dict[str, list[list[int]]] = field(default_factory=dict)
    looks: list[Look] = field(default_factory=list)
    wanted: list[Entry] = field(default_factory=list)
    round_size: int = 0

    @property
    def over(self) -> bool:
        return not self.wanted

    @property
    def decided(self) -> bool:
        """Whether no head is left but one."""
        return len(self.left) <= 1

    @property
    def leader(self) -> str | None:
        """Head with the best mean among those left; None before the first look."""
        return max(self.left, key=lambda head: mean_of(self.scored[head])) if self.looks and self.left else None

    @property
    def runs(self) -> int:
        """Of all complete rounds."""
        return sum(len(run) for rounds in self.settings.values() for run in rounds)


def replay(design: Design, known: Known) -> Course:
    """Run a race as far as results are known.

    Args:
        known: what came of a run; None while it has no result.
    """
    course = Course(list(design.settings), settings={head: [] for head in design.settings})
    lanes = {head: Lane(list(range(count))) for head, count in design.settings.items()}
    for number in range(design.rounds):
        entries: dict[Entry, Scored | Failed | None] = {}
        for head in course.left:
            lanes[head].begin(number // design.folds)
            entries |= {(e := Entry(head, s, number)): known(e) for s in lanes[head].to_run(design.run_spread)}
        course.wanted = [entry for entry, result in entries.items() if result is None]
        course.round_size = len(entries)
        if course.wanted:
            return course
        _close_round(design, course, lanes, entries)
        if course.decided:
            break
    return course


def _close_round(
    design: Design, course: Course, lanes: Mapping[str, Lane], entries: Mapping[Entry, Scored | Failed | None]
) -> None:
    """Take in a round whose runs are done, and look at the heads where that says something new."""
    course.rounds += 1
    for head in list(course.left):
        runs = {entry.setting: run for entry, run in entries.items() if entry.head == head and run is not None}
        course.settings[head].append(list(runs))
        lanes[head].add(runs)
        if not lanes[head].settings:
            course.left.remove(head)
            course.dropped[head] = Dropped("failed", course.rounds, None)
    usable, before = design.usable(course.rounds), course.looks[-1].rounds if course.looks else 0
    if not course.left or usable == before:
        return
    for head in course.left:
        course.chosen[head] = lanes[head].chosen(usable, design.run_spread)
        course.scored[head] = lanes[head].scored(course.chosen[head])
    course.looks.append(look({head: course.scored[head] for head in course.left}, design.rules))
    for head, found in course.looks[-1].against.items():
        if (state := found.state(design.margin)) != "open":
            course.left.remove(head)
            course.dropped[head] = Dropped(state, course.rounds, found)
