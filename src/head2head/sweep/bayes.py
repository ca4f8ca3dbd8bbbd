"""`method: bayes`: Optuna chooses each next run from what came out so far (Tree-structured Parzen Estimator,
Bergstra et al. 2011; W&B's server uses a Gaussian process)."""

from __future__ import annotations

import contextlib
import importlib.util
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from head2head.errors import UserError
from head2head.run.canonical import NOT_IN_KEY
from head2head.run.result import Result
from head2head.sweep import space
from head2head.sweep.distributions import Choice, Parameter, Range
from head2head.sweep.plan import Planned, Planner

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution

TRIES = 20  # choices that are known already, before what is left of a small space is gone through


def replay(planner: Planner, results: Mapping[str, Result]) -> list[Planned]:
    """The runs that a sweep has chosen so far, as the experiment's results show: those whose overrides are
    the sweep's parameters within their bounds.

    Raises:
        UserError: a distribution is none that can be searched.
    """
    for name, parameter in planner.parameters.items():
        if isinstance(parameter, Range):
            interval(name, parameter)
    rows = (assignment(planner.parameters, result.overrides) for result in results.values())
    return [run for run in planner.runs(row for row in rows if row is not None) if run.key in results]


def assignment(parameters: Mapping[str, Parameter], overrides: list[str]) -> dict[str, Any] | None:
    """The parameters' values in some overrides; None when one is missing or cannot be.

    Of what cannot change a result (threads ...) stored overrides say nothing: there the file's value counts.
    """
    given = dict(override.split("=", 1) for override in overrides if "=" in override)
    found: dict[str, Any] = {}
    for name, parameter in parameters.items():
        if isinstance(parameter, Choice):
            told = given.get(name, str(parameter.values[0]) if name in NOT_IN_KEY else None)
            fits = [value for value in parameter.values if str(value) == told]
        else:
            number = _number(given.get(name, ""))
            fits = [number] if number is not None and interval(name, parameter).holds(number) else []
        if not fits:
            return None
        found[name] = fits[0]
    return found


def choose(planner: Planner, runs: list[Planned], results: Mapping[str, Result], count: int) -> list[Planned]:
    """The next runs; fewer, or none, when no more can be.

    Args:
        runs: those chosen so far.

    Raises:
        UserError: Optuna is not installed, or a distribution is none that can be searched.
    """
    if count < 1:
        return []
    if importlib.util.find_spec("optuna") is None:
        raise UserError("method: bayes needs Optuna: pip install 'head2head[bayes]'")
    # Drawn anew from what is known, so that a sweep that was broken off goes on as if it had not been.
    rng = np.random.default_rng([planner.sweep_seed, len(runs)])
    known, found = {run.key for run in runs}, []
    for row in proposals(planner, runs, results, count + TRIES, rng):
        if new := [run for run in planner.runs([row]) if run.key not in known]:
            known.add(new[0].key)
            found += new
        if len(found) == count:
            break
    return found


def proposals(
    planner: Planner, runs: list[Planned], results: Mapping[str, Result], count: int, rng: np.random.Generator
) -> Iterator[dict[str, Any]]:
    """Values to try: so many of Optuna's, then all of a space that has an end."""
    distributions = {name: searched(name, parameter) for name, parameter in planner.parameters.items()}
    study = _study(planner, int(rng.integers(2**31)))
    for run in sorted(runs, key=lambda run: run.key):
        study.add_trial(_trial(run, results.get(run.key), planner, distributions))
    for _ in range(count):
        yield study.ask(distributions).params
    if all(isinstance(p, Choice) or p.grid is not None for p in planner.parameters.values()):
        rows = space.grid(planner.parameters)
        yield from (rows[i] for i in rng.permutation(len(rows)))


def _study(planner: Planner, seed: int) -> Study:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        direction="maximize" if planner.file.maximize else "minimize",
        sampler=optuna.samplers.TPESampler(seed=seed, constant_liar=True),
    )


def _trial(run: Planned, result: Result | None, planner: Planner, distributions: dict[str, BaseDistribution]) -> Any:
    from optuna.trial import TrialState, create_trial

    value = objective(result, planner.file.metric) if result is not None else None
    known = value is not None and math.isfinite(value)
    given = {name: run.assignment[name] for name in distributions}
    return create_trial(
        state=TrialState.COMPLETE if known else TrialState.FAIL,
        params={n: str(v) if isinstance(planner.parameters[n], Choice) else v for n, v in given.items()},
        distributions=distributions,
        value=value if known else None,
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


@dataclass(frozen=True)
class Interval:
    """What of the number line is searched.

    step: of the multiples that are searched, from low on; None: all numbers between.
    log: evenly on a logarithmic scale.
    """

    low: float
    high: float
    step: float | None = None
    log: bool = False

    def holds(self, value: float) -> bool:
        steps = (value - self.low) / self.step if self.step else 0.0
        return self.low <= value <= self.high and math.isclose(steps, round(steps), abs_tol=1e-8)


def interval(name: str, parameter: Range) -> Interval:
    """What bayes searches of a range.

    Raises:
        UserError: it can search none like it.
    """
    s, kind = parameter.settings, parameter.kind
    if kind == "int_uniform":
        return Interval(s["min"], s["max"], step=1)
    if kind == "q_uniform":
        return Interval(parameter.quantized(s["min"]), parameter.quantized(s["max"]), step=s["q"])
    if kind == "uniform":
        return Interval(s["min"], s["max"])
    if kind in ("log_uniform_values", "inv_log_uniform_values"):
        return Interval(s["min"], s["max"], log=True)
    if kind == "log_uniform":
        return Interval(math.exp(s["min"]), math.exp(s["max"]), log=True)
    if kind == "inv_log_uniform":
        return Interval(math.exp(-s["max"]), math.exp(-s["min"]), log=True)
    raise UserError(f"parameters: {name}: bayes cannot search a {kind} distribution; take a uniform one, or values")


def searched(name: str, parameter: Parameter) -> BaseDistribution:
    """Optuna's form of a parameter. Choices are the values' texts: what differs in the command is distinct.

    Raises:
        UserError: it has none.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(parameter, Choice):
        return CategoricalDistribution(tuple(dict.fromkeys(map(str, parameter.values))))
    i = interval(name, parameter)
    if isinstance(i.step, int):
        return IntDistribution(int(i.low), int(i.high), step=i.step)
    return FloatDistribution(i.low, i.high, step=i.step, log=i.log)


def _number(text: str) -> float | int | None:
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return None
