"""From the predictions of a task's runs to what statistics/ computes with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from head2head.report.predictions import Predictions
from head2head.run.result import Result
from head2head.statistics.influence import OF_CLASSES, Influences, Run, influences

METRICS = {*OF_CLASSES, "pearson", "spearman", "entity_f1"}
CLOSE = 1e-5  # how near a score that is computed again must come


@dataclass(frozen=True)
class Evidence:
    """The runs of a task on one split, as far as their predictions are there.

    classes: number K; 0 for values and entities.
    answers: head -> run -> what the run answered, for heads of which no run's predictions are missing.
    without: head -> why it has no interval.
    """

    metric: str
    classes: int
    answers: Mapping[str, Mapping[int, Run]]
    without: Mapping[str, str]

    @property
    def heads(self) -> list[str]:
        return list(self.answers)

    def runs(self, heads: Sequence[str]) -> list[int]:
        """Numbers of the runs that all the heads have."""
        return sorted(set.intersection(*(set(self.answers[head]) for head in heads)))

    def influences(self, heads: Sequence[str]) -> Influences | None:
        """Of these heads on the runs that all of them have; None where there are none, or nothing can be said.

        The table may hold more heads than were asked for.
        """
        if not all(head in self.answers for head in heads):
            return None
        runs = self.runs(heads)
        if runs == self.runs(self.heads) and self._all is not None:
            return self._all
        return self._of(heads, runs)

    @cached_property
    def _all(self) -> Influences | None:
        return self._of(self.heads, self.runs(self.heads))

    def _of(self, heads: Sequence[str], runs: Sequence[int]) -> Influences | None:
        joined = []
        for run in runs:
            first, *others = (self.answers[head][run] for head in heads)
            if any(not np.array_equal(first.examples, other.examples) for other in others):
                return None  # they were scored on different data, which `notes` says
            predictions = {head: self.answers[head][run].predictions[head] for head in heads}
            joined.append(first._replace(predictions=predictions))
        if not joined or len(np.unique(np.concatenate([run.clusters for run in joined]))) < 2:
            return None
        return influences(joined, self.metric, self.classes)


def gather(runs: Mapping[str, Mapping[int, Result]], split: str, metric: str, predictions: Predictions) -> Evidence:
    """The evidence of a task.

    Args:
        runs: head -> number of the run -> result, of runs that have not failed.
    """
    answers: dict[str, dict[int, Run]] = {}
    without: dict[str, str] = {}
    classes = 0
    for head, of_head in runs.items():
        found: dict[int, Run] = {}
        reasons: list[str] = [] if metric in METRICS else [f"the variance of {metric} is not known"]
        for number, result in of_head.items() if not reasons else ():
            table = predictions.tables.get((result.key, split))
            labels = result.config["task"].get("labels") or ()
            classes = 0 if table is not None and "tp" in table else len(labels)
            if table is None:
                reasons.append(predictions.missing.get(result.key, "they are left out"))
                continue
            run = answered(head, table)
            if abs(score_of(run, metric, classes) - result.metrics["last"][split][metric]) > CLOSE:
                reasons.append("a run's do not give the recorded score")
            found[number] = run
        if reasons:
            without[head] = reasons[0]
        elif found:
            answers[head] = found
    return Evidence(metric, classes, answers, without)


def answered(head: str, table: pd.DataFrame) -> Run:
    """A run's predictions on a split, as packed; of entities all types together."""
    if "tp" in table:
        table = table.groupby(["row", "cluster"], as_index=False)[["tp", "fp", "fn"]].sum()
        gold, predictions = None, table[["tp", "fp", "fn"]].to_numpy()
    else:
        gold, predictions = (table[name].to_numpy(dtype=float) for name in ("gold", "prediction"))
    return Run(table["row"].to_numpy(), table["cluster"].to_numpy(), gold, {head: predictions})


def score_of(run: Run, metric: str, classes: int) -> float:
    """The metric of one run; each example counts as its own cluster, since only the score is wanted."""
    alone = run._replace(clusters=np.arange(len(run.examples)))
    return float(influences([alone], metric, classes).scores[0, 0])
