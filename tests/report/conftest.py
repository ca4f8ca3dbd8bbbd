"""Shared by the tests of reports."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from synthetic import write_experiment

from head2head.run.result import Result


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes an experiment from results into the working directory, a fresh folder."""
    monkeypatch.chdir(tmp_path)

    def write(results: Iterable[Result], name: str = "trial") -> Path:
        return write_experiment(tmp_path, results, name)

    return write
