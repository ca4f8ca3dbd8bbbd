"""Which runs only check whether a head has converged: they enter neither a choice of settings nor a score.

When its grid is done, a sweep runs the setting that each fine-tuned head has in fold 0 of repeat 0 once more, there
alone, with twice `trainer.max_epochs`. A head has not converged when that gains more than one standard error.
"""

from __future__ import annotations

import pandas as pd

from head2head.statistics.choice import Setting

EPOCHS = "trainer.max_epochs"


def epoch_checks(runs: pd.DataFrame) -> dict[Setting, Setting]:
    """The settings that are checks, and the setting that each checks.

    A check was run in fold 0 of repeat 0 and nowhere else, has twice the epochs of a setting that is else the same, and
    that one was run elsewhere, too. (Where the grid itself has twice the epochs, it is no check, and none is run.)

    Args:
        runs: of one head on one task, a row each: setting (a `Setting` that names `trainer.max_epochs`), repeat, fold.
    """
    cells = {setting: set(zip(part["repeat"], part["fold"], strict=True)) for setting, part in runs.groupby("setting")}
    found = {}
    for setting, where in cells.items():
        values = dict(setting)
        if where != {(0, 0)} or values.get(EPOCHS, 0) <= 0:
            continue
        half = tuple((name, value / 2 if name == EPOCHS else value) for name, value in setting)
        if len(cells.get(half, ())) > 1:
            found[setting] = half
    return found
