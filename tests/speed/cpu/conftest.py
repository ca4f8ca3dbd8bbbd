"""Nothing here can be tested without a compiler."""

import pytest


@pytest.fixture(autouse=True, scope="session")
def _compiler(c_compiler):
    pass
