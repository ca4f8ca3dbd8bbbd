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
from head2head.run.key import Identity, build_task, held_out, identify
from head2head.run.result import Result, read_result
from head2head.sweep import space
from head2head.sweep.composer import Composer
from head2head.sweep.data_sets import DataSets
from head2head.sweep.distributions import Parameter
from head2head.sweep.file import SweepFile
from head2head.sweep.narrowing import MISSING, run_value
from head2head.sweep.times import kind_of


@dataclass(frozen=True)
class Planned:
    """A run of a sweep.

    overrides: what train.py would be given for it.
    assignment: the values of the sweep's parameters.
    kind: what it has in common with runs that take about as long (see times.kind_of).
    """

    overrides: tuple[str, ...]
    assignment: Mapping[str, Any]
    identity: Identity
    kind: str = ""

    @property
    def key(self) -> str:
        return self.identity.key

    @property
    def label(self) -> str:
        return f"{self.identity.task.name} · {self.identity.head} · seed {self.identity.seed}"


class Tasks:
    """Tasks of configurations, each built once for all the runs on it."""

    def __init__(self) -> None:
        self._built: dict[str, Task] = {}
        self._data_sets = DataSets()

    def __call__(self, config: Mapping[str, Any]) -> Task:
        """The task that a run has, without the rows that it holds out.

        Raises:
            UserError: its settings do not fit, or another one has its name and other data.
        """
        settings = json.dumps(config["task"], sort_keys=True)
        if settings not in self._built:
            self._built[settings] = build_task(dict(config))
        part = json.dumps([settings, config["fold"], config["folds"], config["repeat"]])
        if part not in self._built:
            self._built[part] = held_out(config, self._built[settings])
            self._data_sets.check(self._built[part])
        return self._built[part]


@dataclass
class Planner:
    """Turns parameters' values into runs.

    Args:
        fixed: overrides that every run gets: those of the file's command, and typed ones.
        only: settings that are no parameters here -> the values that a run must have of them, if it has them at all.
        compose, tasks: they keep what the runs share, so that there is one of each in a sweep.
    """

    file: SweepFile
    parameters: Mapping[str, Parameter]
    fixed: Sequence[str]
    sweep_seed: int = 0
    only: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    compose: Composer = field(default_factory=Composer)
    tasks: Tasks = field(default_factory=Tasks)

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

    def some(self) -> Planned | None:
        """One of the runs; None where there are none.

        Raises:
            UserError: it cannot be run.
        """
        rows = space.grid(self.parameters) if self.file.method == "grid" else space.sample(self.parameters, 1, 0)
        return next((run for row in rows for run in self.runs([row])), None)

    def runs(self, rows: Iterable[Mapping[str, Any]]) -> list[Planned]:
        """The runs for some assignments.

        Raises:
            UserError: one that cannot be run.
        """
        found: dict[str, Planned] = {}
        for row in rows:
            overrides = (*space.overrides(row), *self.fixed)
            try:
                if not self._wanted(overrides):
                    continue
                config = self.compose(overrides)
                refuse_several_devices(config)
                identity = identify(config, self.tasks(config))
            except UserError as error:
                raise UserError(f"{self.file.path}: {' '.join(overrides)}: {error}") from None
            kind = kind_of(identity.task.name, identity.head, config)
            found.setdefault(identity.key, Planned(overrides, row, identity, kind))
        return list(found.values())

    def _wanted(self, overrides: Sequence[str]) -> bool:
        """Whether a run is one of those that the command line has narrowed the sweep to."""
        values = ((run_value(name, overrides, self.compose), wanted) for name, wanted in self.only.items())
        return all(value is MISSING or value in wanted for value, wanted in values)


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
