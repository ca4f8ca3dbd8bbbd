"""Do the intervals of head2head.statistics.uncertainty cover? Simulated heads whose true difference is known.

    python benchmarks/coverage.py            # the cells that coverage.csv lacks, then all of them against the limits
    python benchmarks/coverage.py --short    # some cells of 200 examples, which are written nowhere

Latent model. Head h in run r answers example i of cluster c by a score with signal m_h + b_hr (b: the run's own
skill, normal), difficulty d_c + d_i common to the heads, the head's own view of the example e_hi and of its cluster
e_hc, and noise of the run on the example. Classes: the side of a threshold the score lies on. Values: signal x gold
plus the rest, gold rounded to fifths as in STS-B. Entities: each gold one is found or not, by its sentence's score.
Equal m make a true difference of zero by symmetry, whatever the metric; for unequal m the truth is the metric of
a large sample, averaged over run skills. Folds of one repeat share no cluster; folds of different repeats do.
"""

from __future__ import annotations

import argparse
import itertools
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from head2head.statistics import influence, uncertainty

METRICS = ("accuracy", "f1", "mcc", "spearman", "entity_f1")
FOLDS = 5
IN_CLUSTER = 4
RUN_SPREADS = {"zero": 0.0, "small": 0.03, "large": 0.15}
CHUNK = 400_000  # predictions of a head that are held at a time


class Cell(NamedTuple):
    """One design: `runs` runs over `examples`, by folds ("cv": 5 a repeat) or all on the same set ("seeds")."""

    metric: str
    design: str
    runs: int
    examples: int
    clustered: bool
    spread: str


def gold_of(cell: Cell, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    if cell.metric == "spearman":
        return np.round(np.clip(2.5 + 1.5 * rng.standard_normal(shape), 0, 5) * 5) / 5
    if cell.metric == "entity_f1":
        return rng.poisson(1.7, shape)
    return (rng.random(shape) < 0.4).astype(int)


def answers(cell: Cell, gold: np.ndarray, skill: np.ndarray, rest: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Predictions of one head (or sentences' counts): all arguments broadcast to (simulations, runs, examples)."""
    if cell.metric == "spearman":
        return skill * (gold - 2.5) / 1.5 + rest
    if cell.metric == "entity_f1":
        score = stats.norm.cdf(skill + 0.5 * rest)
        right = rng.binomial(np.broadcast_to(gold, score.shape), score)
        return np.stack([right, rng.poisson(0.6 * (1 - score)), gold - right], axis=-1)
    return (skill * (2 * gold - 1) + rest > 0.2).astype(int)


def scored(cell: Cell, gold: np.ndarray, answer: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(simulations, runs) scores and (simulations, runs, clusters of the run) influences."""
    size = IN_CLUSTER if cell.clustered else 1
    if cell.metric == "spearman":
        rho, u = influence.spearman(np.broadcast_to(gold, answer.shape), answer)
        u = u.reshape(*u.shape[:-1], -1, size).sum(axis=-1)
        return rho, u * np.sqrt(u.shape[-1] / (u.shape[-1] - 1))
    if cell.metric == "entity_f1":
        sums, score = influence.entity_sums(answer), influence.entity_f1
    else:
        sums = influence.class_sums(np.broadcast_to(gold, answer.shape), answer, 2)
        score = influence.OF_CLASSES[cell.metric]
    sums = sums.reshape(*sums.shape[:-2], -1, size, sums.shape[-1]).sum(axis=-2)
    return score(sums.sum(axis=-2)), influence.delete_one(score, sums)


def draw(cell: Cell, means: tuple[float, float], count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Differences of two heads: (count, runs) scores, (count, runs, all clusters) influences, 0 where absent."""
    size = IN_CLUSTER if cell.clustered else 1
    clusters = cell.examples // size
    members = folds(cell, clusters, rng)  # (runs, clusters of a run)
    rows = (members[..., None] * size + np.arange(size)).reshape(cell.runs, -1)

    def effect(own: float, shared: float) -> np.ndarray:
        values = own * rng.standard_normal((count, cell.examples))
        return values + (shared * np.repeat(rng.standard_normal((count, clusters)), size, axis=1) if size > 1 else 0)

    gold, difficulty = gold_of(cell, rng, (count, cell.examples)), effect(0.6, 0.5)
    scores, influences = [], []
    for mean in means:
        view = difficulty + effect(0.4, 0.4)
        skill = mean + RUN_SPREADS[cell.spread] * rng.standard_normal((count, cell.runs, 1))
        rest = view[:, rows] + 0.5 * rng.standard_normal((count, *rows.shape))
        score, u = scored(cell, gold[:, rows], answers(cell, gold[:, rows], skill, rest, rng))
        whole = np.zeros((count, cell.runs, clusters))
        whole[:, np.arange(cell.runs)[:, None], members] = u
        scores.append(score)
        influences.append(whole)
    return scores[0] - scores[1], influences[0] - influences[1]


def folds(cell: Cell, clusters: int, rng: np.random.Generator) -> np.ndarray:
    if cell.design == "seeds":
        return np.tile(np.arange(clusters), (cell.runs, 1))
    repeats = [rng.permutation(clusters).reshape(FOLDS, -1) for _ in range(cell.runs // FOLDS)]
    return np.concatenate(repeats)


def truth(cell: Cell, means: tuple[float, float]) -> float:
    """Large-sample difference, averaged over skills by Gauss-Hermite quadrature."""
    if means[0] == means[1]:
        return 0.0
    rng, n = np.random.default_rng(0), 200_000
    nodes, weights = np.polynomial.hermite_e.hermegauss(5 if RUN_SPREADS[cell.spread] else 1)
    gold = gold_of(cell, rng, (n,))
    variance = 0.6**2 + 0.4**2 + 0.5**2 + (0.5**2 + 0.4**2 if cell.clustered else 0)
    rest = np.sqrt(variance) * rng.standard_normal(n)
    single = cell._replace(clustered=False)
    found = []
    for mean in means:
        skill = mean + RUN_SPREADS[cell.spread] * nodes
        scores = [scored(single, gold, answers(cell, gold, s, rest, np.random.default_rng(1)))[0] for s in skill]
        found.append(np.average(scores, weights=weights))
    return float(found[0] - found[1])


def measure(cell: Cell, simulations: int, seed: int, means: tuple[float, float] = (0.9, 0.9)) -> dict[str, float]:
    """False alarms (or misses of the true difference) at 5 %, and the width against an oracle's."""
    rng, true = np.random.default_rng(seed), truth(cell, means)
    chunk = max(1, CHUNK // (cell.examples * cell.runs))
    estimates, errors, freedoms = [], [], []
    for start in range(0, simulations, chunk):
        scores, u = draw(cell, means, min(chunk, simulations - start), rng)
        parts = uncertainty.components(scores, u)
        estimates.append(scores.mean(axis=-1))
        errors.append(np.sqrt(parts.variance))
        freedoms.append(parts.freedom)
    estimate, error, freedom = (np.concatenate(x) for x in (estimates, errors, freedoms))
    half = stats.t.ppf(0.975, freedom) * error
    oracle = 1.959964 * estimate.std(ddof=1)
    missed = float(np.mean(np.abs(estimate - true) > half))
    return {"missed": missed, "width": float(half.mean() / oracle), "bias": float(estimate.mean() - true)}


def cells() -> list[Cell]:
    """What takes too long is left out: 9,000 examples stand in clusters, with few runs; 20 seeds on 1,000 too."""
    found = []
    for metric, design, runs, examples, clustered, spread in itertools.product(
        METRICS, ("cv", "seeds"), (5, 10, 20), (200, 1000, 9000), (False, True), RUN_SPREADS
    ):
        large = examples == 9000 or (examples == 1000 and runs == 20 and design == "seeds")
        if (large and not clustered) or (examples == 9000 and runs > (10 if design == "cv" else 5)):
            continue
        found.append(Cell(metric, design, runs, examples, clustered, spread))
    return found


def short() -> list[Cell]:
    """The cells of the suite's short version."""
    return [c for c in cells() if (c.runs, c.examples, c.clustered) == (10, 200, True) and c.spread != "small"]


def both(job: tuple[int, Cell, int]) -> dict[str, object]:
    """Equal heads, and a difference of several points (not for 9,000 examples, where it costs most)."""
    seed, cell, simulations = job
    null = measure(cell, simulations, seed)
    row = {**cell._asdict(), "simulations": simulations, "false_alarms": null["missed"], "width": null["width"]}
    if cell.examples < 9000:
        other = measure(cell, simulations // 2, 10_000 + seed, (1.0, 0.85))
        row |= {"coverage": 1 - other["missed"], "width_of_difference": other["width"], "bias": other["bias"]}
    return row


def summary(table: pd.DataFrame) -> str:
    """What the procedure is admitted by: each figure, its limit, and whether it keeps it."""
    few = (table["runs"] < 10) | (table["examples"] < 200)
    lines = [f"{len(table)} of {len(cells())} cells, {int(table['simulations'].sum()):,} simulated comparisons"]
    for what, value, limit, kept in (
        ("false alarms at 5 %, on average", table["false_alarms"].mean(), 0.06, table["false_alarms"].mean() <= 0.06),
        ("coverage of the 95 % interval, on average", table["coverage"].mean(), 0.93, table["coverage"].mean() >= 0.93),
    ):
        lines.append(f"{what}: {value:.2%} (limit {limit:.0%}): {'kept' if kept else 'NOT KEPT'}")
    for what, part, limit in (("10 runs or more", table[~few], 0.075), ("fewer runs", table[few], 0.09)):
        above = part[part["false_alarms"] > limit]
        # A cell at the limit shows more than it half of the time: what 1 in 100 such cells would not show is beyond.
        sure = stats.binom.isf(0.01, above["simulations"], limit) / above["simulations"] < above["false_alarms"]
        lines.append(
            f"worst cell of {what}: {part['false_alarms'].max():.1%} (limit {limit:.1%}): "
            f"{len(above)} of {len(part)} above, {int(sure.sum())} of them beyond chance"
        )
    known, below = table.dropna(subset="coverage"), table[table["coverage"] < 0.93]
    sure = stats.binom.ppf(0.01, below["simulations"] // 2, 0.93) / (below["simulations"] // 2) > below["coverage"]
    lines.append(
        f"worst coverage: {known['coverage'].min():.1%} (limit 93%): {len(below)} of {len(known)} below, "
        f"{int(sure.sum())} of them beyond chance"
    )
    width = table["width"].mean()
    lines.append(f"mean width over an oracle's: {width:.2f} (limit 1.4): {'kept' if width <= 1.4 else 'NOT KEPT'}")
    return "\n".join(lines)


def done(path: Path | None) -> pd.DataFrame:
    """The rows of an earlier run."""
    return pd.read_csv(path) if path is not None and path.exists() else pd.DataFrame(columns=list(Cell._fields))


def left(chosen: list[Cell], finished: pd.DataFrame) -> list[tuple[int, Cell]]:
    """The cells that an earlier run has not done, each with its number, from which its random numbers come."""
    known = {Cell(*row) for row in finished[list(Cell._fields)].itertuples(index=False)}
    return [(number, cell) for number, cell in enumerate(chosen) if cell not in known]


def main() -> None:
    """The table, written as cells finish, and its summary on standard output."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="some cells of 200 examples")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--simulations", type=int, default=1000, help="a cell; at most 300 of 9,000 examples")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("coverage.csv"))
    options = parser.parse_args()
    output = None if options.short else options.output
    chosen = sorted(short() if options.short else cells(), key=lambda c: c.runs * c.examples)
    table = done(output)
    jobs = [
        (number, cell, min(options.simulations, 300) if cell.examples == 9000 else options.simulations)
        for number, cell in left(chosen, table)
    ]
    with ProcessPoolExecutor(options.workers) as pool:
        for row in pool.map(both, jobs):
            table = pd.concat([table, pd.DataFrame([row])], ignore_index=True)
            if output is not None:
                table.to_csv(output, index=False, float_format="%.4f")
    print(table.to_markdown(index=False, floatfmt=".3f") if options.short else f"{output}: {len(table)} cells")
    print(summary(table))


if __name__ == "__main__":
    main()
