"""Whether a command that a page shows means something here: its verb, its settings and their choices, its options, its
files. Nothing is run.

`CHECKS` has a check for each program; a command of any other program is refused, so that a page cannot show what nobody
checks.
"""

import functools
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import tomllib
import typer
from documented import ROOT, Command

from head2head.cli import hydra_command_line
from head2head.cli.main import app
from head2head.compare import question
from head2head.run.configuration import check_names, combinations
from head2head.sweep import file as sweep_file
from head2head.sweep import request
from head2head.sweep.composer import Composer


class NotUnderstood(Exception):
    """What is wrong with a command."""


def understand(command: Command) -> None:
    """Check a command in the working directory, which has what the page says it has.

    Raises:
        NotUnderstood, UserError: it would not do there what the page says.
    """
    pieces = [[]]
    for word in command.words:
        if word == "|":
            pieces.append([])
        else:
            pieces[-1].append(word)
    for words in pieces:
        words = without_redirection(words)
        check = CHECKS.get(words[0])
        if check is None:
            raise NotUnderstood(f"{words[0]}: no check for this program in {Path(__file__).name}")
        check(words[1:])


def without_redirection(words: Sequence[str]) -> list[str]:
    """A command without the files that it reads or writes by < and >."""
    first = next((i for i, word in enumerate(words) if word in ("<", ">", ">>")), len(words))
    return list(words[:first])


@functools.cache
def composer() -> Composer:
    """One for all commands: reading the yaml files is what takes time."""
    return Composer()


def composed(overrides: Sequence[str]) -> dict[str, Any]:
    """What `compose` gives."""
    check_names(overrides)
    return composer()(overrides)


def head2head(arguments: Sequence[str]) -> None:
    """A verb with what follows it."""
    verb, *rest = arguments
    own = {"train": train, "sweep": sweep, "compare": compare}
    if verb in own:
        own[verb](rest)
    else:
        group = typer.main.get_command(app)
        if verb not in group.commands:
            raise NotUnderstood(f"head2head has no verb {verb}")
        try:
            group.commands[verb].make_context(verb, [word for word in rest if word != "..."])
        except Exception as error:  # Typer's own, which it does not show
            raise NotUnderstood(str(error)) from None


def train(arguments: Sequence[str]) -> None:
    if arguments == ["--help"]:
        return
    flags, overrides = hydra_command_line.sort(arguments)
    check_names(overrides, several=bool(flags))
    for combination in combinations(overrides):
        composed(combination)


def sweep(arguments: Sequence[str]) -> None:
    _, typed = hydra_command_line.for_launcher([word.replace("NAME", "smoke") for word in arguments], "sweep.py")
    with mock.patch.object(request, "Composer", composer):
        assert request.parse(typed).planners


def compare(arguments: Sequence[str]) -> None:
    if arguments != ["--help"]:
        _, typed = hydra_command_line.for_launcher(arguments, "compare")
        with mock.patch.object(question, "compose", composed):
            question.parse(typed)


def python(arguments: Sequence[str]) -> None:
    """A script of the repository."""
    script, *rest = arguments
    scripts = {"train.py": train, "sweep.py": sweep}
    if script in scripts:
        return scripts[script](rest)
    if not (ROOT / script).is_file():
        raise NotUnderstood(f"there is no {script}")
    source = (ROOT / script).read_text(encoding="utf-8")
    if unknown := [word for word in rest if word.startswith("--") and f'"{word}"' not in source]:
        raise NotUnderstood(f"{script} has no {unknown[0]}")


def make(arguments: Sequence[str]) -> None:
    """A target of the Makefile, with variables that it reads."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    target, *variables = arguments
    if not re.search(rf"^{target}:", makefile, re.MULTILINE):
        raise NotUnderstood(f"the Makefile has no target {target}")
    for variable in variables:
        if f"$({variable.partition('=')[0]})" not in makefile:
            raise NotUnderstood(f"the Makefile does not read {variable}")


def pip(arguments: Sequence[str]) -> None:
    """Installs this package, with extras that it has."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for named in re.findall(r"\[(.*?)\]", " ".join(arguments)):
        if unknown := set(named.split(",")) - set(extras):
            raise NotUnderstood(f"no extra {sorted(unknown)[0]}")


def wandb(arguments: Sequence[str]) -> None:
    """A sweep of W&B, from a file that its agents can run."""
    verb, what = arguments
    if verb == "sweep":
        settings = sweep_file.read_yaml(ROOT / what)
        sweep_file.read(ROOT / what)
        if missing := {"program", "command"} - set(settings):
            raise NotUnderstood(f"{what}: agents need {sorted(missing)}")
    elif verb != "agent":
        raise NotUnderstood(f"wandb {verb}")


def _not_ours(_: Sequence[str]) -> None:
    """Another project's program."""


CHECKS: dict[str, Callable[[Sequence[str]], object]] = {
    "head2head": head2head,
    "python": python,
    "make": make,
    "pip": pip,
    "wandb": wandb,
    "conlleval": _not_ours,
    "cat": _not_ours,
}
