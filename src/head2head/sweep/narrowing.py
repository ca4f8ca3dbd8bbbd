"""What is typed on the command line, for one sweep file or for several of one experiment.

A value that one of the files offers narrows them all: runs that have another one are left out. Values that none offers
take the place of the files' own. A setting that a file's runs do not have at all (a learning rate, where a probe is
solved exactly) does not concern them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from head2head.run.canonical import NOT_IN_KEY
from head2head.run.configuration import Setting, groups, value_of
from head2head.sweep import space
from head2head.sweep.composer import Composer
from head2head.sweep.distributions import Choice, Parameter, Range

MISSING = object()  # in place of the value of a setting that a run does not have


@dataclass
class Narrowed:
    """A sweep's parameters as the command line leaves them.

    fixed: overrides that every run gets.
    only: of settings that are no parameters, the values that a run must have, if it has the setting at all.
    """

    parameters: dict[str, Parameter]
    fixed: list[str]
    only: dict[str, list[Any]] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Whether some parameter has no value left."""
        return any(isinstance(p, Choice) and not p.values for p in self.parameters.values())

    def replace(self, setting: Setting) -> None:
        """Give a setting the values that were typed, whatever it had."""
        if len(setting.values) > 1 or setting.name in self.parameters:
            self.parameters[setting.name] = Choice(setting.values)
        else:
            self.fixed.append(setting.text)

    def choices(self) -> Iterator[list[str]]:
        """Overrides of one run, then of each that differs from it in one choice from a group: they have all settings
        that any run has."""
        first = space.sample(self.parameters, 1, seed=0)[0]
        yield [*space.overrides(first), *self.fixed]
        for name in sorted(set(groups()) & set(self.parameters)):
            for value in offered(self.parameters[name]):
                yield [*space.overrides(first | {name: value}), *self.fixed]


def narrow(files: Sequence[Narrowed], typed: Sequence[Setting], compose: Composer) -> list[str]:
    """Apply what was typed to an experiment's files, in place.

    Returns:
        A line for each setting that a file does not take because its runs do not have it.
    """
    notes, written = [], copy.deepcopy(files)
    for setting in typed:
        here = [file for file in files if not file.empty]
        having = any(setting.name in file.parameters for file in written)
        if len(files) == 1 or setting.name in NOT_IN_KEY:
            for file in here:
                file.replace(setting)
        elif having and (known := _known(written, setting, compose)):
            for file in here:
                _keep(file, setting, known)
        else:
            taking = [f for f in here if setting.name in f.parameters or _takes(f, setting, compose)] or here
            for file in taking:
                file.replace(setting)
            if len(taking) < len(here):
                notes.append(f"{setting.text}: not for {len(here) - len(taking)} of {len(here)} sweep files")
    return notes


def offered(parameter: Parameter) -> Sequence[Any]:
    """The values of a parameter; none of a range without end."""
    return parameter.values if isinstance(parameter, Choice) else parameter.grid or ()


def run_value(name: str, overrides: Sequence[str], compose: Composer) -> Any:
    """A setting's value in a run, or the name of the choice from a group; MISSING where the run has none."""
    if name in groups():
        return compose.choices(overrides).get(name, MISSING)
    node: Any = compose(overrides)
    for part in name.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return MISSING
        node = node[part]
    return node


def _known(files: Sequence[Narrowed], setting: Setting, compose: Composer) -> list[Any]:
    """Those of the typed values that some file's runs have."""
    values = [value_of(text) for text in setting.values]
    found = []
    for file in files:
        parameter = file.parameters.get(setting.name)
        if parameter is not None:
            found += [value_of(str(value)) for value in offered(parameter)]
        else:
            found += [run_value(setting.name, overrides, compose) for overrides in file.choices()]
    return [value for value in values if value in found]


def _keep(file: Narrowed, setting: Setting, known: Sequence[Any]) -> None:
    """Leave a file those of the values that it has, and those that no file has."""
    parameter = file.parameters.get(setting.name)
    if parameter is None:
        file.only[setting.name] = [value_of(text) for text in setting.values]
    elif isinstance(parameter, Range) and parameter.grid is None:
        file.replace(setting)
    else:
        own = [value_of(str(value)) for value in offered(parameter)]
        kept = [t for t in setting.values if value_of(t) in own or value_of(t) not in known]
        file.parameters[setting.name] = Choice(tuple(kept))


def _takes(file: Narrowed, setting: Setting, compose: Composer) -> bool:
    """Whether some of the file's runs have the setting, or are to be given it (`+name=value`)."""
    name = setting.name.lstrip("~")
    return name.startswith("+") or any(run_value(name, o, compose) is not MISSING for o in file.choices())
