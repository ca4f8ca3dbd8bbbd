"""Repeat finished runs, and say whether their numbers come out again. Imports no torch until they run."""

from __future__ import annotations

import contextlib
import random
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from head2head.errors import UserError
from head2head.experiments import RESULTS, folder_of
from head2head.report.runs import load
from head2head.run import processes
from head2head.run.comparison import TOLERANCE, Comparison, compare, within
from head2head.run.configuration import compose, refuse_several_devices
from head2head.run.importing import importing
from head2head.run.key import identify
from head2head.run.result import Result, read_result
from head2head.sweep.job import portable


def reproduce_run(folder: Path, data_dir: Path | None = None, places: Sequence[str] = ()) -> None:
    """Repeat a run from its folder, and print what agrees and what is not as it was.

    Args:
        data_dir: where the data lie, if not where the run found them.
        places: NAME=VALUE, other settings that say where something lies.

    Raises:
        UserError: no run that can be repeated, or numbers that differ by more than they may.
    """
    then = replace(read_result(folder), folder=str(folder))
    check_repeatable(then, str(folder))
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    for place in [*places, *([] if data_dir is None else [f"data_dir={data_dir}"])]:
        config = put(config, place)
    comparison = repeat(config, replace(then, config=portable(then, identify(config)).config))
    for line in report(comparison):
        print(line)
    if not comparison.agrees:
        raise UserError(f"{folder}: the run does not come out as it did")


def reproduce_sample(
    experiment: str, count: int, seed: int | None = None, data_dir: Path | None = None, places: Sequence[str] = ()
) -> None:
    """Repeat some runs of an experiment's results, drawn by chance, and print a line for each.

    Args:
        seed: of the draw; None for another draw each time.
        data_dir, places: as for `reproduce_run`.

    Raises:
        UserError: no such experiment, or runs that do not come out as they did.
    """
    results = [r for r in load(experiment).results if r.failed is None and r.stopped is None]
    seed = random.SystemRandom().randrange(100_000) if seed is None else seed
    chosen = random.Random(seed).sample(sorted(results, key=lambda r: r.key), min(count, len(results)))
    print(f"{experiment}: {len(chosen)} of {len(results)} runs, drawn with --seed {seed}", flush=True)
    where = [*([] if data_dir is None else [f"data_dir='{data_dir}'"]), *places]
    differing = []
    for then in chosen:
        name = f"{then.task} · {then.head} · seed {then.seed} · {then.key[:8]}"
        try:
            config = compose([*then.overrides, *where, "trainer.enable_progress_bar=false"])
            comparison = repeat(config, replace(then, folder=None))
        except UserError as error:
            print(f"{name}: not repeated: {error}", flush=True)
            differing.append(name)
            continue
        print("\n  ".join([f"{name}: {verdict(comparison)}", *report(comparison)[1:]]), flush=True)
        if not comparison.agrees:
            differing.append(name)
    if differing:
        raise UserError(f"{folder_of(experiment) / RESULTS}: {len(differing)} of {len(chosen)} runs do not come out as "
                        f"they did: {'; '.join(differing)}")  # fmt: skip


def check_repeatable(then: Result, what: str) -> None:
    """Check that a run has numbers which do not depend on other runs.

    Raises:
        UserError: it has none, or they do.
    """
    if then.failed is not None:
        raise UserError(f"{what}: this run has failed ({then.failed}); there is nothing to repeat")
    if then.stopped is not None:
        raise UserError(f"{what}: this run was stopped early by its sweep ({then.stopped}), as other runs went then")


def put(config: dict[str, Any], place: str) -> dict[str, Any]:
    """The configuration with a setting that says where something lies; one that the task has under the same name, too.

    Args:
        place: NAME=VALUE.

    Raises:
        UserError: there is no such setting.
    """
    name, equals, value = place.partition("=")
    group, _, setting = name.rpartition(".")
    settings = config.get(group) if group else config
    if not equals or not isinstance(settings, dict) or setting not in settings:
        raise UserError(f"--set {place}: give NAME=VALUE for a setting of the run, such as task.train=FILE")
    if group:
        return config | {group: settings | {setting: value}}
    task = config["task"]
    return config | {setting: value, "task": task | {setting: value} if setting in task else task}


def repeat(config: dict[str, Any], then: Result) -> Comparison:
    """Run a configuration in a folder that is taken away again, and hold what comes of it against a run.

    Args:
        then: with a configuration as the results of an experiment have it.

    Raises:
        UserError: it cannot be run, or fails now.
    """
    refuse_several_devices(config)
    with importing():
        from head2head.frozen.dispatch import run_one

    processes.own()
    with tempfile.TemporaryDirectory(prefix="head2head-") as place:
        config = config | {
            **{"output_dir": place, "cache_dir": compose([])["cache_dir"], "threads": then.threads or None},
            **{"logger": None, "experiment": None, "early_terminate": None, "checkpoint_minutes": None},
            **{"save_model": False, "profile": False},
            # On a processor, where that is what it ran on; else on what there is.
            "trainer": config["trainer"] | {"accelerator": "cpu" if then.stream.startswith("cpu") else "auto"},
        }
        with contextlib.redirect_stdout(sys.stderr):  # its progress, and its folder, which will be gone
            now = run_one(config, then.overrides)
        return compare(then, replace(now, config=portable(now, identify(now.config)).config))


def verdict(comparison: Comparison) -> str:
    """What to say of a repetition in a word."""
    if comparison.equal:
        return "equal to the last bit"
    if not comparison.agrees:
        return "DIFFERS" + (", where equal bits are promised" if comparison.promised else "")
    return "within rounding"


def report(comparison: Comparison) -> list[str]:
    """The verdict, and the numbers and circumstances that are not as they were."""
    lines = [verdict(comparison)]
    for metric in comparison.metrics:
        name = metric.name.rpartition("/")[2]
        if metric.then == metric.now:
            lines.append(f"{metric.name} {metric.now!r}: equal")
        else:
            bound = (
                "" if comparison.promised else f" (tolerance {TOLERANCE[name]}{'' if within(metric) else ', exceeded'})"
            )
            lines.append(f"{metric.name} {metric.then!r} -> {metric.now!r}{bound}")
    for split in comparison.predictions:
        lines.append(
            f"predictions on {split.split}: {split.same} of {split.count} are the same, "
            f"largest difference of a logit {split.largest:.2g}"
        )
    return lines + [f"not as then: {difference}" for difference in comparison.differences]
