"""`configuration.compose` for tests that make many runs: by the sweeps' Composer, which gives the same (see
sweep/test_composer.py) and takes a tenth of Hydra's time."""

import functools
import os
from collections.abc import Sequence
from typing import Any

from head2head.files import CONFIGS
from head2head.run import configuration
from head2head.sweep.composer import Composer


def compose(overrides: Sequence[str]) -> dict[str, Any]:
    """The resolved configuration for some overrides."""
    if configuration.folders() != [CONFIGS]:  # yaml files of the test's own
        return configuration.compose(overrides)
    # The yaml files refer to these two, which a test may set.
    return _composer(os.environ.get("HEAD2HEAD_DATA"), os.environ.get("HEAD2HEAD_CACHE"))(overrides)


@functools.cache
def _composer(*environment: str | None) -> Composer:  # noqa: ARG001
    return Composer()
