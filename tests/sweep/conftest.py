"""Shared by the tests of sweeps."""

from collections.abc import Callable

import pytest
from project import Project


@pytest.fixture
def project(tmp_path) -> Callable[..., Project]:
    """Makes projects: `project(seed=[0])` has that parameter's values in place of the shipped ones."""
    made: list[Project] = []

    def make(**parameters: list) -> Project:
        made.append(Project(tmp_path / f"project{len(made)}", **parameters))
        return made[-1]

    return make
