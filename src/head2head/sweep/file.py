"""A sweep file in W&B's format, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from head2head.data.files import numbered_lines
from head2head.errors import UserError, did_you_mean
from head2head.sweep.distributions import Parameter, Range, flatten, parameter

KEYS = frozenset(
    "program method metric parameters command run_cap early_terminate name description project entity".split()
)
METHODS = ("grid", "random", "bayes")
# In `command`, what agents replace; the rest are settings that every run gets.
MACROS = ("${env}", "${interpreter}", "${program}", "${args_no_hyphens}")


@dataclass(frozen=True)
class Hyperband:
    """When runs are stopped early.

    bands: numbers of validations after which a run is held against the others, ascending.
    eta: a run goes on when it is among the best 1/eta.
    strict: hold the value at the band against the others', not the best value so far.
    """

    bands: tuple[int, ...]
    eta: float
    strict: bool = False


@dataclass(frozen=True)
class SweepFile:
    """What a sweep file says.

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
    hyperband: Hyperband | None = None


def folders() -> Path:
    """Where experiments are looked for."""
    return Path("experiments")


def find(name: str) -> Path:
    """The sweep file of an experiment.

    Raises:
        UserError: there is no such experiment.
    """
    path = folders() / name / "sweep.yaml"
    if not path.is_file():
        known = sorted(found.parent.name for found in folders().glob("*/sweep.yaml"))
        if not known:
            raise UserError(f"{path}: not there; experiments are looked for in ./experiments/NAME/sweep.yaml")
        raise UserError(f"unknown experiment {name!r}; {did_you_mean(name, known)}")
    return path


def read(path: Path) -> SweepFile:
    """Read a sweep file.

    Raises:
        UserError: it is not as W&B documents sweep files, or cannot drive train.py.
    """
    try:
        content = yaml.safe_load("\n".join(line for _, line in numbered_lines(path)))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise UserError(f"{place}: not yaml: {getattr(error, 'problem', error)}") from None
    try:
        return _parse(path, content)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _parse(path: Path, content: Any) -> SweepFile:
    if not isinstance(content, dict):
        raise UserError("expected a W&B sweep file with program, method and parameters")
    if unknown := sorted(str(key) for key in content if key not in KEYS):
        raise UserError(f"unknown key {unknown[0]!r}; {did_you_mean(unknown[0], sorted(KEYS))}")
    if Path(str(content.get("program"))).name != "train.py":
        raise UserError(f"program: {content.get('program')}: expected train.py")
    method = content.get("method")
    if method not in METHODS:
        raise UserError(f"method: {method}: expected grid, random or bayes")
    cap = content.get("run_cap")
    if cap is not None and (not isinstance(cap, int) or isinstance(cap, bool) or cap < 1):
        raise UserError(f"run_cap: {cap}: expected a whole number above 0")
    if method != "grid" and cap is None:
        raise UserError(f"method: {method} goes on for ever; give run_cap: N")
    metric, maximize = _metric(content.get("metric"))
    return SweepFile(
        path,
        path.parent.name,
        method,
        _parameters(content.get("parameters"), method),
        _settings(content.get("command")),
        metric,
        maximize,
        cap,
        _hyperband(content.get("early_terminate")),
    )


def _parameters(content: Any, method: str) -> dict[str, Parameter]:
    if not isinstance(content, dict) or not content:
        raise UserError("parameters: expected names with their values")
    found = {}
    for name, settings in flatten(content).items():
        try:
            found[name] = parameter(settings)
        except UserError as error:
            raise UserError(f"parameters: {name}: {error}") from None
        if method == "grid" and isinstance(found[name], Range) and found[name].grid is None:  # type: ignore[union-attr]
            raise UserError(f"parameters: {name}: a grid needs values; {found[name].kind} has no end of them")  # type: ignore[union-attr]
    return found


def _settings(command: Any) -> tuple[str, ...]:
    if not isinstance(command, list) or "${args_no_hyphens}" not in command:
        raise UserError(
            "command: train.py takes key=value, so agents need: "
            "command: ['${env}', '${interpreter}', '${program}', '${args_no_hyphens}']"
        )
    rest = [str(part) for part in command if part not in MACROS and not str(part).endswith("python")]
    for part in rest:
        if "=" not in part or part.startswith(("-", "$")):
            raise UserError(f"command: {part}: not of the form key=value")
    # Where runs are logged is the user's choice here; in the file it is made for W&B's agents.
    return tuple(part for part in rest if part.partition("=")[0].partition(".")[0] != "logger")


def _metric(content: Any) -> tuple[str, bool]:
    if content is None:
        return "score", True
    if not isinstance(content, dict) or "name" not in content:
        raise UserError("metric: expected name and goal")
    goal = content.get("goal", "minimize")  # W&B's default
    if goal not in ("maximize", "minimize"):
        raise UserError(f"metric: goal: {goal}: expected maximize or minimize")
    if content["name"] == "score" and goal == "minimize":
        raise UserError("metric: a higher score is better; give goal: maximize")
    return content["name"], goal == "maximize"


def _hyperband(content: Any) -> Hyperband | None:
    """W&B's bands: min_iter * eta^k, or max_iter / eta^k for k up to s."""
    if content is None:
        return None
    if not isinstance(content, dict) or content.get("type") != "hyperband":
        raise UserError("early_terminate: expected type: hyperband")
    if unknown := sorted(set(content) - {"type", "min_iter", "max_iter", "s", "eta", "strict"}):
        raise UserError(f"early_terminate: unknown key {unknown[0]!r}")
    eta = content.get("eta", 3)
    if not isinstance(eta, (int, float)) or eta <= 1:
        raise UserError(f"early_terminate: eta: {eta}: expected a number above 1")
    for name in ("min_iter", "max_iter", "s"):
        value = content.get(name, 1)
        if not isinstance(value, int) or value < 1:
            raise UserError(f"early_terminate: {name}: {value}: expected a whole number above 0")
    if "max_iter" in content:
        if "s" not in content:
            raise UserError("early_terminate: max_iter needs s, the number of bands")
        bands = {int(content["max_iter"] / eta**k) for k in range(1, content["s"] + 1)}
    elif "min_iter" in content:
        bands = {int(content["min_iter"] * eta**k) for k in range(20)}
    else:
        raise UserError("early_terminate: expected min_iter, or max_iter and s")
    bands.discard(0)
    if not bands:
        raise UserError("early_terminate: no band: raise max_iter, or lower eta")
    return Hyperband(tuple(sorted(bands)), float(eta), bool(content.get("strict", False)))
