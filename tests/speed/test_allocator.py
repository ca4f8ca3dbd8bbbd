"""Whether freed memory stays or goes back, seen by what the kernel counts."""

import platform
import subprocess
import sys

import pytest

# Twenty tensors of 4 MB with something behind each that stays. They lie in the heap, since a larger one was freed.
MAKE_AND_FREE = """
from pathlib import Path
import torch
from head2head.speed.allocator import give_back_freed_memory

def anonymous():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))

torch.ones(4_000_000)
large, small = [], []
for _ in range(20):
    large.append(torch.ones(1_000_000))
    small.append(torch.ones(1_000))
large.clear()
before = anonymous()
give_back_freed_memory()
print(before - anonymous())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's malloc")
def test_what_lies_free_between_blocks_in_use_goes_back():
    done = subprocess.run([sys.executable, "-c", MAKE_AND_FREE], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 0.9 * 20 * 4_000_000


# Page faults of a step that makes tensors of 4 to 60 MB and frees them, after some that may have let the heap grow.
STEP_AGAIN = """
import resource
import torch
from head2head.speed.allocator import keep_freed_memory

def step():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    tensors = [torch.ones(millions * 1_000_000) for millions in (1, 5, 2, 15, 3, 1, 9)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

torch.set_num_threads(1)
mapped = [step() for _ in range(5)][-1]
keep_freed_memory()
print(mapped, [step() for _ in range(5)][-1])
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's malloc")
def test_what_was_freed_is_there_without_page_faults_if_it_is_kept():
    done = subprocess.run([sys.executable, "-c", STEP_AGAIN], capture_output=True, text=True, check=True)
    mapped, kept = map(int, done.stdout.split())
    assert mapped > 20 * kept
