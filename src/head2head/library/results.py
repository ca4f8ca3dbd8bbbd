"""An experiment's results as a table."""

from __future__ import annotations

import pandas as pd

from head2head.report.runs import load


def results(experiment: str) -> pd.DataFrame:
    """One row a run: task, head, run (its seed), score, metric, baseline, seconds, parameters, key and more; see
    head2head.report.runs.Experiment.frame.

    Args:
        experiment: name of a folder under experiments/ in the working directory.

    Raises:
        UserError: no such experiment, or no results yet.
    """
    return load(experiment).frame
