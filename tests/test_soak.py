"""The soak, short: a run that is killed a few times inside of writes."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_killed_inside_of_writes_a_run_comes_to_what_it_would_have():
    soak = [sys.executable, Path(__file__).with_name("soak.py"), "--minutes=3", "--disturbed=2"]
    done = subprocess.run([*soak, "--kills=2", "--inside=2", "--kinds=run"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    killed = re.findall(r"(\d+) kills, (\d+) inside of writes; .*; wrong: \[\]", done.stdout)[-1]
    assert int(killed[1]) >= 2
