"""Files that are damaged, in any way: data come out, or one line that says where; never a traceback, never a shift."""

from pathlib import Path

import bad_files
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

NUMBER = st.integers(0, (1 << 16) - 1)
MUTATIONS = st.lists(st.tuples(st.sampled_from(bad_files.KINDS), NUMBER, NUMBER, NUMBER), min_size=1, max_size=3)


@pytest.mark.parametrize("name", bad_files.READERS)
def test_the_good_files_are_read(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert bad_files.outcome(name, bad_files.READERS[name].good, Path(), changes=0) == "data"


@pytest.mark.parametrize("name", bad_files.READERS)
def test_a_damaged_file_is_data_or_one_line(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    @settings(
        max_examples=-(-1000 // len(bad_files.READERS)),
        deadline=2000,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(MUTATIONS)
    def check(mutations):
        content = bad_files.changed(bad_files.READERS[name].good, mutations)
        assert bad_files.outcome(name, content, Path(), len(mutations)) in ("data", "error")

    check()


def test_a_reader_that_loses_a_label_is_found_out():
    """The check itself: labels moved up by a row are no data."""
    rows = {"text": [bad_files.says(i, "red" if i % 2 else "blue") for i in range(10)], "label": [0, 1] * 5}
    labels = type("Labels", (), {"regression": False, "labels": ["blue", "red"]})
    bad_files.check_rows("csv", labels, rows, changes=0)
    with pytest.raises(AssertionError):
        bad_files.check_rows("csv", labels, rows | {"label": [1, 0] * 5}, changes=1)
