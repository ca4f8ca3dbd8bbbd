"""What was typed after `head2head compare`: the heads, the data, and what the answer may cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from head2head.compare.budget import Budget
from head2head.compare.budget import parse as parse_budget
from head2head.errors import UserError
from head2head.run.canonical import NOT_IN_KEY
from head2head.run.configuration import check_names, compose, taken_apart
from head2head.run.key import build_task, check_fold
from head2head.statistics.choice import is_tuned
from head2head.sweep.request import several_values

HEADS = {
    "sentence": ("pooler", "cls", "mean", "max", "weighted_sum"),
    "token": ("ner", "ner_weighted_sum", "ner_concat_last4"),
}
# What speaks to the race, not to its runs; run_spread has a default for fine-tuned and one for frozen encoders.
OWN = {
    "heads": "",
    "budget": "",
    "folds": "5",
    "repeats": "2",
    "margin": "0.01",
    "run_spread": "",
    "plan": "false",
    "retry": "false",
}
RUN_SPREAD = {False: 0.02, True: 0.01}  # by whether the encoder is frozen whole
SETTLED = {
    "head": "write heads=A,B for the heads to compare",
    "fold": "all folds are run",
    "repeat": "write repeats=N for the number of repeats",
    "seed": "a fold's seed is the same for every head",
    "experiment": "the experiment is named after the question",
    "early_terminate": "no run is stopped early",
}


@dataclass(frozen=True)
class Question:
    """Which of the heads is best?

    heads: names of heads (head=NAME).
    overrides: what every run is given: the task, the encoder, ...
    grids: settings that were typed with their values, which take the place of the usual ones.
    config: the configuration of one of the runs, resolved.
    margin, run_spread: as fractions; see `statistics.race.Rules`.
    """

    heads: tuple[str, ...]
    overrides: tuple[str, ...]
    grids: Mapping[str, tuple[str, ...]]
    config: dict[str, Any]
    folds: int
    repeats: int
    margin: float
    run_spread: float
    budget: Budget
    plan: bool = False
    retry: bool = False
    typed: tuple[str, ...] = field(default=(), compare=False)

    @property
    def frozen(self) -> bool:
        """Whether the encoder is frozen whole."""
        return self.config["encoder"]["frozen"] is True

    @property
    def command(self) -> str:
        """What was typed, but for what says only how it is to be answered."""
        own = ("budget=", "plan=", "retry=", "output_dir=", "cache_dir=")
        return " ".join(["head2head compare", *(text for text in self.typed if not text.startswith(own))])


def parse(arguments: Sequence[str]) -> Question:
    """What the arguments ask.

    Raises:
        UserError: something that cannot be asked.
    """
    own, rest = dict(OWN), []
    for text in arguments:
        name, _, value = text.partition("=")
        if name in own:
            own[name] = value
        elif name in SETTLED:
            raise UserError(f"{text}: not for compare; {SETTLED[name]}")
        else:
            rest.append(text)
    check_names(rest, several=True)
    overrides, grids = parted(rest)
    folds, repeats = whole("folds", own["folds"], 2), whole("repeats", own["repeats"], 1)
    asked = tuple(name.strip() for name in own["heads"].split(",") if name.strip())
    config, kind = one_of(overrides, grids, folds, asked)
    heads = asked or HEADS[kind]
    check_heads(heads)
    spread = own["run_spread"] or str(RUN_SPREAD[config["encoder"]["frozen"] is True])
    return Question(
        heads,
        overrides,
        grids,
        config,
        folds,
        repeats,
        fraction("margin", own["margin"]),
        fraction("run_spread", spread),
        parse_budget(own["budget"]),
        switch("plan", own["plan"]),
        switch("retry", own["retry"]),
        tuple(arguments),
    )


def parted(overrides: Sequence[str]) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
    """What all runs are given, and the grids of settings.

    Raises:
        UserError: several values of what is no setting that a head is tuned by.
    """
    fixed, grids = [], {}
    for setting in taken_apart(overrides):
        if len(setting.values) > 1 and setting.name in NOT_IN_KEY:
            raise UserError(several_values(setting.text))
        if len(setting.values) > 1 and not is_tuned(setting.name):
            raise UserError(f"{setting.text}: one {setting.name} a question")
        if len(setting.values) > 1 or setting.name in ("optimizer.lr", "optimizer.head_lr"):
            grids[setting.name] = setting.values
        else:
            fixed.append(setting.text)
    return tuple(fixed), grids


def one_of(
    overrides: Sequence[str], grids: Mapping[str, Sequence[str]], folds: int, heads: Sequence[str]
) -> tuple[dict[str, Any], str]:
    """The resolved configuration of one of the runs, and the kind of its task: sentence or token.

    Raises:
        UserError: it does not compose, or there is no such task.
    """
    given = [f"{name}={values[0]}" for name, values in grids.items()]
    config = compose(
        [*overrides, *given, f"head={heads[0] if heads else HEADS['sentence'][0]}", "fold=0", f"folds={folds}"]
    )
    check_fold(config)
    kind = build_task(config).kind
    return (config, kind) if heads or kind == "sentence" else one_of(overrides, grids, folds, HEADS[kind])


def check_heads(heads: Sequence[str]) -> None:
    """Check that there are such heads, each once, and at least two.

    Raises:
        UserError: there are not.
    """
    check_names([f"head={head}" for head in heads])
    if twice := sorted({head for head in heads if heads.count(head) > 1}):
        raise UserError(f"heads={','.join(heads)}: {twice[0]} stands there twice")
    if len(heads) < 2:
        raise UserError(f"heads={','.join(heads)}: two heads at least, to compare")


def whole(name: str, text: str, least: int) -> int:
    """A whole number that was typed.

    Raises:
        UserError: it is none, or too small.
    """
    if not text.isdigit() or int(text) < least:
        raise UserError(f"{name}={text}: a whole number, {least} or above")
    return int(text)


def fraction(name: str, text: str) -> float:
    """A fraction that was typed.

    Raises:
        UserError: it is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < 1:
        raise UserError(f"{name}={text}: a fraction of a score, such as 0.01 for one point")
    return value


def switch(name: str, text: str) -> bool:
    """A switch that was typed.

    Raises:
        UserError: it is none.
    """
    if text.lower() not in ("true", "false"):
        raise UserError(f"{name}={text}: expected true or false")
    return text.lower() == "true"
