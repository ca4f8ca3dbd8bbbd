"""Finished runs that the tests of predictions share."""

from pathlib import Path

import pytest
from finished_runs import texts_run, words_run


@pytest.fixture(scope="session")
def texts(tmp_path_factory) -> Path:
    """Folder of a run on texts; its data lie three folders above."""
    return Path(texts_run(tmp_path_factory.mktemp("texts")).folder)


@pytest.fixture(scope="session")
def pairs(tmp_path_factory) -> Path:
    """Folder of a run on pairs that are read apart."""
    return Path(texts_run(tmp_path_factory.mktemp("pairs"), "task.pairs=apart", pairs=True).folder)


@pytest.fixture(scope="session")
def values(tmp_path_factory) -> Path:
    """Folder of a run on pairs with a value each."""
    return Path(texts_run(tmp_path_factory.mktemp("values"), pairs=True, values=True).folder)


@pytest.fixture(scope="session")
def words(tmp_path_factory) -> Path:
    """Folder of a run on words."""
    return Path(words_run(tmp_path_factory.mktemp("words")).folder)


@pytest.fixture(scope="session")
def joint(tmp_path_factory) -> Path:
    """Folder of a run on words whose labels are predicted together."""
    return Path(words_run(tmp_path_factory.mktemp("joint"), "ner_crf").folder)
