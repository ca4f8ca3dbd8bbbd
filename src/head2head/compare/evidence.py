"""From results and predictions to what a race sees of a run."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from head2head.errors import UserError
from head2head.experiments import ResultsFile
from head2head.report.evidence import answered
from head2head.report.predictions import of_run
from head2head.run.result import Result
from head2head.statistics.course import Entry, Failed
from head2head.statistics.influence import influences
from head2head.statistics.settings_left import Scored
from head2head.sweep.plan import Planned


class Evidence:
    """What is known of a race's runs. Predictions are read once."""

    def __init__(self, planned: Mapping[Entry, Planned], results: ResultsFile):
        self.planned, self.results = planned, results
        self._scored: dict[str, Scored] = {}

    def __call__(self, entry: Entry) -> Scored | Failed | None:
        """What came of a run; None while it has no result.

        Raises:
            UserError: its predictions are gone.
        """
        key = self.planned[entry].key
        if (result := self.results.read().get(key)) is None:
            return None
        if result.failed is not None:
            return Failed(result.failed)
        if key not in self._scored:
            self._scored[key] = scored(result)
        return self._scored[key]


def scored(result: Result) -> Scored:
    """The score of a run, and what each cluster of examples contributes to it.

    Raises:
        UserError: its predictions are gone.
    """
    table = of_run(result, result.split)
    if isinstance(table, str):
        raise UserError(f"{result.folder}: the predictions of {result.task} · {result.head} · seed {result.seed}: {table}")
    return scored_by(result, table)


def scored_by(result: Result, table: pd.DataFrame) -> Scored:
    """The same, of a run's predictions as `report.predictions` has them.

    Raises:
        UserError: they are a single piece of evidence.
    """
    classes = 0 if "tp" in table else len(result.config["task"].get("labels") or ())
    run = answered(result.head, table)
    try:
        found = influences([run], result.metric, classes)
    except ValueError:
        raise UserError(
            f"{result.task}: fold {result.config['fold']} holds a single document, or texts that all hang together: of "
            "one piece of evidence no race can be run; take fewer folds"
        ) from None
    return Scored(float(found.scores[0, 0]), np.unique(run.clusters), found.influence[0, 0])


def rows_of(result: Result) -> int:
    """Number of texts or sentences that a run is scored on; 0 where its predictions are gone."""
    table = of_run(result, result.split)
    return 0 if isinstance(table, str) else int(table["row"].nunique())
