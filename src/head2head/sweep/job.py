"""One run of a sweep, or a group of them, in the worker that a launcher gave it."""

from __future__ import annotations

import functools
import json
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict

from head2head.errors import Unwritable, UserError
from head2head.experiments import ResultsFile, results_file
from head2head.files import NO_ROOM, cannot_be_written
from head2head.run import processes
from head2head.run.canonical import NOT_IN_KEY, canonical
from head2head.run.configuration import resolved
from head2head.run.importing import importing
from head2head.run.key import Identity, identify
from head2head.run.own_errors import message
from head2head.run.result import Result, run_folder, write_result
from head2head.sweep import claims
from head2head.sweep.composer import Composer
from head2head.sweep.jobs import GROUP
from head2head.sweep.plan import Planned, find

SWEEP = "HEAD2HEAD_SWEEP"  # environment: identifier of the sweep that started this worker


@dataclass(frozen=True)
class Run:
    """A run to be done: its resolved configuration, and what it is."""

    settings: dict[str, Any]
    planned: Planned

    @property
    def key(self) -> str:
        return self.planned.key


def job(config: DictConfig) -> float | None:
    """What a launcher calls: the run, or the runs of a group, unless done or in other hands. Returns a run's score.

    All that came out is on disk when it returns: nobody has to wait for what it returns.
    """
    processes.own()
    hydra = HydraConfig.get()
    os.chdir(hydra.runtime.cwd)  # on a cluster the worker may have been started elsewhere
    if hydra.runtime.cwd not in sys.path:
        sys.path.append(hydra.runtime.cwd)
    with open_dict(config):
        file = config.pop(GROUP, None)
    settings = resolved(config)
    alone = Run(settings, Planned(tuple(hydra.overrides.task), {}, identify(settings)))
    runs = [alone] if file is None else group(file)
    place = claims.folder(Path(settings["output_dir"]))
    mine = [run for run in runs if claims.take(place, run.key, os.environ.get(SWEEP, ""))]
    with claims.kept_alive(place, [run.key for run in mine]):
        scores = work(mine, place)
    return scores.get(runs[0].key)


def group(file: str) -> list[Run]:
    """The runs that a group's file names."""
    compose, found = Composer(), []
    task = None
    for overrides in json.loads(Path(file).read_text(encoding="utf-8")):
        settings = compose(overrides)
        identity = identify(settings, task)
        task = identity.task  # a group has one task
        found.append(Run(settings, Planned(tuple(overrides), {}, identity)))
    return found


def work(runs: Sequence[Run], place: Path) -> dict[str, float | None]:
    """Do claimed runs, add what comes of each to the experiment's results, and release its claim. Returns scores
    by key."""
    scores: dict[str, float | None] = {}
    open_claims = {run.key for run in runs}
    sweep = os.environ.get(SWEEP, "")
    try:
        left = []
        for run in runs:
            known = known_result(run)
            if known is None:
                left.append(run)
            else:
                keep(run, known)
                scores[run.key] = known.score
                claims.release(place, run.key)
                open_claims.discard(run.key)
        for run, outcome in attempts(left):
            if isinstance(outcome, Result):
                keep(run, outcome)
                scores[run.key] = outcome.score
                claims.release(place, run.key)
            else:
                claims.give_up(place, run.key, sweep, outcome)
            open_claims.discard(run.key)
    except SystemExit:  # the worker was told to end, by the system or by the run itself
        for key in open_claims:
            claims.give_up(place, key, sweep, "its worker was told to end")
        raise
    except BaseException:  # Ctrl-C, or a disk that is full: the runs are nobody's again
        for key in open_claims:
            claims.release(place, key)
        raise
    return scores


def results_file_of(run: Run) -> ResultsFile:
    """The results of the experiment that a run belongs to."""
    return _results_file(run.settings["experiment"], bool(run.settings["early_terminate"]))


@functools.cache
def _results_file(experiment: str, stopped_too: bool) -> ResultsFile:
    """One for all runs of this process: it keeps what it has parsed."""
    return results_file(experiment, stopped_too)


def known_result(run: Run) -> Result | None:
    """The run's result, if it has one by now."""
    known = results_file_of(run).read().get(run.key)
    return known if known is not None else find(run.planned, bool(run.settings["early_terminate"]))


def keep(run: Run, result: Result) -> None:
    """Add a result to the experiment's."""
    results_file_of(run).add(portable(result, run.planned.identity))


def attempts(runs: Sequence[Run]) -> Iterator[tuple[Run, Result | str]]:
    """Each run with its result, which is failed if the run raised; or with the reason why it should be tried again:
    memory ran out, perhaps for others beside it, or something broke a whole group.

    Raises:
        SystemExit: the GPU is lost to this process; the runs should be tried again in another one.
        Unwritable: a disk is full.
    """
    left = list(runs)
    try:
        for run, outcome in outcomes(runs):
            left.remove(run)
            yield run, as_result(run, outcome)
    except Unwritable:  # nobody's fault; the runs are to be done when there is room
        raise
    except Exception as error:
        for run in left:
            told = as_result(run, error, len(left))
            yield run, told


def outcomes(runs: Sequence[Run]) -> Iterator[tuple[Run, Result | Exception]]:
    """What came of each run."""
    if not runs:
        return
    with importing():
        from head2head.frozen.dispatch import run_several

    for number, outcome in run_several([run.settings for run in runs], [run.planned.overrides for run in runs]):
        yield runs[number], outcome


def as_result(run: Run, outcome: Result | Exception, together: int = 1) -> Result | str:
    """A run's result, or why it should be tried again.

    Args:
        together: how many runs an exception has ended. Of several nobody knows whose fault it was.

    Raises:
        SystemExit: the GPU is lost to this process.
        Unwritable: a disk is full, which is not the run's fault.
    """
    from head2head.model.finetuner import Diverged
    from head2head.model.memory import OutOfMemory, out_of_memory

    if isinstance(outcome, Result):
        return outcome
    if isinstance(outcome, Diverged):
        return find(run.planned) or failed(run.settings, run.planned, str(outcome))
    if isinstance(outcome, OutOfMemory):
        print(f"error: {run.planned.label}: {outcome}", file=sys.stderr, flush=True)
        return str(outcome)
    if isinstance(outcome, Unwritable):
        raise outcome
    if isinstance(outcome, OSError) and outcome.errno in NO_ROOM:  # of the log, for instance
        raise cannot_be_written(f"output_dir: {outcome.filename or run.settings['output_dir']}", outcome) from outcome
    if isinstance(outcome, UserError):
        print(f"error: {run.planned.label}: {message(outcome)}", file=sys.stderr, flush=True)
        return failed(run.settings, run.planned, message(outcome))
    traceback.print_exception(outcome)
    sys.stderr.flush()
    why = f"{type(outcome).__name__}: {' '.join(str(outcome).split())}"
    if "CUDA error" in why:  # every later call of this process would fail, too
        raise SystemExit(1) from None
    if out_of_memory(outcome) or together > 1:
        return why[:300]
    return failed(run.settings, run.planned, why)


def failed(settings: dict[str, Any], planned: Planned, why: str) -> Result:
    """A result that says why there are no scores, in a run folder of its own."""
    identity = planned.identity
    result = Result(
        key=identity.key,
        overrides=list(planned.overrides),
        config=settings,
        task=identity.task.name,
        head=identity.head,
        seed=identity.seed,
        metric=(*identity.task.metrics, "")[0],
        split=identity.task.validation_splits[0],
        experiment=settings["experiment"],
        failed=why,
    )
    with run_folder(identity.parent, identity.name) as folder:
        result.folder = str(folder)
        write_result(result, folder)
    return result


def portable(result: Result, identity: Identity) -> Result:
    """The result for the experiment's results.jsonl, which other machines read: of its settings and overrides
    those that say where files lie are left out, and of a local encoder its folder's name is kept."""
    config = canonical(result.config, identity.task.places)
    name = str(config["encoder"]["name"])
    shown = Path(name).name if Path(name).is_absolute() else name
    return replace(
        result,
        config=config | {"encoder": config["encoder"] | {"name": shown}},
        overrides=[o.replace(name, shown) for o in result.overrides if not _local(o, identity.task.places)],
    )


def _local(override: str, places: frozenset[str]) -> bool:
    name = override.partition("=")[0].lstrip("+")
    local: Sequence[str] = [*NOT_IN_KEY, *(f"task.{place}" for place in places)]
    return name in local or name.startswith("logger.")
