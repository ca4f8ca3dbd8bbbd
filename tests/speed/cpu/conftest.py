"""What is compiled can only be tested where there is a compiler."""

import pytest

from head2head.speed.cpu.library import why_not


@pytest.fixture(autouse=True, scope="session")
def _compiler():
    if reason := why_not():
        pytest.skip(reason)
