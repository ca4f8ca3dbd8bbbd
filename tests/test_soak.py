"""The soak, short: a run that is killed a few times inside of writes."""

import shutil

import pytest

from soak import soak


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_killed_inside_of_writes_a_run_comes_to_what_it_would_have(tmp_path):
    state = soak(tmp_path, kills=2, inside=2, kinds=["run"], minutes=3, disturbed=2)
    assert state.wrong == []
    assert state.inside >= 2
