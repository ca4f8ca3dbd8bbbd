"""Does the race of `head2head compare` keep its word? Whole races are simulated, of heads with known true scores.

    python benchmarks/race.py --output benchmarks/race.csv    # every cell; under ten minutes on a core
    python benchmarks/race.py --short             # a few cells
    python benchmarks/race.py --replay NAME       # the race, run on the results of the full grid of experiments/NAME

Examples, heads and runs are those of `benchmarks/coverage.py`; there are five heads. Where a cell is
    boundary: the best head is better than the four others by just the margin, the case in which it is dropped most
        easily; the share of races that drop it may be 5 %.
    apart: the heads are 0, 0.5, 1.5, 3 and 6 points below the best.
    equal: all are equally good.
Cells with settings give every head three, of which one is best, one a point worse and one four points; scores are
those of the setting that the other folds choose. `run_spread` is the true standard deviation over runs of the
difference of two heads, in points, beyond what examples explain; the race is told 2 throughout.
"""

from __future__ import annotations

import argparse
import functools
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import coverage
import numpy as np
import pandas as pd
from scipy import stats

from head2head.statistics.course import Course, Design, Entry, replay
from head2head.statistics.settings_left import Scored

MARGIN = 0.01
TOLD = 0.02  # the run_spread that races are given
HEADS = 5
BELOW = {"boundary": (0, 1, 1, 1, 1), "apart": (0, 0.5, 1.5, 3, 6), "equal": (0,) * HEADS}  # points below the best
SETTINGS = (0, 1, 4)  # points that a head's settings are below its best
BASE = 0.9  # skill of a head that is one point below the best
METRICS = ("accuracy", "f1", "mcc", "spearman")


class Cell(NamedTuple):
    """One kind of race. run_spread in points; settings: whether heads have three settings or one."""

    metric: str
    examples: int
    folds: int
    repeats: int
    run_spread: float
    truth: str
    settings: bool

    def design(self) -> Design:
        settings = {f"head{h}": len(SETTINGS) if self.settings else 1 for h in range(HEADS)}
        return Design(settings, self.folds, self.repeats, MARGIN, TOLD)


@functools.cache
def curve(metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Skills, and the score of each in a large sample."""
    cell = coverage.Cell(metric, "cv", 5, 1, False, "zero")
    rng = np.random.default_rng(0)
    gold = coverage.gold_of(cell, rng, (200_000,))
    rest = np.sqrt(0.6**2 + 0.4**2 + 0.5**2) * rng.standard_normal(gold.shape)
    skills = np.linspace(0.2, 2.2, 21)
    return skills, np.array([large_score(metric, gold, coverage.answers(cell, gold, s, rest, rng)) for s in skills])


def large_score(metric: str, gold: np.ndarray, answers: np.ndarray) -> float:
    if metric == "spearman":
        return float(stats.spearmanr(gold, answers)[0])
    sums = coverage.influence.class_sums(gold, answers, 2).sum(axis=0)
    return float(coverage.influence.OF_CLASSES[metric](sums))


def score_at(metric: str, skill: np.ndarray, spread: float) -> np.ndarray:
    """Mean score over runs whose skills spread so."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(7)
    skills, scores = curve(metric)
    return np.interp(np.asarray(skill)[..., None] + spread * nodes, skills, scores) @ weights / weights.sum()


@functools.cache
def skills_of(metric: str, run_spread: float, below: tuple[float, ...]) -> tuple[np.ndarray, float]:
    """Skills of heads so many points below the best, and the spread of skills that gives the spread of differences."""
    skills, scores = curve(metric)
    slope = np.interp(BASE + 0.05, skills, scores) - np.interp(BASE - 0.05, skills, scores)
    spread = run_spread / 100 / np.sqrt(2) / (slope / 0.1)
    scores = score_at(metric, skills, spread)
    best = np.interp(BASE, skills, scores) + MARGIN
    return np.interp(best - np.array(below) / 100, scores, skills), spread


class Simulated:
    """The runs of one race, drawn when the race asks for them."""

    def __init__(self, cell: Cell, seed: int):
        self.cell, self.rng = cell, np.random.default_rng(seed)
        self.like = coverage.Cell(cell.metric, "cv", 5, cell.examples, False, "zero")
        n = cell.examples
        self.gold = coverage.gold_of(self.like, self.rng, (n,))
        difficulty = 0.6 * self.rng.standard_normal(n)
        self.views = difficulty + 0.4 * self.rng.standard_normal((HEADS, n))
        self.folds = [np.array_split(self.rng.permutation(n), cell.folds) for _ in range(cell.repeats)]
        self.ways = [self.rng.permutation(len(SETTINGS)) for _ in range(HEADS)]

    def __call__(self, entry: Entry) -> Scored:
        head, cell = int(entry.head.removeprefix("head")), self.cell
        repeat, fold = divmod(entry.round, cell.folds)
        rows = np.sort(self.folds[repeat][fold])
        worse = SETTINGS[self.ways[head][entry.setting]] if cell.settings else 0
        below = tuple(points + worse for points in BELOW[cell.truth])
        skills, spread = skills_of(cell.metric, cell.run_spread, below)
        skill = skills[head] + spread * self.rng.standard_normal()
        rest = self.views[head, rows] + 0.5 * self.rng.standard_normal(len(rows))
        answers = coverage.answers(self.like, self.gold[rows], skill, rest, self.rng)
        score, influence = coverage.scored(self.like, self.gold[rows], answers)
        return Scored(float(score), rows, influence)


def outcome(cell: Cell, course: Course) -> dict[str, float]:
    """What a race has come to. The true best is head0 (of equal ones any)."""
    below = np.array(BELOW[cell.truth])
    winner = int(str(course.leader).removeprefix("head"))
    dropped = {int(head.removeprefix("head")): why for head, why in course.dropped.items()}
    equal = [(head, why) for head, why in dropped.items() if why.state == "equal" and why.against is not None]
    wrong = [abs(below[h] - below[int(w.against.other.removeprefix("head"))]) > 1 for h, w in equal if w.against]
    return {
        "false_drop": float(cell.truth != "equal" and 0 in dropped and below[1] >= 1),
        "decided": float(course.decided),
        "winner_best": float(below[winner] == 0),
        "winner_within_margin": float(below[winner] <= 1),
        "runs_saved": 1 - course.runs / cell.design().runs,
        "equal_claims": len(equal),
        "wrong_equal_claims": sum(wrong),
    }


def measure(cell: Cell, races: int, seed: int) -> dict[str, object]:
    """Averages over simulated races; of claims of equality the sums."""
    found = pd.DataFrame([outcome(cell, replay(cell.design(), Simulated(cell, seed + i))) for i in range(races)])
    claims = found[["equal_claims", "wrong_equal_claims"]].sum()
    return {**cell._asdict(), "races": races, **found.drop(columns=claims.index).mean(), **claims}


def cells() -> list[Cell]:
    """Boundaries over metrics, examples, designs and spreads; the rest over less."""
    found = [
        Cell(metric, examples, *shape, spread, "boundary", False)
        for metric, examples, shape, spread in itertools.product(METRICS, (200, 1000, 9000), ((5, 2), (10, 1)), (0, 2))
    ]
    found += [Cell("accuracy", n, 5, 2, 3, "boundary", False) for n in (1000, 9000)]
    found += [Cell("accuracy", n, 5, 2, s, "boundary", True) for n, s in itertools.product((1000, 9000), (0, 2))]
    found += [
        Cell("accuracy", n, 5, 2, spread, truth, settings)
        for truth, n, spread, settings in itertools.product(("apart", "equal"), (2500, 9000), (0, 1), (False, True))
    ]
    return found


def short() -> list[Cell]:
    """The cells of the suite's short version."""
    return [
        Cell("accuracy", 1000, 5, 2, 2, "boundary", False),
        Cell("accuracy", 1000, 5, 1, 0, "boundary", True),
        Cell("mcc", 1000, 5, 1, 2, "boundary", False),
        Cell("accuracy", 9000, 5, 1, 1, "apart", False),
    ]


def summary(table: pd.DataFrame) -> str:
    """What the race is admitted by."""
    boundary = table[(table["truth"] == "boundary")]
    within = boundary[boundary["run_spread"] <= 100 * TOLD]
    lines = [f"{int(table['races'].sum())} races in {len(table)} cells"]
    for name, rows in (
        ("runs spread as told or less", within),
        ("runs spread by 3 points, told 2", boundary[boundary["run_spread"] > 100 * TOLD]),
    ):
        if len(rows):
            drops = float((rows["false_drop"] * rows["races"]).sum())
            races, worst = rows["races"].sum(), rows.loc[rows["false_drop"].idxmax()]
            lines.append(
                f"best head, better by the margin, dropped ({name}): {drops / races:.2%} of {races} races; "
                f"worst cell {worst['false_drop']:.1%} of {worst['races']} "
                f"({worst['metric']}, {worst['examples']} examples, {worst['folds']} x {worst['repeats']}, "
                f"spread {worst['run_spread']})"
            )
    for truth in ("apart", "equal"):
        rows = table[table["truth"] == truth]
        if len(rows):
            lines.append(
                f"{truth}: {rows['runs_saved'].mean():.0%} of runs saved, decided {rows['decided'].mean():.0%}, winner "
                f"best {rows['winner_best'].mean():.0%}, within the margin {rows['winner_within_margin'].mean():.0%}"
            )
    claims = table[["equal_claims", "wrong_equal_claims"]].sum()
    lines.append(f"claims of equality: {claims.iloc[0]:.0f}, of heads more than the margin apart: {claims.iloc[1]:.0f}")
    return "\n".join(lines)


def run(chosen: Sequence[Cell], races: int, output: Path | None = None) -> pd.DataFrame:
    """Measure cells, as many races in each."""
    rows: list[dict[str, object]] = []
    for number, cell in enumerate(chosen):
        rows.append(measure(cell, races, 1_000_000 * (number + 1)))
        if output:
            pd.DataFrame(rows).to_csv(output, index=False, float_format="%.4f")
    return pd.DataFrame(rows)


def main() -> None:
    """The table and its summary on standard output."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a few cells")
    parser.add_argument("--races", type=int, default=150, help="in each cell")
    parser.add_argument("--output", type=Path, help="a CSV file, written as cells finish")
    parser.add_argument("--replay", metavar="NAME", help="an experiment with the results of a full grid over folds")
    parser.add_argument("--run-spread", type=float, default=TOLD, help="what the replayed race is told")
    options = parser.parse_args()
    if options.replay:
        from replayed import replayed

        print(replayed(options.replay, MARGIN, options.run_spread).to_markdown(index=False, floatfmt=".2f"))
        return
    table = run(short() if options.short else cells(), options.races, options.output)
    print(table.to_markdown(index=False, floatfmt=".3f"))
    print(summary(table))


if __name__ == "__main__":
    main()
