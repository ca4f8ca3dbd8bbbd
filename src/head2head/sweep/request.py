"""What was typed after sweep.py: which experiment, what differs from its file, what is to be done."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml

from head2head.errors import UserError
from head2head.experiments import SWEEP_FILE, ResultsFile, results_file, sweep_file, with_file
from head2head.run.canonical import NOT_IN_KEY
from head2head.run.configuration import check_names, taken_apart
from head2head.sweep import space
from head2head.sweep.file import SweepFile, read
from head2head.sweep.plan import Planner

TYPED = "HEAD2HEAD_TYPED"  # environment: what was typed after sweep.py, as JSON, for the sweeper plugin

# What speaks to the sweep, not to its runs.
OWN = {"experiment": "", "plan": "false", "retry": "false", "sweep_seed": "0"}


@dataclass(frozen=True)
class Request:
    """A sweep that was asked for.

    experiment: its name.
    overrides: what was typed for its runs: a setting's values in place of the file's.
    plan: tell what is left, and run nothing.
    retry: run failed runs again.
    sweep_seed: of random and bayes.
    """

    experiment: str
    overrides: tuple[str, ...] = ()
    plan: bool = False
    retry: bool = False
    sweep_seed: int = 0

    @cached_property
    def file(self) -> SweepFile:
        """Raises UserError: there is none, or it is not as it should be."""
        return read(sweep_file(self.experiment))

    @cached_property
    def planner(self) -> Planner:
        """Raises UserError: an override that does not parse, or an unknown name."""
        check_names(self.overrides, several=True)
        if typed_only := {"output_dir", "experiment", "plan"} & set(self.file.parameters):
            raise UserError(f"{self.file.path}: parameters: {min(typed_only)}: give it on the command line")
        typed = taken_apart(self.overrides)
        for setting in typed:
            if len(setting.values) > 1 and setting.name in NOT_IN_KEY:
                raise UserError(several_values(setting.text))
        swept = {s.name: s.values for s in typed if len(s.values) > 1 or s.name in self.file.parameters}
        fixed = [s.text for s in typed if s.name not in swept]
        given = {s.name for s in typed} | set(self.file.parameters)
        given.add("experiment")
        command = [text for text in self.file.settings if text.partition("=")[0] not in given]
        parameters = space.narrowed(self.file, swept)
        always = [*command, *data_dir(given), f"experiment={self.experiment}"]
        return Planner(self.file, parameters, [*always, *fixed], self.sweep_seed)

    @cached_property
    def results_file(self) -> ResultsFile:
        """The experiment's results; of runs that were stopped early only where the file says when to stop."""
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
    for name in ("plan", "retry"):
        if own[name].lower() not in ("true", "false"):
            raise UserError(f"{name}={own[name]}: expected true or false")
    if not own["sweep_seed"].isdigit():
        raise UserError(f"sweep_seed={own['sweep_seed']}: expected a whole number, 0 or above")
    switches = {name: own[name].lower() == "true" for name in ("plan", "retry")}
    return Request(own["experiment"], tuple(rest), sweep_seed=int(own["sweep_seed"]), **switches)
