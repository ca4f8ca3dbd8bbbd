"""That freed memory stays with the process, seen by the page faults of making a large tensor again."""

import resource
import subprocess
import sys

import pytest

# Each of these is larger than what glibc gives back at once, and smaller than what stays when it is freed.
MAKE_AND_FREE = """
import resource, sys
import torch
from head2head.memory import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
for number in range(20):
    if number == 10:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(10_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(way: str) -> int:
    """Page faults of ten tensors of 40 MB after ten others."""
    done = subprocess.run([sys.executable, "-c", MAKE_AND_FREE, way], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc")
def test_memory_that_is_freed_is_used_again_without_new_pages():
    pages = 10 * 40_000_000 // resource.getpagesize()
    assert faults("kept") < pages / 20
