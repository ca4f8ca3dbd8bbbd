"""From a question to an experiment: its sweep files, its runs, and the design of its race.

The files hold the full grid, as those of any experiment do: `sweep.py experiment=NAME` would run it all, `wandb sweep`
takes them. The name is made of the task and a hash of the runs' keys, so that the same question finds its experiment
again and another one, or the same about data that have changed, has its own.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from head2head.compare.question import Question
from head2head.errors import UserError
from head2head.experiments import SWEEP_FILE, ResultsFile, folder_of, results_file
from head2head.files import write_atomically
from head2head.frozen.eligible import learned_parts
from head2head.run.canonical import NOT_IN_KEY
from head2head.run.key import build_task
from head2head.statistics.course import Design, Entry
from head2head.statistics.influence import OF_CLASSES
from head2head.sweep.composer import Composer
from head2head.sweep.distributions import Choice
from head2head.sweep.file import SweepFile
from head2head.sweep.plan import Planned, Planner, Tasks
from head2head.sweep.request import data_dir

TRAINED = "sweep-trained.yaml"  # beside sweep.yaml, where that solves its heads exactly
COMMAND = ("${env}", "${interpreter}", "${program}", "${args_no_hyphens}")  # of W&B's agents
METRICS = (*OF_CLASSES, "pearson", "spearman", "entity_f1")


@dataclass(frozen=True)
class Training:
    """How heads are trained where nothing else was asked for.

    rates: learning rates to choose from.
    settings: of every run.
    """

    rates: tuple[str, ...]
    epochs: int
    settings: tuple[str, ...] = ()


FINE_TUNED = Training(("5e-5", "1e-4", "2e-4"), 3)
# Heads with learned parts on a frozen encoder: batches are large and there is no dropout, since they have to come to
# the end that the heads beside them, which are solved, have come to.
TO_THE_END = ("batch_size=256", "encoder.dropout=0.0")
FROZEN = {
    "classes": Training(("3e-3", "1e-2", "3e-2"), 30, TO_THE_END),
    "values": Training(("1e-2", "3e-2", "1e-1"), 60, TO_THE_END),
    "words": Training(("1e-3", "3e-3", "1e-2"), 20),
}


@dataclass(frozen=True)
class Experiment:
    """The runs of a question.

    planned: run of the race -> what it is.
    names: label of a head -> its name, head=NAME.
    settings: label of a head -> its settings in words (optimizer.lr=5e-5), by number.
    planners: one for each sweep file.
    """

    name: str
    question: Question
    planners: tuple[Planner, ...]
    planned: Mapping[Entry, Planned]
    names: Mapping[str, str]
    settings: Mapping[str, Sequence[str]]

    @property
    def design(self) -> Design:
        """Of the race."""
        asked = self.question
        counts = {head: len(settings) for head, settings in self.settings.items()}
        return Design(counts, asked.folds, asked.repeats, asked.margin, asked.run_spread)

    @property
    def folder(self) -> Path:
        return folder_of(self.name)

    @property
    def results(self) -> ResultsFile:
        return results_file(self.name)

    @property
    def output_dir(self) -> Path:
        """Where the runs go."""
        return Path(self.question.config["output_dir"])

    def settings_of(self, run: Planned) -> dict[str, Any]:
        """A run's resolved configuration."""
        return self.planners[0].compose(run.overrides)

    def write(self) -> None:
        """Write the sweep files.

        Raises:
            UserError: they cannot be.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for planner in self.planners:
                text = f"# {self.question.command}\n" + sweep_file(planner, self.name)
                if not planner.file.path.exists() or planner.file.path.read_text(encoding="utf-8") != text:
                    write_atomically(planner.file.path, text)
        except OSError as error:
            raise UserError(f"{self.folder}: cannot be written: {error.strerror}") from None


def build(question: Question) -> Experiment:
    """The experiment that answers a question.

    Raises:
        UserError: a run that cannot be, two heads that are one, or a metric that no race can be run by.
    """
    compose, tasks = Composer(), Tasks()
    fixed = shared(question)
    planned: dict[Entry, Planned] = {}
    names: dict[str, str] = {}
    settings: dict[str, list[str]] = {}
    planners = []
    for file in sweep_files(question, compose):
        local = [text for text in question.overrides if name_of(text) in NOT_IN_KEY]
        planner = Planner(file, file.parameters, [*file.settings, *local, *fixed], compose=compose, tasks=tasks)
        planners.append(planner)
        for run in planner.all():
            head, text = run.identity.head, in_words(run)
            name = str(run.assignment["head"])
            if names.setdefault(head, name) != name:
                raise UserError(f"heads={','.join(question.heads)}: {names[head]} and {name} are the same head")
            number = list_place(settings.setdefault(head, []), text)
            fold = run.identity.task.fold
            assert fold is not None
            planned[Entry(head, number, fold.repeat * fold.folds + fold.number)] = run
    check_metric(next(iter(planned.values())))
    name = name_for(question, planned.values())
    ordered = {head: settings[head] for head in sorted(settings, key=lambda h: question.heads.index(names[h]))}
    for planner in planners:
        planner.file = in_folder(planner.file, name)
        planner.fixed = [*planner.fixed, f"experiment={name}"]
    planned = {entry: with_experiment(run, name) for entry, run in planned.items()}
    return Experiment(name, question, tuple(planners), planned, names, ordered)


def shared(question: Question) -> list[str]:
    """What every run is given and no sweep file holds: it changes no result."""
    given = {name_of(text) for text in question.overrides}
    usual = {"save_model": "save_model=false", "trainer.enable_progress_bar": "trainer.enable_progress_bar=false"}
    return [*data_dir(given), *(text for name, text in usual.items() if name not in given)]


def sweep_files(question: Question, compose: Composer) -> list[SweepFile]:
    """The experiment's sweep files: on a frozen encoder one for heads that are solved exactly and one for those with
    learned parts, as far as there are any; else one."""
    own = [text for text in question.overrides if name_of(text) not in NOT_IN_KEY]
    given = {name_of(text) for text in question.overrides} | set(question.grids)
    usual = training(question)
    fixed = [text for text in usual.settings if name_of(text) not in given]
    if not {"trainer.max_epochs", "trainer.max_steps"} & given:
        fixed.append(f"trainer.max_epochs={usual.epochs}")
    folds = [f"folds={question.folds}"] if question.folds != 5 else []
    rates = {"optimizer.lr": usual.rates}
    typed_rates = {"optimizer.lr", "optimizer.head_lr"} & set(question.grids)
    trained = (rates if not typed_rates else {}) | dict(question.grids)
    exact = [head for head in question.heads if solved(question, head, compose)]
    others = [head for head in question.heads if head not in exact]
    files = []
    if exact:
        files.append(grid(SWEEP_FILE, question, exact, {}, [*own, *folds, "optimizer=exact"]))
    if others:
        path = TRAINED if exact else SWEEP_FILE
        files.append(grid(path, question, others, trained, [*own, *folds, *fixed]))
    return files


def training(question: Question) -> Training:
    """How the heads are trained where the question says nothing of it."""
    if not question.frozen:
        return FINE_TUNED
    task = build_task(question.config)
    return FROZEN["words" if task.kind == "token" else "values" if task.regression else "classes"]


def solved(question: Question, head: str, compose: Composer) -> bool:
    """Whether a head's classifier is solved exactly: on a frozen encoder, unless an optimizer was asked for."""
    asked = any(name_of(text) == "optimizer" for text in question.overrides)
    return question.frozen and not asked and not learned_parts(compose([*question.overrides, f"head={head}"])["head"])


def grid(
    path: str, question: Question, heads: Sequence[str], values: Mapping[str, Sequence[str]], settings: Sequence[str]
) -> SweepFile:
    """A sweep file over heads, folds, repeats and some settings' values."""
    parameters = {
        "repeat": Choice(tuple(range(question.repeats))),
        "fold": Choice(tuple(range(question.folds))),
        "head": Choice(tuple(heads)),
        **{name: Choice(tuple(given)) for name, given in values.items()},
    }
    return SweepFile(Path(path), "", "grid", parameters, tuple(settings))


def in_folder(file: SweepFile, name: str) -> SweepFile:
    """The sweep file in its experiment's folder."""
    return SweepFile(folder_of(name) / file.path, name, file.method, file.parameters, file.settings)


def with_experiment(run: Planned, name: str) -> Planned:
    """The run as one of the experiment, which changes neither its key nor its result."""
    return Planned((*run.overrides, f"experiment={name}"), run.assignment, run.identity, run.kind)


def sweep_file(planner: Planner, name: str) -> str:
    """A sweep file's text, as W&B takes it."""
    values = {
        parameter: {"values": [typed(value) for value in choice.values]}
        for parameter, choice in planner.parameters.items()
        if isinstance(choice, Choice)
    }
    content = {
        "program": "train.py",
        "method": "grid",
        "metric": {"name": "score", "goal": "maximize"},
        "parameters": values,
        "command": [*COMMAND, *planner.file.settings, f"experiment={name}", "save_model=false", "logger=wandb"],
    }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)


def typed(value: Any) -> Any:
    """A value as yaml has it: 5e-5 is a word there, 5.0e-05 a number."""
    try:
        return int(value) if float(value).is_integer() and "." not in str(value) else float(value)
    except ValueError:
        return value


def in_words(run: Planned) -> str:
    """What sets a run's setting apart from the head's others."""
    own = {"repeat", "fold", "head"}
    return " ".join(f"{name}={value}" for name, value in run.assignment.items() if name not in own)


def list_place(texts: list[str], text: str) -> int:
    """The place of a text in a list, to which it is added where it is not there."""
    if text not in texts:
        texts.append(text)
    return texts.index(text)


def name_of(override: str) -> str:
    """The setting that an override sets."""
    return override.partition("=")[0].lstrip("+~")


def name_for(question: Question, runs: Iterable[Planned]) -> str:
    """The experiment's name: the task, and a hash of all that is asked."""
    runs = list(runs)
    asked = json.dumps([sorted(run.key for run in runs), question.margin, question.run_spread])
    task = re.sub(r"[^\w.-]+", "_", runs[0].identity.task.name)
    return f"compare-{task}-{hashlib.sha256(asked.encode()).hexdigest()[:8]}"


def check_metric(run: Planned) -> None:
    """Check that the variance of the task's first metric is known.

    Raises:
        UserError: it is not.
    """
    metric = run.identity.task.metrics[0]
    if metric not in METRICS:
        raise UserError(
            f"task.metrics: heads cannot be compared by {metric}; put one of these first: {', '.join(METRICS)}"
        )
