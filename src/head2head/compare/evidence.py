"""From results and predictions to what a race sees of a run."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from head2head.errors import UserError
from head2head.experiments import ResultsFile
from head2head.report.evidence import answered
from head2head.report.predictions import FILE, of_run, read
from head2head.run.result import Result
from head2head.statistics.course import Entry, Failed
from head2head.statistics.influence import influences
from head2head.statistics.settings_left import Scored
from head2head.sweep.plan import Planned


class Evidence:
    """What is known of a race's runs. Predictions are read once."""

    def __init__(self, planned: Mapping[Entry, Planned], results: ResultsFile):
        self.planned, self.results = planned, results
        self.rows: dict[str, int] = {}  # key -> texts or sentences that the run was scored on
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
            table = self._predictions(result)
            self.rows[key] = int(table["row"].nunique())
            self._scored[key] = scored(result, table)
        return self._scored[key]

    @property
    def training_rows(self) -> int:
        """How many texts or sentences the folds of a repeat hold, as those that have been scored tell."""
        folds = next(iter(self.planned.values())).identity.task.fold
        return round(sum(self.rows.values()) / len(self.rows) * folds.folds) if self.rows and folds is not None else 0

    def _predictions(self, result: Result) -> pd.DataFrame:
        """Those in the run's own folder, or those that a report has packed."""
        found = of_run(result, result.split)
        if isinstance(found, str):
            packed = read(self.results.path.parent / FILE).get((result.key, result.split))
            if packed is None:
                raise UserError(
                    f"{self.results.path}: {result.task} · {result.head} · seed {result.seed} has a score, but its "
                    f"predictions are gone ({result.folder}); take out its line to run it again"
                )
            return packed
        return found


def scored(result: Result, table: pd.DataFrame) -> Scored:
    """The score of a run, and what each cluster of examples contributes to it.

    Args:
        table: its predictions, as `report.predictions` has them.

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
