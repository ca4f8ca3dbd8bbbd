"""The door of the training verbs: help from the yaml files, names checked, then Hydra. Imports no torch.

A plain command is composed and run here, and a user's error is one line. With a Hydra flag (`-m`,
`--cfg`, ...) Hydra's own application takes over, with names checked first.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from head2head.configuration import CONFIGS, check_names, compose, description, options, search_path
from head2head.errors import UserError


def train(arguments: Sequence[str]) -> None:
    """`train.py` and `head2head train`: one run, or with `-m` several."""
    if {"-h", "--help"} & set(arguments):
        print(help_text())
        return
    sys.path.insert(0, str(Path.cwd()))  # a user's own head is importable from where it is used
    if any(argument.startswith("-") for argument in arguments):
        one_line_errors(lambda: hydra_application(arguments))
    else:
        one_line_errors(lambda: single(compose(arguments), arguments))


def single(config: dict[str, Any], overrides: Sequence[str]) -> float | None:
    """Run, or plan, one resolved configuration. Returns the score, which sweepers maximise."""
    if config["plan"]:
        from head2head.identity import identify

        identity = identify(config)
        print(f"{identity.key}  {identity.folder}")
        return None
    from head2head.run import run  # torch and its kin take seconds: only now

    return run(config, overrides).score


def hydra_application(arguments: Sequence[str]) -> None:
    """Hydra's own application over the same configuration."""
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import DictConfig, OmegaConf

    check_names([argument for argument in arguments if not argument.startswith("-")])

    def job(config: DictConfig) -> float | None:
        overrides = list(HydraConfig.get().overrides.task)
        try:
            if str(config.trainer.devices) != "1" or config.trainer.num_nodes != 1:
                # Lightning starts the other processes with this very command line: each would run all jobs.
                raise UserError(
                    "runs on several devices cannot be part of a multirun; start them one by one, without -m"
                )
            return single(OmegaConf.to_container(config, resolve=True), overrides)  # type: ignore[arg-type]
        except UserError as error:
            print(f"error: {' '.join(overrides)}: {error}", file=sys.stderr, flush=True)
            raise

    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come here instead of being printed with a traceback
    sys.argv = [sys.argv[0], *arguments, *search_path()]
    hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name="train")(job)()


def one_line_errors(work: Callable[[], Any]) -> None:
    """Do the work; print what the user can put right as `error: ...` and exit with status 1."""
    try:
        work()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(1)


def help_text() -> str:
    """What can be chosen and set, read from the yaml files."""
    lines = [
        "usage: python train.py [key=value ...]        one run: a head on a task with a seed",
        "       python train.py -m head=mean,max seed=1,2    several, through Hydra",
        "",
        "example: python train.py head=max task=cola data_dir=DIR seed=1 trainer.max_epochs=3",
    ]
    for group, title in (
        ("head", "head=NAME"),
        ("head/layers", "head/layers=NAME   which hidden states a head reads"),
        ("head/pool", "head/pool=NAME     how a sentence's tokens become one vector"),
        ("head/classifier", "head/classifier=NAME"),
        ("task", "task=NAME"),
        ("encoder", "encoder=NAME"),
        ("logger", "logger=NAME"),
    ):
        lines += ["", title]
        lines += [f"  {name:<20} {description(path)}" for name, path in options(group).items()]
    lines += ["", "settings (value: the default)"]
    for file, prefix in (
        ("train.yaml", ""),
        ("encoder/any.yaml", "encoder."),
        ("optimizer/adamw.yaml", "optimizer."),
        ("trainer/default.yaml", "trainer."),
    ):
        lines += [f"  {line}" for line in settings(CONFIGS / file, prefix)]
    lines += [
        "  trainer.*                    every other argument of Lightning's Trainer",
        "",
        "--hydra-help shows Hydra's own flags; --cfg job prints the configuration. A configs/ folder in the",
        "working directory adds heads, tasks and encoders of your own.",
    ]
    return "\n".join(lines)


def settings(file: Path, prefix: str) -> list[str]:
    """The settings of a yaml file that say what they are: `name: default  # meaning`."""
    found = []
    for line in file.read_text(encoding="utf-8").splitlines():
        match = re.match(r"(\w+): (.*?)\s+# (.*)", line)
        if match and match.group(2) != "???":
            name, default, meaning = match.groups()
            shown = default if len(default) < 24 else "..."
            found.append(f"{prefix + name + ': ' + shown:<44} {meaning}")
    return found
