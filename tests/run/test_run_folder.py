"""The folder of a run: its own, and nobody's never."""

import os
import subprocess
import sys
import time

from head2head.run.result import OWNER, run_folder

KILLED = """
import os, signal, sys
from pathlib import Path
from head2head.run import result

def killed(path, content):
    os.kill(os.getpid(), signal.SIGKILL)

result.write_atomically = killed
with result.run_folder(Path(sys.argv[1]), "0-abc"):
    pass
"""


def test_two_runs_of_a_name_have_a_folder_each_and_those_without_a_result_go(tmp_path):
    with run_folder(tmp_path, "0-abc") as first, run_folder(tmp_path, "0-abc") as second:
        assert (first.name, second.name) == ("0-abc", "0-abc.2")
        (second / "result.json").write_text("{}")
    assert [path.name for path in tmp_path.iterdir()] == ["0-abc.2"]
    assert not (second / OWNER).exists()


def test_what_stands_in_the_way_is_left_alone(tmp_path):
    (tmp_path / "0-abc").touch()
    (tmp_path / "0-abc.2").mkdir()
    with run_folder(tmp_path, "0-abc") as folder:
        assert folder.name == "0-abc.3"
    assert {path.name for path in tmp_path.iterdir()} == {"0-abc", "0-abc.2"}


def test_a_run_killed_before_it_has_said_whose_folder_it_is_leaves_none_of_that_name(tmp_path):
    assert subprocess.run([sys.executable, "-c", KILLED, tmp_path]).returncode == -9
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".0-abc.")
    with run_folder(tmp_path, "0-abc") as folder:
        assert folder.name == "0-abc"
    assert left.exists()  # somebody may be writing there
    os.utime(left, (time.time() - 2 * 86400,) * 2)
    with run_folder(tmp_path, "0-abc"):
        assert not left.exists()
