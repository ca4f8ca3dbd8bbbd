"""The command line of train and sweep: help, names checked, then Hydra. Imports no torch.

A plain command is composed and run here, and a user's error is one line. With a Hydra flag (`-m`,
`--cfg`, ...) Hydra's own application takes over, with names checked first.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from head2head.cli.help import compare_help_text, help_text, sweep_help_text
from head2head.errors import UserError, did_you_mean
from head2head.run import processes
from head2head.run.configuration import (
    CONFIGS,
    check_names,
    combinations,
    compose,
    in_our_names,
    known_keys,
    one_line,
    refuse_several_devices,
    resolved,
    search_path,
)
from head2head.run.hints import full_name
from head2head.run.importing import importing
from head2head.run.own_errors import message, own_error

if TYPE_CHECKING:
    from omegaconf import DictConfig

MULTIRUN = {"-m", "--multirun"}
# Hydra's flags, and those of them that a value follows.
VALUED = {
    *("--cfg", "-c", "--package", "-p", "--config-name", "-cn", "--config-path", "-cp"),
    *("--config-dir", "-cd", "--info", "-i", "--experimental-rerun"),
}
FLAGS = MULTIRUN | VALUED | {"--hydra-help", "--version", "--resolve", "--run", "-r", "--shell-completion", "-sc"}


def train(arguments: Sequence[str]) -> None:
    """`train.py` and `head2head train`: one run, or with `-m` several."""
    if {"-h", "--help"} & set(arguments):
        one_line_errors(lambda: print(help_text()))
        return
    kept = "only finished runs were" if MULTIRUN & set(arguments) else "nothing was"
    one_line_errors(lambda: enter(arguments), kept)


def sweep(arguments: Sequence[str]) -> None:
    """`sweep.py` and `head2head sweep`: the runs of an experiment that have no result yet."""
    if {"-h", "--help"} & set(arguments):
        one_line_errors(lambda: print(sweep_help_text()))
        return
    one_line_errors(lambda: enter_sweep(arguments), "only finished runs were")


def compare(arguments: Sequence[str]) -> None:
    """`head2head compare`: which head is best, by a race."""
    if {"-h", "--help"} & set(arguments):
        one_line_errors(lambda: print(compare_help_text()))
        return
    one_line_errors(lambda: enter_compare(arguments), "only finished runs were")


def enter_compare(arguments: Sequence[str]) -> None:
    """Race here on a frozen encoder, where runs are quick, and elsewhere by a launcher's workers, joblib's by default.

    Raises:
        UserError: something that the user can put right.
    """
    from head2head.compare import verb
    from head2head.compare.experiment import build
    from head2head.compare.question import parse
    from head2head.sweep.workers import chosen

    for_hydra, typed = for_launcher(arguments, "compare")
    experiment = build(parse(typed))
    if experiment.question.plan:
        verb.show_plan(experiment)
    elif experiment.question.frozen and not for_hydra:
        processes.own()
        verb.in_this_process(experiment)
    else:
        for_hydra = for_hydra or ["hydra/launcher=joblib"]
        if "hydra/launcher=joblib" in for_hydra:
            workers = chosen(experiment.question.config, for_hydra)
            print(workers, flush=True)
            for_hydra += workers.for_launcher
            typed += workers.for_runs
        launched(verb.COMPARED, typed, for_hydra, experiment.output_dir, experiment.name)


def for_launcher(arguments: Sequence[str], verb: str) -> tuple[list[str], list[str]]:
    """What is meant for Hydra and its launcher, and the rest.

    Raises:
        UserError: a flag, or a launcher that is not installed.
    """
    flags, overrides = sort(arguments)
    if set(flags) - MULTIRUN:
        raise UserError(f"{flags[0]}: {verb} takes key=value only; see --help")
    for_hydra = [text for text in overrides if text.lstrip("+~").startswith(("hydra/", "hydra."))]
    check_launcher(for_hydra)
    return for_hydra, [text for text in overrides if text not in for_hydra]


def launched(variable: str, typed: Sequence[str], for_hydra: Sequence[str], output_dir: Path, name: str) -> None:
    """Let Hydra's launcher do the runs, by way of the sweeper plugin.

    Args:
        variable: of the environment, by which the plugin gets what was typed: as overrides, Hydra would resolve what is
            meant for the runs.
        name: of the experiment.

    Raises:
        UserError: something that the user can put right.
    """
    from head2head.sweep.job import job

    started = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    # Absolute: a cluster's workers may have been started elsewhere.
    folder = Path(output_dir, ".sweeps", name, started).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"output_dir: {folder} cannot be written: {error.strerror}") from None
    own_memory = ["+hydra.launcher.ray.init.object_store_memory=null"]
    if "hydra/launcher=ray" not in for_hydra or any("object_store_memory" in text for text in for_hydra):
        own_memory = []  # the plugin's own default is refused by a cluster that is already there
    try:
        os.environ[variable] = json.dumps(typed)
        place = f"hydra.sweep.dir={quoted(str(folder))}"
        hydra_main(job, ["-m", "hydra/sweeper=head2head", place, *for_hydra, *own_memory])
    finally:
        tidy(folder)


def enter_sweep(arguments: Sequence[str]) -> None:
    """Tell what is left of a sweep, or hand it to Hydra's launcher by way of the sweeper plugin.

    Raises:
        UserError: something that the user can put right.
    """
    from head2head.sweep.request import TYPED, parse
    from head2head.sweep.run import show_plan
    from head2head.sweep.workers import choose

    for_hydra, typed = for_launcher(arguments, "sweep.py")
    request = parse(typed)
    if request.plan:
        show_plan(request)
        return
    if "hydra/launcher=joblib" in for_hydra:
        workers = choose(request, for_hydra)
        print(workers, flush=True)
        for_hydra += workers.for_launcher
        typed += workers.for_runs
    launched(TYPED, typed, for_hydra, request.output_dir, request.experiment)


# Launchers that an extra brings: their plugin, and the extra.
EXTRAS = {
    "submitit_local": ("hydra_submitit_launcher", "slurm"),
    "submitit_slurm": ("hydra_submitit_launcher", "slurm"),
    "ray": ("hydra_ray_launcher", "ray"),
}


def check_launcher(overrides: Sequence[str]) -> None:
    """Check that a known launcher is installed; others are left to Hydra.

    Raises:
        UserError: it is not.
    """
    for text in overrides:
        group, _, name = text.partition("=")
        if group != "hydra/launcher" or name not in EXTRAS:
            continue
        plugin, extra = EXTRAS[name]
        if importlib.util.find_spec(f"hydra_plugins.{plugin}") is None:
            raise UserError(f"hydra/launcher={name} needs its plugin: pip install 'head2head[{extra}]'")


def quoted(text: str) -> str:
    """A text as a value in an override."""
    return "'" + text.replace("'", "\\'") + "'"


def tidy(folder: Path) -> None:
    """Take away the folders that Hydra makes for each job, and the sweep's own when nothing is in it."""
    for path in [*folder.glob("*/"), folder, folder.parent, folder.parent.parent]:
        with contextlib.suppress(OSError):
            path.rmdir()


def enter(arguments: Sequence[str]) -> None:
    """Run here what has no flags, and by Hydra's own application what has.

    Raises:
        UserError: something that the user can put right.
    """
    flags, overrides = sort(arguments)
    if flags:
        hydra_application(flags, overrides)
    else:
        single(compose(overrides), overrides)


def sort(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Hydra's flags with their values, and the overrides, wherever they stand.

    Raises:
        UserError: a flag that Hydra does not have.
    """
    flags: list[str] = []
    overrides: list[str] = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if not argument.startswith("-"):
            overrides.append(argument)
            continue
        check_flag(argument, rest)
        flags.append(argument)
        if argument in VALUED and rest and "=" not in rest[0]:
            flags.append(rest.pop(0))
    return flags, in_our_names(overrides)


def check_flag(argument: str, rest: Sequence[str]) -> None:
    """Check that a flag is one of Hydra's.

    Raises:
        UserError: it is not; `--head mean` and `--head=mean` are told to be `head=mean`.
    """
    flag, equals, value = argument.partition("=")
    if flag in FLAGS:
        return
    following = rest[0] if rest and "=" not in rest[0] and not rest[0].startswith("-") else None
    if equals or following:
        name = flag.lstrip("-")
        raise UserError(
            f"{argument}: settings have no dashes; write {full_name(name, known_keys([])) or name}={value or following}"
        )
    raise UserError(f"unknown flag {argument}; {did_you_mean(argument, [f for f in FLAGS if len(f) > 3])}")


def single(config: dict[str, Any], overrides: Sequence[str]) -> float | None:
    """Run, or plan, one resolved configuration. Returns the score, which sweepers maximise."""
    if config["plan"]:
        from head2head.run.key import identify

        identity = identify(config)
        print(f"{identity.key}  {identity.folder}")
        return None
    # torch and its kin take seconds: only now.
    with importing():
        from head2head.frozen.dispatch import run_one

    processes.own()
    return run_one(config, overrides).score


def hydra_application(flags: Sequence[str], overrides: Sequence[str]) -> None:
    """Hydra's own application over the same configuration, with what can be checked before it checked.

    Raises:
        UserError: something that the user can put right.
    """
    if "--hydra-help" in flags:
        hand_over(flags, [])
    elif MULTIRUN & set(flags):
        multirun(flags, overrides)
    else:
        check_names(overrides)
        hand_over(flags, overrides)


def multirun(flags: Sequence[str], overrides: Sequence[str]) -> None:
    """Several runs. One that fails does not stop the others.

    Raises:
        UserError: the configurations do not compose, in which case nothing runs, or runs have failed.
    """
    check_names(overrides, several=True)
    configs = [compose(combination) for combination in combinations(overrides)]
    for config in configs:
        refuse_several_devices(config)
    with tempfile.TemporaryDirectory() as scratch:
        plan = [f"hydra.sweep.dir={scratch}/plan"] if configs[0]["plan"] else []  # a plan leaves nothing behind
        hand_over(flags, [*overrides, *plan], Path(scratch), combinations(overrides)[0])
        failed, finished = (len(list(Path(scratch).glob(f"*.{end}"))) for end in ("failed", "finished"))
    if failed:
        raise UserError(f"{failed} of {failed + finished} runs failed")


def hand_over(
    flags: Sequence[str], overrides: Sequence[str], notes: Path | None = None, example: Sequence[str] = ()
) -> None:
    """Let Hydra do what the flags say.

    Args:
        notes: where each job of a multirun notes how it ended; jobs may run in other processes.
        example: the overrides of one job, for near names in errors.

    Raises:
        UserError: something that the user can put right.
    """
    from hydra.core.hydra_config import HydraConfig

    def job(config: DictConfig) -> float | None:
        typed = list(HydraConfig.get().overrides.task)
        if notes is None:
            return single(resolved(config), typed)
        number = HydraConfig.get().job.num
        try:
            settings = resolved(config)
            refuse_several_devices(settings)
            score = single(settings, typed)
        except UserError as error:
            print(f"error: {' '.join(typed)}: {message(error)}", file=sys.stderr, flush=True)
            (notes / f"{number}.failed").touch()
            return float("nan")  # raising would end a sweeper's sweep, and Hydra would print it again
        (notes / f"{number}.finished").touch()
        return score

    hydra_main(job, [*flags, *overrides], example or overrides)


def hydra_main(function: Callable[[DictConfig], Any], arguments: Sequence[str], example: Sequence[str] = ()) -> None:
    """Hydra's application around a function.

    Args:
        example: the overrides of one job, for near names in errors.

    Raises:
        UserError: something that the user can put right.
    """
    import hydra

    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come here instead of being printed with a traceback
    sys.argv = [sys.argv[0], *arguments, *search_path()]
    with one_line(example):
        hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name="train")(function)()


def one_line_errors(work: Callable[[], Any], kept: str = "nothing was") -> None:
    """Do the work of a verb, with the user's own modules in reach.

    What the user can put right is printed as `error: ...` and ends with status 1, below the lines of the traceback that
    are in their own files, if there are any. Ctrl-C ends with 130, SIGTERM with 143.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # at the end: a file of the user's must not hide a library
    try:
        with processes.ending_on_sigterm():
            work()
            processes.end_if_told()
    except processes.Terminated as stop:
        print(f"\nended by SIGTERM: {stop.kept or f'{kept} kept'}", file=sys.stderr)
        sys.exit(stop.code)
    except BrokenPipeError:
        sys.exit(1)
    except Exception as error:
        own = own_error(error)
        if own is None and not isinstance(error, UserError):
            raise
        for line in own.lines if own is not None else ():
            print(line, file=sys.stderr)
        print(f"error: {message(error)}", file=sys.stderr)
        sys.exit(1)
    except (KeyboardInterrupt, SystemExit) as stop:
        # Lightning answers Ctrl-C with sys.exit while it handles the KeyboardInterrupt.
        if not isinstance(stop, KeyboardInterrupt) and not isinstance(stop.__context__, KeyboardInterrupt):
            raise
        print(f"\ninterrupted: {kept} kept", file=sys.stderr)
        sys.exit(130)
