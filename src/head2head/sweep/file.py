"""A sweep file in W&B's format, read and checked."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from head2head.errors import UserError, did_you_mean
from head2head.files import read_yaml
from head2head.run.configuration import head_called
from head2head.sweep.distributions import Choice, Parameter
from head2head.sweep.hyperband import HyperbandBands
from head2head.sweep.hyperband import parse as parse_hyperband
from head2head.sweep.parameters import flatten, parameter

KEYS = frozenset(
    "program method metric parameters command run_cap early_terminate name description project entity".split()
)
# What decides over code that is run: whoever starts a sweep types it, and a file from elsewhere cannot.
TYPED_ONLY = frozenset({"hydra", "trust"})
METHODS = ("grid", "random", "bayes")
ARGUMENTS = "${args_no_hyphens}"  # in `command`, where agents put the parameters


@dataclass(frozen=True)
class SweepFile:
    """What a sweep file says. Only `method` and `parameters` have to be there; `program` and `command` are for agents.

    name: of the experiment: the file's folder.
    settings: what the command gives to every run besides the parameters, as overrides.
    metric, maximize: the objective of bayes and hyperband: `score`, or SPLIT/METRIC.
    """

    path: Path
    name: str
    method: str
    parameters: Mapping[str, Parameter]
    settings: tuple[str, ...] = ()
    metric: str = "score"
    maximize: bool = True
    run_cap: int | None = None
    hyperband: HyperbandBands | None = None


def read(path: Path) -> SweepFile:
    """Read a sweep file.

    Raises:
        UserError: it is not as W&B documents sweep files, or cannot drive train.py.
    """
    content = read_yaml(path)
    if content is None:
        raise UserError(f"{path}: the file is empty")
    try:
        return _parse(path, content)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def read_all(paths: Sequence[Path]) -> tuple[SweepFile, ...]:
    """Read the sweep files of an experiment, sweep.yaml first. Those beside it are grids.

    Raises:
        UserError: as `read`.
    """
    files = tuple(read(path) for path in paths)
    for file in files[1:]:
        if file.method != "grid":
            raise UserError(f"{file.path}: method: {file.method}: expected grid in a sweep file beside sweep.yaml")
        if file.hyperband is not None:
            raise UserError(f"{file.path}: early_terminate: only in sweep.yaml")
    return files


def _parse(path: Path, content: Any) -> SweepFile:
    if not isinstance(content, dict):
        raise UserError("expected a W&B sweep file with method and parameters")
    if unknown := sorted(str(key) for key in content if key not in KEYS):
        raise UserError(f"unknown key {unknown[0]!r}; {did_you_mean(unknown[0], sorted(KEYS))}")
    program = str(content.get("program", "train.py"))
    if Path(program).name != "train.py":
        raise UserError(f"program: {program}: expected train.py")
    method = content.get("method")
    if method not in METHODS:
        raise UserError(f"method: {method}: expected grid, random or bayes")
    cap = content.get("run_cap")
    if cap is not None and (not isinstance(cap, int) or isinstance(cap, bool) or cap < 1):
        raise UserError(f"run_cap: {cap}: expected a whole number above 0")
    if method != "grid" and cap is None:
        raise UserError(f"method: {method} goes on for ever; give run_cap: N")
    metric, maximize = _metric(content.get("metric"))
    parameters = _parameters(content.get("parameters"), method)
    settings = _settings(content["command"], program) if "command" in content else ()
    for name in [*parameters, *(text.partition("=")[0] for text in settings)]:
        if re.split(r"[./@]", name.lstrip("+~"))[0] in TYPED_ONLY:
            raise UserError(f"{name}: is given on the command line alone")
    if both := sorted({text.partition("=")[0] for text in settings} & set(parameters)):
        raise UserError(f"command: {both[0]} is among the parameters, too; take it out of one")
    hyperband = _hyperband(content.get("early_terminate"))
    return SweepFile(path, path.parent.name, method, parameters, settings, metric, maximize, cap, hyperband)


def _parameters(content: Any, method: str) -> dict[str, Parameter]:
    if not isinstance(content, dict) or not content:
        raise UserError("parameters: expected names with their values")
    try:
        flat = flatten(content)
    except UserError as error:
        raise UserError(f"parameters: {error}") from None
    found = {}
    for name, settings in flat.items():
        try:
            entry = parameter(settings)
            found[name] = _heads(entry) if name == "head" and isinstance(entry, Choice) else entry
            if method == "grid":
                _check_in_grid(found[name])
        except UserError as error:
            raise UserError(f"parameters: {name}: {error}") from None
    return found


def _heads(choice: Choice) -> Choice:
    """The same heads, those by our names that the file calls by an output's."""
    return replace(choice, values=tuple(head_called(v) if isinstance(v, str) else v for v in choice.values))


def _check_in_grid(parameter: Parameter) -> None:
    if isinstance(parameter, Choice):
        if parameter.probabilities is not None:
            raise UserError("a grid takes each value once; leave out probabilities")
    elif parameter.grid is None:
        raise UserError(f"a grid needs values; {parameter.kind} has no end of them")


def _settings(command: Any, program: str) -> tuple[str, ...]:
    """What follows the program in the command, beside the parameters."""
    parts = [str(part) for part in command] if isinstance(command, list) else []
    start = next((i for i, part in enumerate(parts, start=1) if part in ("${program}", program)), len(parts))
    if ARGUMENTS not in parts[start:]:
        raise UserError(
            "command: train.py takes key=value, so agents need: "
            "command: ['${env}', '${interpreter}', '${program}', '${args_no_hyphens}']"
        )
    rest = [_with_environment(part) for part in parts[start:] if part != ARGUMENTS]
    for part in rest:
        if "=" not in part or part.startswith(("-", "$")):
            raise UserError(f"command: {part}: not of the form key=value")
    # Where runs are logged is the user's choice here; in the file it is made for W&B's agents.
    return tuple(part for part in rest if part.partition("=")[0].partition(".")[0] != "logger")


def _with_environment(part: str) -> str:
    """W&B's ${envvar:NAME}, replaced."""

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in os.environ:
            raise UserError(f"command: {part}: the environment variable {name} is not set")
        return os.environ[name]

    return re.sub(r"\$\{envvar:([A-Z0-9_]*)\}", value, part)


def _metric(content: Any) -> tuple[str, bool]:
    if content is None:
        return "score", True
    if not isinstance(content, dict) or not isinstance(content.get("name"), str):
        raise UserError("metric: expected name and goal")
    if unknown := sorted(str(key) for key in content if key not in ("name", "goal")):
        raise UserError(f"metric: {unknown[0]}: not supported; only name and goal are")
    goal = content.get("goal", "minimize")  # W&B's default
    if goal not in ("maximize", "minimize"):
        raise UserError(f"metric: goal: {goal}: expected maximize or minimize")
    if content["name"] == "score" and goal == "minimize":
        raise UserError("metric: a higher score is better; give goal: maximize")
    return content["name"], goal == "maximize"


def _hyperband(content: Any) -> HyperbandBands | None:
    try:
        return None if content is None else parse_hyperband(content)
    except UserError as error:
        raise UserError(f"early_terminate: {error}") from None
