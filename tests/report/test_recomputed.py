"""Every figure of a report once more, from results.jsonl alone, by scipy and by counting."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from synthetic import make_result, write_experiment

from head2head.report.analysis import Options
from head2head.report.report import report
from head2head.report.runs import load

REPOSITORY = Path(__file__).parents[2]
COMMITTED = sorted(REPOSITORY.glob("experiments/*/results.jsonl"))
CLOSE = 1e-9


def made_up(folder: Path) -> Path:
    """Three tasks, four heads, missing seeds, failures, collapsed runs and ties."""
    rng = np.random.default_rng(5)
    offsets = {"pooler": 0.0, "mean": 0.02, "max": -0.03, "attention": 0.01}
    results = [
        make_result(
            task,
            head,
            seed,
            None if (task, head, seed) == ("rte", "max", 3) else round(0.7 + offset + rng.normal(0, 0.01), 2),
            collapsed=(head, seed) == ("max", 1),
        )
        for task, seeds in (("rte", 8), ("cola", 5), ("sst2", 3))
        for head, offset in offsets.items()
        for seed in range(seeds - (head == "attention"))
    ]
    rng.shuffle(results)
    return write_experiment(folder, results, "made_up") / "results.jsonl"


@pytest.fixture(
    scope="module", params=["made up", *COMMITTED], ids=lambda param: getattr(param, "parent", Path(str(param))).name
)
def written(request, tmp_path_factory):
    """The tables of an experiment, and its finished scores and failures by task and head from the file itself."""
    folder = tmp_path_factory.mktemp("recomputed")
    path = made_up(folder) if request.param == "made up" else request.param
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path.parents[2])
        report(path.parent.name, Options(), folder / "out")
        names = load(path.parent.name).frame.set_index("key")[["task", "head"]]
    runs = {}
    for line in path.read_text().splitlines():
        run = json.loads(line)
        if run["key"] not in runs or run["failed"] is None or runs[run["key"]]["failed"] is not None:
            runs[run["key"]] = run
    scores, failed = defaultdict(dict), defaultdict(int)
    for key in names.index:
        cell = tuple(names.loc[key])
        if runs[key]["failed"] is None:
            scores[cell][runs[key]["seed"]] = runs[key]["metrics"]["last"][runs[key]["split"]][runs[key]["metric"]]
        else:
            failed[cell] += 1
    return folder / "out", scores, failed


def test_every_cell_is_recomputed(written):
    folder, scores, failed = written
    table = pd.read_csv(folder / "table.csv")
    for cell in table.itertuples():
        values = [score for _, score in sorted(scores[cell.task, cell.head].items())]
        assert (cell.n, cell.failed) == (len(values), failed[cell.task, cell.head])
        if not values:
            assert np.isnan(cell.mean)
            continue
        assert cell.mean == pytest.approx(np.mean(values), abs=CLOSE)
        others = [np.mean(list(scores[cell.task, head].values())) for t, head in scores if t == cell.task]
        ranks = stats.rankdata(-np.round([o for o in others if not np.isnan(o)], 12))
        own = np.flatnonzero(np.isclose([o for o in others if not np.isnan(o)], cell.mean, atol=1e-12))[0]
        assert cell.rank == pytest.approx(ranks[own])
        if len(values) > 1:
            assert cell.std == pytest.approx(np.std(values, ddof=1), abs=CLOSE)
            assert [cell.ci_low, cell.ci_high] == pytest.approx(interval(values), abs=CLOSE)
    assert {(c.task, c.head) for c in table.itertuples()} >= set(scores)


def test_every_comparison_is_recomputed(written):
    folder, scores, _ = written
    table = pd.read_csv(folder / "comparisons.csv")
    for task, rows in table.groupby("task"):
        by_hand = []
        for row in rows.itertuples():
            theirs, ours = scores[task, row.reference], scores[task, row.head]
            differences = [ours[seed] - theirs[seed] for seed in sorted(ours) if seed in theirs]
            assert row.n == len(differences)
            if not differences:
                continue
            assert row.difference == pytest.approx(np.mean(differences), abs=CLOSE)
            if row.exact:
                assert row.p == pytest.approx(counted(differences))
            if len(differences) > 1:
                assert [row.ci_low, row.ci_high] == pytest.approx(interval(differences), abs=CLOSE)
            by_hand.append((row.p, row.p_holm))
        running = 0.0
        for i, (p, adjusted) in enumerate(sorted(by_hand)):
            running = max(running, min(1.0, p * (len(by_hand) - i)))
            assert adjusted == pytest.approx(running)
        assert (rows["significant"] == (rows["p_holm"] < 0.05)).all()


def test_mean_ranks_are_recomputed(written):
    folder, *_ = written
    table = pd.read_csv(folder / "table.csv")
    ranked = table[table["mean_rank"].notna()]
    means = ranked.pivot(index="task", columns="head", values="mean").dropna()
    if len(means) < 2:
        pytest.skip("fewer than two tasks")
    expected = stats.rankdata(-means.round(12).to_numpy(), axis=1).mean(axis=0)
    found = ranked.groupby("head")["mean_rank"].first()[means.columns]
    assert found.tolist() == pytest.approx(expected.tolist())


def counted(differences: list[float]) -> float:
    """Two-sided exact sign-flip p by counting all flips."""
    sums = np.array([np.dot(signs, differences) for signs in itertools.product((1, -1), repeat=len(differences))])
    return float(np.mean(np.abs(sums) >= abs(sum(differences)) - 1e-9))


def interval(values: list[float]) -> list[float]:
    """scipy's own bootstrap, one sample at a time; rounded means tie where exact ones would."""

    def mean(sample: np.ndarray, axis: int) -> np.ndarray:
        return sample.sum(axis=axis).round(9) / sample.shape[axis]

    if np.ptp(values) < 1e-12:
        return [values[0]] * 2
    for method in ("BCa", "percentile"):
        rng = np.random.default_rng(0)
        found = stats.bootstrap((values,), mean, n_resamples=9999, batch=1000, method=method, rng=rng)
        if not np.isnan(found.confidence_interval).any():
            break
    return list(found.confidence_interval)
