"""Frozen runs on a tiny encoder, as a bank and by Lightning's Trainer."""

import pytest
from frozen_runs import SETTINGS

from composed import compose
from head2head.frozen.group import run_group
from head2head.run.run import run


@pytest.fixture
def bank(tmp_path):
    """Runs as one bank: what came of each set of overrides."""

    def trained(*runs, settings=SETTINGS, output="bank"):
        typed = [[*settings, f"cache_dir={tmp_path}/cache", f"output_dir={tmp_path}/{output}", *own] for own in runs]
        found = dict(run_group([compose(overrides) for overrides in typed], typed))
        return [found[number] for number in range(len(runs))]

    return trained


@pytest.fixture
def alone(tmp_path):
    """One run by Lightning's Trainer."""

    def trained(*own, settings=SETTINGS):
        typed = [*settings, f"cache_dir={tmp_path}/cache", f"output_dir={tmp_path}/alone", *own]
        return run(compose(typed), typed)

    return trained
