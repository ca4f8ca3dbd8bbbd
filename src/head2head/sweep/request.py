"""What was typed after sweep.py: which experiment, what differs from its file, what is to be done."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from head2head.errors import UserError
from head2head.experiments import SWEEP_FILE, ResultsFile, results_file, sweep_files, with_file
from head2head.run.canonical import NOT_IN_KEY
from head2head.run.configuration import check_names, taken_apart
from head2head.sweep.composer import Composer
from head2head.sweep.file import SweepFile, read_all
from head2head.sweep.narrowing import Narrowed, narrow
from head2head.sweep.plan import Planned, Planner, Tasks

TYPED = "HEAD2HEAD_TYPED"  # environment: what was typed after sweep.py, as JSON, for the sweeper plugin

# What speaks to the sweep, not to its runs.
OWN = {
    "experiment": "",
    "plan": "false",
    "retry": "false",
    "grow": "true",
    "check_epochs": "true",
    "sweep_seed": "0",
    "disagreement": "0.15",
    "run_spread": "0.01",
}
SWITCHES = ("plan", "retry", "grow", "check_epochs")


@dataclass(frozen=True)
class Request:
    """A sweep that was asked for.

    experiment: its name.
    overrides: what was typed for its runs: a setting's values in place of the file's.
    plan: tell what is left, and run nothing.
    retry: run failed runs again.
    grow: let the grid of a head grow whose best setting stands at its edge.
    check_epochs: train each fine-tuned head once for twice as long.
    sweep_seed: of random and bayes.
    disagreement, run_spread: what `plan` assumes of two heads (see statistics.uncertainty.detectable_by_design).
    notes: what is worth saying of what was typed, once there are `planners`.
    """

    experiment: str
    overrides: tuple[str, ...] = ()
    plan: bool = False
    retry: bool = False
    grow: bool = True
    check_epochs: bool = True
    sweep_seed: int = 0
    disagreement: float = 0.15
    run_spread: float = 0.01
    notes: list[str] = field(default_factory=list, compare=False)

    @cached_property
    def files(self) -> tuple[SweepFile, ...]:
        """sweep.yaml and the sweep files beside it.

        Raises:
            UserError: there is none, or one is not as it should be.
        """
        return read_all(sweep_files(self.experiment))

    @property
    def file(self) -> SweepFile:
        """sweep.yaml, the only one that need not be a grid."""
        return self.files[0]

    @cached_property
    def planners(self) -> tuple[Planner, ...]:
        """One for each file, in the order of `files`, without those that what was typed leaves no value of a parameter.

        Raises:
            UserError: an override that does not parse, an unknown name, or no file has such runs.
        """
        check_names(self.overrides, several=True)
        typed = taken_apart(self.overrides)
        for setting in typed:
            if len(setting.values) > 1 and setting.name in NOT_IN_KEY:
                raise UserError(several_values(setting.text))
        given = {setting.name for setting in typed}
        compose, tasks = Composer(), Tasks()
        narrowed = [self._from_file(file, given) for file in self.files]
        self.notes.extend(narrow(narrowed, typed, compose))
        found = tuple(
            Planner(file, n.parameters, n.fixed, self.sweep_seed, n.only, compose, tasks)
            for file, n in zip(self.files, narrowed, strict=True)
            if not n.empty
        )
        if not found:
            raise UserError(f"{self.experiment}: no sweep file has runs with {' '.join(self.overrides)}")
        if len({planner.output_dir for planner in found}) > 1:
            raise UserError(f"{self.experiment}: its sweep files have several output_dir; give one on the command line")
        return found

    def _from_file(self, file: SweepFile, typed: set[str]) -> Narrowed:
        """What a file says, but for what is fixed there and typed here."""
        if typed_only := {"output_dir", "experiment", "plan"} & set(file.parameters):
            raise UserError(f"{file.path}: parameters: {min(typed_only)}: give it on the command line")
        given = {*typed, *file.parameters, "experiment"}
        command = [text for text in file.settings if text.partition("=")[0] not in given]
        return Narrowed(dict(file.parameters), [*command, *data_dir(given), f"experiment={self.experiment}"])

    @property
    def output_dir(self) -> Path:
        """Where the runs go."""
        return self.planners[0].output_dir

    def some_run(self) -> Planned:
        """One of the runs.

        Raises:
            UserError: it cannot be run, or there is none.
        """
        found = next((run for planner in self.planners if (run := planner.some()) is not None), None)
        if found is None:
            raise UserError(f"{self.experiment}: no sweep file has runs with {' '.join(self.overrides)}")
        return found

    @cached_property
    def results_file(self) -> ResultsFile:
        """The experiment's results; of runs that were stopped early only where sweep.yaml says when to stop."""
        return results_file(self.experiment, stopped_too=self.file.hyperband is not None)


def several_values(text: str) -> str:
    """What to write instead of several values for a setting that makes no different runs."""
    name, _, value = text.partition("=")
    return f"""{text}: several values of {name} make no different runs; for one with a comma: '{name}="{value}"'"""


def data_dir(given: set[str]) -> list[str]:
    """The environment's data folder as an override: workers on other machines do not have this environment."""
    folder = os.environ.get("HEAD2HEAD_DATA")
    if not folder or "data_dir" in given:
        return []
    path = str(Path(folder).absolute()).replace('"', '\\"')
    return [f'data_dir="{path}"']


def parse(overrides: Sequence[str]) -> Request:
    """What the overrides ask for.

    Raises:
        UserError: no experiment is named, or a switch has another value than true or false.
    """
    own = dict(OWN)
    rest = []
    for text in overrides:
        name, _, value = text.partition("=")
        if name in own:
            own[name] = value
        else:
            rest.append(text)
    if not own["experiment"]:
        known = ", ".join(with_file(SWEEP_FILE)) or "none here"
        raise UserError(f"which experiment? give experiment=NAME; there are: {known}")
    name = own["experiment"]
    if not re.fullmatch(r"\w[\w.-]*", name) or yaml.safe_load(name) != name:
        raise UserError(f"experiment={name}: a folder's name of letters, digits, . _ and -, and no number or yaml word")
    for name in SWITCHES:
        if own[name].lower() not in ("true", "false"):
            raise UserError(f"{name}={own[name]}: expected true or false")
    if not own["sweep_seed"].isdigit():
        raise UserError(f"sweep_seed={own['sweep_seed']}: expected a whole number, 0 or above")
    switches: dict[str, Any] = {name: own[name].lower() == "true" for name in SWITCHES}
    shares: dict[str, Any] = {name: share(name, own[name]) for name in ("disagreement", "run_spread")}
    return Request(own["experiment"], tuple(rest), sweep_seed=int(own["sweep_seed"]), **switches, **shares)


def share(name: str, text: str) -> float:
    """A fraction that was typed.

    Raises:
        UserError: it is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (0 < value <= 1 or (value == 0 and name == "run_spread")):
        raise UserError(f"{name}={text}: a fraction from 0 to 1, such as {OWN[name]}")
    return value
