"""Shared by the tests of reports."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from synthetic import write_experiment

from head2head.report.analysis import Analysis, analyse, options_of
from head2head.report.report import write
from head2head.report.runs import load
from head2head.run.result import Result

ROOT = Path(__file__).parents[2]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes an experiment from results into the working directory, a fresh folder."""
    monkeypatch.chdir(tmp_path)

    def write(results: Iterable[Result], name: str = "trial") -> Path:
        return write_experiment(tmp_path, results, name)

    return write


@pytest.fixture(scope="session")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Analysis, Path]]:
    """Makes the report of a committed experiment anew, once for all tests: what it says, and its folder."""
    made: dict[str, tuple[Analysis, Path]] = {}

    def find(name: str) -> tuple[Analysis, Path]:
        if name not in made:
            folder = tmp_path_factory.mktemp("committed")
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(ROOT)
                analysis = analyse(load(name), options_of(ROOT / "experiments" / name, {}))
                write(analysis, folder, "")
            made[name] = analysis, folder
        return made[name]

    return find
