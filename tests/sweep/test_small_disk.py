"""Sweeps on a disk that is full: one line, nothing of the store harmed, and the rest is done when there is room."""

import os

import pytest
from project import Project

# Where the disk lies, and how much of it is free: of results, room for one line.
FREE = {"output_dir": 0, "output_dir, half a checkpoint": 40_000, "cache_dir": 0, "experiments": 2 * 4096}


@pytest.mark.parametrize("where", FREE)
def test_a_full_disk_is_one_line_and_the_same_sweep_ends_when_there_is_room(where, small_disk, tmp_path, monkeypatch):
    disk, make_room = small_disk
    monkeypatch.setenv("CC", "false")  # to compile the layers anew would take longer than all the rest
    folder = tmp_path / "project"
    folder.mkdir()
    if where == "experiments":
        (disk / "experiments").mkdir()
        (folder / "experiments").symlink_to(disk / "experiments")
    place = Project(folder, task=["majority"], head=["mean", "max"], seed=[0])
    settings = ["checkpoint_minutes=1e-9"]
    if where.startswith("output_dir"):
        settings.append(f"output_dir={disk}/runs")
        (disk / "runs").mkdir()
    elif where == "cache_dir":
        monkeypatch.setenv("HEAD2HEAD_CACHE", str(disk / "cache"))
    fill(disk, FREE[where])
    full = place.sweep(*settings)
    assert full.returncode == 1
    (line,) = full.stderr.strip().splitlines()
    assert line.startswith("error: ")
    assert line.endswith("cannot be written: No space left on device; make room there, and start it again")
    done = place.results()
    assert len(done) == (where == "experiments")
    make_room()
    again = place.sweep(*settings)
    assert again.returncode == 0, again.stderr
    assert all(result in place.results() for result in done)
    assert [result["failed"] for result in place.results()] == [None, None]


def fill(disk, free):
    """Leave so many bytes."""
    status = os.statvfs(disk)
    (disk / "filling").write_bytes(bytes(status.f_bavail * status.f_frsize - free))
