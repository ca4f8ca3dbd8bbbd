"""`method: bayes`: Optuna chooses each next run from what came out so far (Tree-structured Parzen Estimator,
Bergstra et al. 2011; W&B's server uses a Gaussian process)."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from head2head.errors import UserError
from head2head.results import Result
from head2head.sweep.distributions import Choice, Parameter
from head2head.sweep.plan import Planned, Planner

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

TRIES = 20  # choices in a row that are all known, before a small space counts as searched through


def replay(planner: Planner, results: Mapping[str, Result]) -> list[Planned]:
    """The runs that a sweep has chosen so far, as the experiment's results show: those whose overrides are
    the sweep's parameters within their bounds."""
    rows = (assignment(planner.parameters, result.overrides) for result in results.values())
    return [run for run in planner.runs(row for row in rows if row is not None) if run.key in results]


def assignment(parameters: Mapping[str, Parameter], overrides: list[str]) -> dict[str, Any] | None:
    """The parameters' values in some overrides; None when one is missing or cannot be."""
    given = dict(override.split("=", 1) for override in overrides if "=" in override)
    found: dict[str, Any] = {}
    for name, parameter in parameters.items():
        if isinstance(parameter, Choice):
            fits = [value for value in parameter.values if str(value) == given.get(name)]
        else:
            fits = [kind(given[name]) for kind in (int, float) if name in given and _reads(kind, given[name])]
        if not fits:
            return None
        found[name] = fits[0]
    return found


def choose(planner: Planner, runs: list[Planned], results: Mapping[str, Result], count: int) -> list[Planned]:
    """The next runs; none when nothing new is found.

    Args:
        runs: those chosen so far.

    Raises:
        UserError: Optuna is not installed, or a distribution is none that it can search.
    """
    if count < 1:
        return []
    if importlib.util.find_spec("optuna") is None:
        raise UserError("method: bayes needs Optuna: pip install 'head2head[bayes]'")
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = {name: searched(name, parameter) for name, parameter in planner.parameters.items()}
    # Drawn anew from what is known, so that a sweep that was broken off goes on as if it had not been.
    seed = int(np.random.default_rng([planner.sweep_seed, len(runs)]).integers(2**31))
    study = optuna.create_study(
        direction="maximize" if planner.file.maximize else "minimize",
        sampler=optuna.samplers.TPESampler(seed=seed, constant_liar=True),
    )
    for run in sorted(runs, key=lambda run: run.key):
        study.add_trial(_trial(run, results.get(run.key), planner, space))
    known, found = {run.key for run in runs}, []
    for _ in range(TRIES):
        asked = [study.ask(space).params for _ in range(count - len(found))]
        new = [run for run in planner.runs(asked) if run.key not in known]
        known |= {run.key for run in new}
        found += new
        if len(found) == count:
            break
    return found


def _trial(run: Planned, result: Result | None, planner: Planner, space: dict[str, BaseDistribution]) -> Any:
    from optuna.trial import TrialState, create_trial

    value = objective(result, planner.file.metric) if result is not None else None
    return create_trial(
        state=TrialState.FAIL if value is None else TrialState.COMPLETE,
        params={name: run.assignment[name] for name in space},
        distributions=space,
        value=value,
    )


def objective(result: Result, metric: str) -> float | None:
    """What a run achieved; None when it failed.

    Raises:
        UserError: its task has no such metric.
    """
    if result.failed is not None or metric == "score":
        return result.score
    split, _, name = metric.partition("/")
    try:
        return result.metrics["last"][split][name]
    except KeyError:
        known = [f"{s}/{m}" for s, values in result.metrics["last"].items() for m in values]
        raise UserError(f"metric: {metric}: {result.task} has score, {', '.join(known)}") from None


def searched(name: str, parameter: Parameter) -> BaseDistribution:
    """Optuna's form of a parameter.

    Raises:
        UserError: it has none.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(parameter, Choice):
        return CategoricalDistribution(parameter.values)
    s, kind = parameter.settings, parameter.kind
    if kind == "int_uniform":
        return IntDistribution(int(s["min"]), int(s["max"]))
    if kind == "q_uniform" and all(isinstance(s[n], int) for n in ("min", "max", "q")):
        return IntDistribution(int(s["min"]), int(s["max"]), step=int(s["q"]))
    if kind in ("uniform", "q_uniform"):
        return FloatDistribution(s["min"], s["max"], step=s.get("q"))
    if kind in ("log_uniform_values", "inv_log_uniform_values"):
        return FloatDistribution(s["min"], s["max"], log=True)
    if kind == "log_uniform":
        return FloatDistribution(math.exp(s["min"]), math.exp(s["max"]), log=True)
    if kind == "inv_log_uniform":
        return FloatDistribution(math.exp(-s["max"]), math.exp(-s["min"]), log=True)
    raise UserError(f"parameters: {name}: bayes cannot search a {kind} distribution; take a uniform one, or values")


def _reads(kind: type, text: str) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True
