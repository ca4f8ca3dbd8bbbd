"""Shared by the tests of sweeps."""

import os
from collections.abc import Callable

import pytest
from filelock import FileLock
from project import SMALL, Project, ended

from head2head.sweep.composer import Composer


@pytest.fixture
def project(tmp_path) -> Callable[..., Project]:
    """Makes projects: `project(seed=[0])` has that parameter's values in place of the shipped ones."""
    made: list[Project] = []

    def make(**parameters: list) -> Project:
        made.append(Project(tmp_path / f"project{len(made)}", **parameters))
        return made[-1]

    return make


@pytest.fixture(scope="session")
def composer() -> Composer:
    """One for all tests that plan runs and have no configurations of their own: composing is what takes time there."""
    return Composer()


@pytest.fixture
def kept_compositions(composer, monkeypatch):
    """Whatever is asked for is composed by that one."""
    monkeypatch.setattr("head2head.sweep.request.Composer", lambda: composer)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory) -> Project:
    """A small sweep that was started by a command and ran to its end in one go. Not to be changed: there is one for
    all tests, whatever process they are in."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    with FileLock(shared / "undisturbed.lock"):
        if not (shared / "undisturbed").exists():
            done = ended(Project(shared / "undisturbed", **SMALL).command())
            assert done.returncode == 0, done.stderr
            assert "4 of 4 runs finished: 4 now" in done.stdout
    place = Project.at(shared / "undisturbed")
    assert len(place.results()) == len(place.folders()) == 4
    return place
