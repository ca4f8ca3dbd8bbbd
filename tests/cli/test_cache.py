"""What the cache holds, and clearing it."""

import os
import time

import pytest
from filelock import FileLock
from typer.testing import CliRunner

from head2head.cli.cache import bytes_of
from head2head.cli.main import app
from head2head.errors import UserError


@pytest.fixture
def cache(tmp_path):
    """A cache of 3 kB: two splits and the features of one, the oldest first."""
    made = {
        "tokenized/a.arrow": 500, "tokenized/a.json": 500, "tokenized/b.arrow": 1000, "features/x/row.npy": 1000,
        "features/x/.lock": 0,
    }  # fmt: skip
    now = time.time()
    for age, (name, size) in zip((30, 30, 20, 10, 10), made.items(), strict=True):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
        os.utime(path, (now - age, now - age))
    return tmp_path


def call(cache, *arguments):
    return CliRunner().invoke(app, ["cache", "--folder", str(cache), *arguments])


def left(cache):
    return sorted(str(path.relative_to(cache)) for path in cache.rglob("*") if path.is_file() and path.name[0] != ".")


def test_it_shows_what_each_kind_takes(cache):
    lines = call(cache).output.splitlines()
    assert lines[0] == f"{cache}: 3 kB"
    assert [line.split()[:4] for line in lines[1:3]] == [["tokenized", "2", "kB", "2"], ["features", "1", "kB", "1"]]
    assert len(left(cache)) == 4


def test_a_kind_is_cleared_whole_and_the_others_stay(cache):
    assert "cleared: 2 kB in 2 entries" in call(cache, "--clear", "tokenized").output
    assert left(cache) == ["features/x/row.npy"]
    assert call(cache, "--clear", "all").output.splitlines()[1].endswith(": 0 bytes")
    assert left(cache) == []


def test_a_limit_clears_what_was_used_longest_ago(cache):
    os.utime(cache / "tokenized/a.arrow")  # read a moment ago
    assert "cleared: 1 kB in 1 entries" in call(cache, "--limit", "2kB").output
    assert left(cache) == ["features/x/row.npy", "tokenized/a.arrow", "tokenized/a.json"]


def test_features_that_a_process_is_computing_stay(cache):
    with FileLock(cache / "features/x/.lock"):
        assert "kept: 1 that a process is filling" in call(cache, "--clear", "all").output
    assert left(cache) == ["features/x/row.npy"]


def test_temporary_files_of_killed_processes_are_taken_away_a_day_later(cache):
    for name in ("tokenized/tmpx", "features/x/row.tmp", "compiled/tmpy/layer.o"):
        (cache / name).parent.mkdir(parents=True, exist_ok=True)
        (cache / name).touch()
    call(cache)
    assert len(left(cache)) == 7
    for path in (cache / "tokenized/tmpx", cache / "features/x/row.tmp", cache / "compiled/tmpy"):
        os.utime(path, (0, 0))
    call(cache)
    assert len(left(cache)) == 4


def test_an_empty_cache_is_no_error(tmp_path):
    assert call(tmp_path / "nowhere").output.startswith(f"{tmp_path}/nowhere: 0 bytes\n")


@pytest.mark.parametrize(("text", "size"), [("10GB", 10**10), ("1.5 kb", 1500), ("0", 0), ("200MB", 2 * 10**8)])
def test_sizes_are_written_as_people_write_them(text, size):
    assert bytes_of(text) == size


@pytest.mark.parametrize("text", ["much", "-1GB", "10 GiB", ""])
def test_what_is_no_size_is_one_line(text, cache):
    with pytest.raises(UserError, match="a size such as"):
        bytes_of(text)
    assert call(cache, "--clear", "token").output.strip() == "error: --clear token: did you mean tokenized?"
