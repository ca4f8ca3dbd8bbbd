"""What is compiled can only be tested where there is a compiler."""

import pytest

from head2head.speed.cpu.library import why_not


@pytest.fixture(scope="session")
def c_compiler():
    """A C compiler; tests that need one are skipped elsewhere."""
    if reason := why_not():
        pytest.skip(reason)
