"""What a configuration stands for before anything runs: its task, label, key and folder. Imports no torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException

from head2head.data.folds import Fold
from head2head.data.task import Task
from head2head.errors import UserError
from head2head.files import check_name, sha256
from head2head.model import trusted
from head2head.model.exact import is_exact
from head2head.model.trained import TrainedEncoder, is_run
from head2head.run.canonical import canonical, class_of, without
from head2head.run.label import SOLVED, head_label
from head2head.run.layers import check_layers
from head2head.run.result import VERSION
from head2head.run.secrets import check_secrets

# Whole numbers at the configuration's top level, and the least that each can be.
LEAST = {"seed": 0, "batch_size": 1, "evaluation_tokens": 1, "workers": 0, "threads": 1}


@dataclass(frozen=True)
class Identity:
    """A run's identity.

    parent, name: the folder it would be written to (`name.2`, ... where there is one already).
    """

    key: str
    task: Task
    head: str
    seed: int
    parent: Path
    name: str

    @property
    def folder(self) -> Path:
        return self.parent / self.name


def identify(config: dict[str, Any], task: Task | None = None) -> Identity:
    """Find out what a resolved configuration stands for.

    Args:
        task: that of the configuration, where it has been built before.

    Raises:
        UserError: the head does not fit the task, the data are not there, or something is named that may not be built.
    """
    check_numbers(config)
    check_secrets(config)
    for part in ("head", "task", "logger"):  # before the key, which looks for their source
        trusted.check(config[part], config.get("trust"))
    task = held_out(config, task or build_task(config))
    check_pairing(config, task)
    check_layers(config)
    check_similarity(config, task)
    config = complete(config, task)
    key = key_of(config, content(config, task), task.places)
    head, seed = head_label(config["head"]) + SOLVED * is_exact(config), config["seed"]
    return Identity(key, task, head, seed, Path(config["output_dir"], task.name, head), f"{seed}-{key[:8]}")


def check_numbers(config: dict[str, Any]) -> None:
    """Check the numbers, switches, names and folders of the configuration's top level.

    Raises:
        UserError: one is none, or too small.
    """
    for name in ("output_dir", "cache_dir"):
        if not config[name] or not isinstance(config[name], str):
            raise UserError(f"{name}={config[name]}: a folder (quote a name that is a number: '{name}=\"2024\"')")
    for name, least in LEAST.items():
        value = config[name]
        if value is None and name in ("threads", "seed"):
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise UserError(f"{name}={value}: a whole number, {least} or above")
    if config["experiment"] is not None:
        check_name(str(config["experiment"]), "experiment")
    check_fold(config)
    minutes = config["checkpoint_minutes"]
    if minutes is not None and (not isinstance(minutes, (int, float)) or isinstance(minutes, bool) or not minutes > 0):
        raise UserError(f"checkpoint_minutes={minutes}: minutes, above 0, or null")
    if config["speed"] not in ("fast", "exact"):
        raise UserError(f"speed={config['speed']}: fast, or exact for the library's own layers and dropout")
    if not isinstance(config["profile"], bool):
        raise UserError(f"profile={config['profile']}: true or false")


def check_fold(config: Mapping[str, Any]) -> None:
    """Check that there is such a fold, and that nobody asks for another seed than its own.

    Raises:
        UserError: there is not, or somebody does.
    """
    if fold_of(config) is not None and config["seed"] not in (None, seed_of(config)):
        raise UserError(
            f"seed={config['seed']} with fold={config['fold']}: a fold's seed is repeat x folds + fold, the same for "
            "every head; leave seed out, and give repeat=1, 2, ... for others"
        )


def complete(config: dict[str, Any], task: Task) -> dict[str, Any]:
    """The configuration with its seed, with the labels and metrics that were found in the data, so that a finished run
    can do without the files it was trained on, and with full paths, so that it holds anywhere."""
    found = {name: list(getattr(task, name)) for name in ("labels", "metrics")}
    paths = {name: str(Path(config["task"][name]).absolute()) for name in task.places if config["task"].get(name)}
    return config | {"seed": seed_of(config), "task": config["task"] | found | paths}


def seed_of(config: Mapping[str, Any]) -> int:
    """A run's seed: the one that was asked for, or in a cross-validation repeat x folds + fold, the same for every head
    and setting; else 0."""
    if config["fold"] is not None:
        return config["repeat"] * config["folds"] + config["fold"]
    return config["seed"] or 0


def build_task(config: dict[str, Any]) -> Task:
    """The task that the configuration describes.

    Raises:
        UserError: its settings do not fit.
    """
    settings = config["task"]
    if settings.get("data_dir") == "":  # HEAD2HEAD_DATA= is as good as none
        settings = settings | {"data_dir": None}
    try:
        return trusted.instantiate(settings, config.get("trust"), _convert_="all")
    except InstantiationException as error:
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from None
        raise UserError(f"task: {error.__cause__ or error}") from error


def fold_of(config: Mapping[str, Any]) -> Fold | None:
    """The fold that a run holds out; None where it holds out none.

    Raises:
        UserError: there is no such fold.
    """
    return None if config["fold"] is None else Fold(config["fold"], config["folds"], config["repeat"])


def held_out(config: Mapping[str, Any], task: Task) -> Task:
    """The task as a run has it: without the training rows of its fold, which it is scored on."""
    fold = fold_of(config)
    return task if fold is None or task.fold == fold else task.with_fold(fold)


def check_pairing(config: dict[str, Any], task: Task) -> None:
    """Sentence heads go with sentence tasks, token heads with token tasks.

    Raises:
        UserError: they do not here.
    """
    kind = "sentence" if "pool" in config["head"] else "token"
    if kind == task.kind:
        return
    if kind == "sentence":
        raise UserError(f"task {task.name} is token-level: it needs a token head, such as head=ner")
    raise UserError(
        f"task {task.name} has one label a text: it needs a sentence head, such as head=mean (ner is token-level)"
    )


def check_similarity(config: dict[str, Any], task: Task) -> None:
    """Where texts are read apart and scored, their cosine stands in the classifier's place. It can do without training,
    and nothing else can.

    Raises:
        UserError: there is a classifier of another kind, or no training for what needs it.
    """
    head = config["head"]
    if not (task.apart and task.regression):
        if config["trainer"]["max_epochs"] == 0:
            raise UserError(
                "trainer.max_epochs=0: only the similarity of two texts needs no training (task.pairs=apart on a task "
                "with scores, such as stsb); give 1 or more"
            )
        return
    given = {
        "head/classifier": class_of(head["classifier"]["_target_"]) != {"class": "Linear"},
        "head.dropout": head.get("dropout") is not None,
        "optimizer=exact": is_exact(config),
    }
    for setting in (name for name, is_given in given.items() if is_given):
        raise UserError(f"{setting}: with task.pairs=apart scores are a cosine, without a classifier; leave it out")


def content(config: dict[str, Any], task: Task) -> dict[str, str]:
    """Hashes of the local files that a run reads, and names of what it reads from elsewhere.

    Raises:
        UserError: a file is not there, or the task cannot be trained.
    """
    found = {
        split: sha256(source) if isinstance(source, Path) else source for split, source in task.run_sources().items()
    }
    folder = Path(str(config["encoder"]["name"]))
    if is_run(folder):
        found["encoder"] = TrainedEncoder(folder).fingerprint
    elif folder.is_dir():
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        hashes = [[str(path.relative_to(folder)), sha256(path)] for path in files]
        found["encoder"] = hashlib.sha256(str(hashes).encode()).hexdigest()
    return found


def key_of(config: Mapping[str, Any], content: Mapping[str, str], places: frozenset[str]) -> str:
    """Hash of what was asked for.

    Args:
        config: the resolved configuration, as plain dicts and lists.
        content: hashes of local files (data, encoder) by what they are, in place of their paths.
        places: keys of `config["task"]` that only say where data lie.
    """
    kept = canonical(config, places)
    if "encoder" in content:
        kept["encoder"] = without(kept["encoder"], {"name", "revision"})
    text = json.dumps([VERSION, kept, dict(content)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
