"""The runs of a sweep: what each is called, and which of them have a result."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from head2head.data.task import Task
from head2head.errors import UserError
from head2head.run.configuration import refuse_several_devices
from head2head.run.key import Identity, build_task, identify
from head2head.run.result import Result, read_result
from head2head.sweep import space
from head2head.sweep.composer import Composer
from head2head.sweep.data_sets import check_data_sets
from head2head.sweep.distributions import Parameter
from head2head.sweep.file import SweepFile


@dataclass(frozen=True)
class Planned:
    """A run of a sweep.

    overrides: what train.py would be given for it.
    assignment: the values of the sweep's parameters.
    """

    overrides: tuple[str, ...]
    assignment: Mapping[str, Any]
    identity: Identity

    @property
    def key(self) -> str:
        return self.identity.key

    @property
    def label(self) -> str:
        return f"{self.identity.task.name} · {self.identity.head} · seed {self.identity.seed}"


@dataclass
class Planner:
    """Turns parameters' values into runs.

    Args:
        fixed: overrides that every run gets: those of the file's command, and typed ones.
        compose: resolved configurations; it keeps what the runs share, so that there is one in a sweep.
    """

    file: SweepFile
    parameters: Mapping[str, Parameter]
    fixed: Sequence[str]
    sweep_seed: int = 0
    compose: Composer = field(default_factory=Composer)
    _tasks: dict[str, Task] = field(default_factory=dict)

    @cached_property
    def output_dir(self) -> Path:
        """Where the runs go."""
        return Path(
            self.compose([text for text in self.fixed if text.lstrip("+").startswith("output_dir=")])["output_dir"]
        )

    def all(self) -> list[Planned]:
        """Every run of a grid or of a random search, each key once.

        Raises:
            UserError: a combination that cannot be run; nothing is started then.
        """
        if self.file.method == "grid":
            rows = space.grid(self.parameters, self.file.run_cap)
        else:
            rows = space.sample(self.parameters, self.file.run_cap or 0, self.sweep_seed)
        return self.runs(rows)

    def runs(self, rows: Iterable[Mapping[str, Any]]) -> list[Planned]:
        """The runs for some assignments.

        Raises:
            UserError: one that cannot be run.
        """
        found: dict[str, Planned] = {}
        for row in rows:
            overrides = (*space.overrides(row), *self.fixed)
            try:
                config = self.compose(overrides)
                refuse_several_devices(config)
                planned = Planned(overrides, row, identify(config, self._task(config)))
            except UserError as error:
                raise UserError(f"{self.file.path}: {' '.join(overrides)}: {error}") from None
            found.setdefault(planned.key, planned)
        check_data_sets(planned.identity.task for planned in found.values())
        return list(found.values())

    def _task(self, config: dict[str, Any]) -> Task:
        """The configuration's task, built once for all runs on it."""
        settings = json.dumps(config["task"], sort_keys=True)
        if settings not in self._tasks:
            self._tasks[settings] = build_task(config)
        return self._tasks[settings]


def find(planned: Planned, stopped_too: bool = False) -> Result | None:
    """The run's result in its `output_dir`: one with scores if there is one, else a failed one.

    Args:
        stopped_too: take a run for finished that was stopped early.
    """
    parent, name = planned.identity.parent, planned.identity.name
    failed = None
    for path in [parent / name, *sorted(parent.glob(f"{name}.*"))] if parent.is_dir() else []:
        with contextlib.suppress(UserError):  # no result.json: not finished
            result = read_result(path)
            if result.key == planned.key and (stopped_too or not result.stopped):
                result.folder = str(path)  # it may have been moved since
                if result.failed is None:
                    return result
                failed = result
    return failed
