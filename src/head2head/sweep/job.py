"""One run of a sweep, in the worker that a launcher gave it."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from head2head import results
from head2head.configuration import resolved
from head2head.errors import UserError
from head2head.identity import Identity, identify
from head2head.ledger import Ledger
from head2head.results import Result
from head2head.sweep import claims
from head2head.sweep.plan import Planned, find, folder_of

SWEEP = "HEAD2HEAD_SWEEP"  # environment: identifier of the sweep that started this worker


def job(config: DictConfig) -> float | None:
    """What a launcher calls: the run, unless it is done or in other hands. Returns its score.

    All that came out is on disk when it returns: nobody has to wait for what it returns.
    """
    hydra = HydraConfig.get()
    os.chdir(hydra.runtime.cwd)  # on a cluster the worker may have been started elsewhere
    if hydra.runtime.cwd not in sys.path:
        sys.path.append(hydra.runtime.cwd)
    settings = resolved(config)
    overrides = list(hydra.overrides.task)
    planned = Planned(tuple(overrides), {}, identify(settings))
    place = claims.folder(Path(settings["output_dir"]))
    if not claims.take(place, planned.key, os.environ.get(SWEEP, "")):
        return None
    with claims.kept_alive(place, planned.key):
        return work(settings, planned, place)


def work(settings: dict[str, Any], planned: Planned, place: Path) -> float | None:
    """Do a claimed run, fold what came of it into the experiment's results, and release the claim."""
    try:
        ledger = Ledger(folder_of(settings["experiment"]) / "results.jsonl", bool(settings["early_terminate"]))
        known = ledger.read().get(planned.key)
        if known is None:
            known = find(planned, bool(settings["early_terminate"]))
        if known is None:
            known = attempt(settings, planned, place)
        if known is None:
            return None
        ledger.fold(portable(known, planned.identity))
    except SystemExit:  # the worker was told to end, by the system or by the run itself
        claims.give_up(place, planned.key, os.environ.get(SWEEP, ""), "its worker was told to end")
        raise
    except BaseException:  # Ctrl-C, or a disk that is full: the run is nobody's again
        claims.release(place, planned.key)
        raise
    claims.release(place, planned.key)
    return known.score


def attempt(settings: dict[str, Any], planned: Planned, place: Path) -> Result | None:
    """The run's result, failed if it raised; None when it ran out of memory, perhaps for others beside it, and
    should be tried again.

    Raises:
        SystemExit: the GPU is lost to this process; the run should be tried again in another one.
    """
    from head2head.finetuner import Diverged
    from head2head.run import run

    try:
        return run(settings, planned.overrides)
    except Diverged as error:
        return find(planned) or failed(settings, planned, str(error))
    except UserError as error:
        print(f"error: {planned.label}: {error}", file=sys.stderr, flush=True)
        return failed(settings, planned, str(error))
    except Exception as error:
        traceback.print_exc()
        sys.stderr.flush()
        why = f"{type(error).__name__}: {' '.join(str(error).split())}"
        if out_of_memory(error):
            claims.give_up(place, planned.key, os.environ.get(SWEEP, ""), why[:300])
            return None
        if "CUDA error" in why:  # every later call of this process would fail, too
            raise SystemExit(1) from None
        return failed(settings, planned, why)


def out_of_memory(error: Exception) -> bool:
    """Whether memory was short, on the GPU or the machine."""
    told = ("out of memory", "ALLOC_FAILED", "can't allocate memory")
    return isinstance(error, MemoryError) or any(words in str(error) for words in told)


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
    with results.run_folder(identity.parent, identity.name) as folder:
        result.folder = str(folder)
        results.write(result, folder)
    return result


def portable(result: Result, identity: Identity) -> Result:
    """The result for the experiment's results.jsonl, which other machines read: of its settings and overrides
    those that say where files lie are left out, and of a local encoder its folder's name is kept."""
    config = results.relevant(result.config, identity.task.places)
    name = str(config["encoder"]["name"])
    shown = Path(name).name if Path(name).is_absolute() else name
    return replace(
        result,
        config=config | {"encoder": config["encoder"] | {"name": shown}},
        overrides=[o.replace(name, shown) for o in result.overrides if not _local(o, identity.task.places)],
    )


def _local(override: str, places: frozenset[str]) -> bool:
    name = override.partition("=")[0].lstrip("+")
    local: Sequence[str] = [*results.NOT_IN_KEY, *(f"task.{place}" for place in places)]
    return name in local or name.startswith("logger.")
