"""A race of heads: folds are given out in rounds, and a head that cannot be the better one gets no more of them.

Rules. In each round every head that is left is run on one more fold, by each of its settings that are left
(`statistics/settings_left.py`). Then it is compared with the leader, the head with the best mean so far, and is
dropped when the upper bound of its difference is below the margin: it is not better by more than the margin, whatever
else it is. Where the whole interval is below 0 it is beaten; where it lies within the margin, it is practically equal.
The race is over when one head is left, or all rounds have been run.

Looking after every round does not raise the error. Each bound is one-sided, and its level that of a group-sequential
test of one head against one rival (`statistics/boundaries.py`), which spends alpha / 2 / rivals, by a share of t^1.5
by the time that the share t of all rounds has been run. A head that is better than all others by more than the margin
is dropped only if one of the bounds fails; by Boole's inequality that happens in a share of alpha / 2 of all races at
most. The other half is kept for what the bounds do not see: a choice of settings that goes wrong in all folds of a
repeat alike, and runs that spread more than was said beforehand. Looks are taken to hang together as means do of which
each round is a new part; rounds of a second repeat hold the same rows as the first, so that looks hang together more
closely, which leaves the bounds on the safe side.

The variance of a difference D over R rounds is that of `statistics/uncertainty.py`, V_examples + V_runs, but that a
spread between runs, sigma, is set beforehand (`run_spread`; the race prints it), since a few rounds hardly tell it:

    R < 3:  V_runs = sigma^2 / R
    else:   V_runs = max(0, (4 sigma^2 + (R-1) (S^2 - W)) / (4 + R-1), S^2 - W) / R

so that sigma counts as much as four more rounds would (a moderated variance: Smyth 2004, Statistical Applications in
Genetics and Molecular Biology 3), unless the rounds say that it is too small. Degrees of freedom by Satterthwaite.
`benchmarks/race.py` simulates whole races.

Nearest of kin: Maron and Moore's Hoeffding races (1994), the F-race of Birattari et al. (2002), and Optuna's
WilcoxonPruner, which stops a trial when a signed-rank test over folds says that it is worse than the best one, at
p < 0.1 by default. It is not used here: it spends its whole p again at every step; the one-sided p of five folds is
never below 1/32, of three never below 1/8, so that no honest share of 5 % is ever reached in the first rounds, where
the predictions of examples tell most, of which it knows nothing; and without a margin it has no way to stop when two
heads are equal.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import special

from head2head.statistics.boundaries import levels
from head2head.statistics.settings_left import Scored
from head2head.statistics.uncertainty import DIGITS, DRAWS, MARGIN

ALPHA = 0.05
POWER_OF_SHARE = 1.5
BY_BOUNDS = 0.5  # share of alpha that the bounds may spend
TRUSTED = 3  # rounds from which on their own spread has a say
PRIOR = 4  # rounds that the spread set beforehand counts as much as


@dataclass(frozen=True)
class Rules:
    """What is fixed before a race.

    looks: numbers of rounds after which heads are compared; the last is that of all rounds.
    rivals: of a head: number of heads less 1.
    margin: a difference, as a fraction, below which heads are as good as each other.
    run_spread: standard deviation, as a fraction, over runs of a difference beyond what examples explain.
    alpha: share of races that may drop a head which is better than all others by more than the margin.
    """

    looks: tuple[int, ...]
    rivals: int
    margin: float = MARGIN
    run_spread: float = 0.02
    alpha: float = ALPHA

    @property
    def rounds(self) -> int:
        """Of a race that runs to its end."""
        return self.looks[-1]

    def level(self, rounds: int) -> float:
        """Of one bound, at the look after so many rounds."""
        times = tuple(look / self.rounds for look in self.looks)
        return levels(times, BY_BOUNDS * self.alpha / max(self.rivals, 1), POWER_OF_SHARE)[self.looks.index(rounds)]


class Against(NamedTuple):
    """A head's difference to another, over the rounds that both have run.

    difference, low, high: as fractions; the bounds are one-sided, each of the level that was asked for.
    examples, run: variance of `difference` over examples, and of one run beyond that.
    freedom: degrees of freedom of the variance.
    rounds: number of them.
    """

    other: str
    difference: float
    low: float
    high: float
    examples: float
    run: float
    freedom: float
    rounds: int

    def state(self, margin: float) -> str:
        """ "open" as long as the head may be better by more than the margin."""
        if self.high >= margin:
            return "open"
        return "beaten" if self.high < 0 else "equal" if self.low > -margin else "no better"


# What a head has scored, round by round; a dropped one has fewer rounds than those that are left.
Rounds = Sequence[Scored]


def against(head: Rounds, name: str, other: Rounds, rules: Rules, level: float) -> Against:
    """A head's difference to the one called `name`.

    Args:
        level: of each bound, one-sided.
    """
    common = min(len(head), len(other))
    pairs = list(zip(head[:common], other[:common], strict=True))
    scores = np.array([ours.score - theirs.score for ours, theirs in pairs])
    ids = np.concatenate([ours.clusters for ours, _ in pairs])
    influence = np.concatenate([ours.influence - theirs.influence for ours, theirs in pairs])
    examples, run, freedom = variance(scores, ids, influence, rules.run_spread)
    mean = float(scores.mean())
    half = float(special.stdtrit(freedom, 1 - level)) * math.sqrt(examples + run / common)
    return Against(name, mean, mean - half, mean + half, examples, run, freedom, common)


def variance(
    scores: np.ndarray, clusters: np.ndarray, influence: np.ndarray, run_spread: float
) -> tuple[float, float, float]:
    """V_examples, R V_runs and degrees of freedom of the mean difference, as the module's docstring has it.

    Args:
        scores: (R,) differences by round.
        clusters, influence: (N,) ids of clusters, and the influence of each, one round after the other.
    """
    rounds = len(scores)
    most = max(int((np.bincount(clusters) > 0).sum()) - 1, 1)
    examples = float(np.square(np.bincount(clusters, influence) / rounds).sum())
    if rounds < TRUSTED:
        return examples, run_spread**2, float(most)
    explained = (float(np.square(influence).sum()) - rounds * examples) / (rounds - 1)
    weight = PRIOR + rounds - 1
    beyond = float(scores.var(ddof=1)) - explained
    run = max(0.0, (PRIOR * run_spread**2 + (rounds - 1) * beyond) / weight, beyond)
    whole, spread = examples + run / rounds, examples**2 / most + ((run + explained) / rounds) ** 2 / weight
    return examples, run, float(np.clip(whole**2 / spread, weight, max(most, weight))) if spread > 0 else float(most)


class Look(NamedTuple):
    """How a race stands after a look.

    rounds: number of them that heads were compared on.
    level: of each bound.
    leader: head with the best mean.
    against: the other heads that were left before, compared with it.
    """

    rounds: int
    level: float
    leader: str
    against: dict[str, Against]


def look(left: Mapping[str, Rounds], rules: Rules) -> Look:
    """Compare the heads that are left, which have run the same rounds, with the leader."""
    rounds = len(next(iter(left.values())))
    level = rules.level(rounds)
    leader = max(left, key=lambda head: mean_of(left[head]))
    others = {name: against(left[name], leader, left[leader], rules, level) for name in left if name != leader}
    return Look(rounds, level, leader, others)


def mean_of(rounds: Rounds) -> float:
    """Mean score."""
    return math.fsum(run.score for run in rounds) / len(rounds)


def own(rounds: Rounds, rules: Rules, level: float) -> tuple[float, float]:
    """Two-sided interval of a head's own score.

    Args:
        level: coverage, such as 0.95.
    """
    nothing = [Scored(0.0, run.clusters, np.zeros_like(run.influence)) for run in rounds]
    found = against(rounds, "", nothing, rules, (1 - level) / 2)
    return found.low, found.high


def probability_best(heads: Mapping[str, Rounds], rules: Rules) -> dict[str, float]:
    """How likely each head has the highest true score, by `DRAWS` draws of a fixed generator, from a multivariate t
    around the differences to the leader, each over the rounds that it has run (cf. `uncertainty.probability_best`).
    The spread of runs is taken to be half the leader's and half the other head's."""
    names = list(heads)
    leader = max(names, key=lambda head: mean_of(heads[head]))
    others = [name for name in names if name != leader]
    if not others:
        return {leader: 1.0}
    found = [against(heads[name], leader, heads[leader], rules, 0.5) for name in others]
    runs = np.sqrt([one.run / one.rounds for one in found])
    examples = _shared(heads, others, leader)
    covariance = examples + np.outer(runs, runs) * (np.eye(len(others)) + 1) / 2
    values, vectors = np.linalg.eigh(covariance)
    rng, freedom = np.random.default_rng(0), min(one.freedom for one in found)
    normal = rng.standard_normal((DRAWS, len(others))) @ (vectors * np.sqrt(np.maximum(values, 0))).T
    drawn = [one.difference for one in found] + normal / np.sqrt(rng.chisquare(freedom, (DRAWS, 1)) / freedom)
    drawn = np.round(np.hstack([np.zeros((DRAWS, 1)), drawn]), DIGITS)
    best = drawn == drawn.max(axis=1, keepdims=True)  # heads of equal draws share the win
    shares = (best / best.sum(axis=1, keepdims=True)).mean(axis=0)
    return dict(zip([leader, *others], shares.tolist(), strict=True))


def _shared(heads: Mapping[str, Rounds], others: Sequence[str], leader: str) -> np.ndarray:
    """(H-1, H-1) covariance over examples of the mean differences to the leader, of unequal numbers of rounds."""
    size = 1 + max(int(run.clusters.max()) for rounds in heads.values() for run in rounds)
    averaged = np.zeros((len(others), size))
    for row, name in zip(averaged, others, strict=True):
        common = min(len(heads[name]), len(heads[leader]))
        for ours, theirs in zip(heads[name][:common], heads[leader][:common], strict=True):
            row[ours.clusters] += (ours.influence - theirs.influence) / common
    return averaged @ averaged.T


class Needed(NamedTuple):
    """What would close an open comparison, if the difference found were the true one.

    rounds: how many there would have to be in all, on the rows that there are; None if no number of them would do.
    rows: how many times the rows that there are; 1 where rounds are enough.
    """

    rounds: int | None
    rows: float


def needed(found: Against, rules: Rules, folds: int) -> Needed:
    """What it would take to bring an open head's upper bound below the margin.

    The first rounds, up to one for each fold, bring new rows as well as new runs; from then on there are only runs to
    be had. The level is that of the last look.
    """
    z = float(special.ndtri(1 - rules.level(rules.rounds)))
    wanted = ((rules.margin - min(found.difference, 0.0)) / z) ** 2
    all_rows = found.examples * min(found.rounds, folds) / folds
    if wanted <= 0:
        return Needed(None, math.inf)
    if (few := math.ceil((all_rows * folds + found.run) / wanted)) <= folds:
        return Needed(max(few, found.rounds + 1), 1.0)
    if all_rows < wanted:
        return Needed(max(math.ceil(found.run / (wanted - all_rows)), found.rounds + 1), 1.0)
    rest = wanted - found.run / rules.rounds
    return Needed(None, all_rows / (rest if rest > 0 else wanted / 2))
