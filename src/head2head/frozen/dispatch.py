"""Which way a run is trained: on features, above cached layers, or whole. Whoever has a run to do asks here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from head2head.frozen.cached_layers import cached_layers
from head2head.frozen.eligible import group_of
from head2head.frozen.group import Outcome, run_group
from head2head.run.result import Result
from head2head.run.run import run


def run_one(config: dict[str, Any], overrides: Sequence[str] = ()) -> Result:
    """`run.run`, the quickest way there is for the run.

    Raises:
        UserError, Diverged: as there.
    """
    if group_of(config) is None:
        return run(config, overrides, cached_layers(config))
    ((_, outcome),) = run_group([config], [overrides])
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def run_several(configs: Sequence[dict[str, Any]], overrides: Sequence[Sequence[str]]) -> Iterator[tuple[int, Outcome]]:
    """Runs of one group (see eligible.group_of), or runs that belong to none, one after another.

    Yields:
        A run's number and what came of it; see run_group.

    Raises:
        UserError, Diverged: a run of no group has failed.
    """
    if configs and group_of(configs[0]) is not None:
        yield from run_group(configs, overrides)
        return
    for number, (config, typed) in enumerate(zip(configs, overrides, strict=True)):
        yield number, run_one(config, typed)
