"""What a configuration stands for before anything runs: its task, label, key and folder. Imports no torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from head2head.data.task import Task
from head2head.errors import UserError
from head2head.files import sha256
from head2head.run.label import head_label
from head2head.run.result import VERSION

# Settings that cannot change a result. Everything else is part of the key.
NOT_IN_KEY = frozenset(
    {
        *("output_dir", "cache_dir", "data_dir", "threads", "workers", "logger", "save_model", "profile"),
        *("experiment", "plan", "early_terminate", "frozen_features", "checkpoint_minutes"),
    }
)
# Shortcuts that change random streams: a run without them has the key that it had before there were any.
SHORTCUTS = frozenset({"cls_shortcut", "fast_dropout", "compiled_layers"})
TRAINER_NOT_IN_KEY = frozenset({"enable_progress_bar", "log_every_n_steps", "profiler"})


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
        UserError: the head does not fit the task, or the data are not there.
    """
    check_numbers(config)
    task = task or build_task(config)
    check_pairing(config, task)
    key = key_of(complete(config, task), content(config, task), task.places)
    head, seed = head_label(config["head"]), config["seed"]
    return Identity(key, task, head, seed, Path(config["output_dir"], task.name, head), f"{seed}-{key[:8]}")


def check_numbers(config: dict[str, Any]) -> None:
    """Check the numbers, switches and folders of the configuration's top level.

    Raises:
        UserError: one is none, or too small.
    """
    for name in ("output_dir", "cache_dir"):
        if not config[name] or not isinstance(config[name], str):
            raise UserError(f"{name}={config[name]}: a folder (quote a name that is a number: '{name}=\"2024\"')")
    for name, least in (("seed", 0), ("batch_size", 1), ("evaluation_tokens", 1), ("workers", 0), ("threads", 1)):
        value = config[name]
        if value is None and name == "threads":
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise UserError(f"{name}={value}: a whole number, {least} or above")
    minutes = config["checkpoint_minutes"]
    if minutes is not None and (not isinstance(minutes, (int, float)) or isinstance(minutes, bool) or not minutes > 0):
        raise UserError(f"checkpoint_minutes={minutes}: minutes, above 0, or null")
    for name in ("cls_shortcut", "fast_dropout", "compiled_layers", "frozen_features", "profile"):
        if not isinstance(config[name], bool):
            raise UserError(f"{name}={config[name]}: true or false")


def complete(config: dict[str, Any], task: Task) -> dict[str, Any]:
    """The configuration with the labels and metrics that were found in the data, so that a finished run
    can do without the files it was trained on, and with full paths, so that it can be told from anywhere."""
    found = {name: list(getattr(task, name)) for name in ("labels", "metrics")}
    paths = {name: str(Path(config["task"][name]).absolute()) for name in task.places if config["task"].get(name)}
    return config | {"task": config["task"] | found | paths}


def build_task(config: dict[str, Any]) -> Task:
    """The task that the configuration describes.

    Raises:
        UserError: its settings do not fit.
    """
    settings = config["task"]
    if settings.get("data_dir") == "":  # HEAD2HEAD_DATA= is as good as none
        settings = settings | {"data_dir": None}
    try:
        return instantiate(settings, _convert_="all")
    except InstantiationException as error:
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from None
        raise UserError(f"task: {error.__cause__ or error}") from error


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


def content(config: dict[str, Any], task: Task) -> dict[str, str]:
    """Hashes of the local files that a run reads, and names of what it reads from elsewhere.

    Raises:
        UserError: a file is not there, or the task cannot be trained.
    """
    sources = task.sources()
    if "train" not in sources:
        raise UserError(
            f"task {task.name} has no training split; score a finished run on it: head2head evaluate --help"
        )
    found = {}
    for split in ("train", *task.validation_splits):
        source = sources[split]
        found[split] = sha256(source) if isinstance(source, Path) else source
    folder = Path(str(config["encoder"]["name"]))
    if folder.is_dir():
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        hashes = [[str(path.relative_to(folder)), sha256(path)] for path in files]
        found["encoder"] = hashlib.sha256(str(hashes).encode()).hexdigest()
    return found


def key_of(config: Mapping[str, Any], content: Mapping[str, str], places: frozenset[str]) -> str:
    """Hash of everything that can change a run's result.

    Args:
        config: the resolved configuration, as plain dicts and lists.
        content: hashes of local files (data, encoder) by what they are, in place of their paths.
        places: keys of `config["task"]` that only say where data lie.
    """
    kept = relevant(config, places)
    # A folder's content stands for its name; `lr` is only the default of optimizer.lr, which is here itself.
    unnamed = {"lr", "name", "revision"} if "encoder" in content else {"lr"}
    kept["encoder"] = {name: value for name, value in kept["encoder"].items() if name not in unnamed}
    text = json.dumps([VERSION, plain(kept), dict(content)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def relevant(config: Mapping[str, Any], places: frozenset[str]) -> dict[str, Any]:
    """The configuration without what cannot change a result: where files lie, how much is shown and stored.

    Args:
        places: keys of `config["task"]` that only say where data lie.
    """
    # A frozen encoder has no dropout for them to change.
    off = {name for name in SHORTCUTS if not config.get(name) or config["encoder"]["frozen"] is True}
    kept: dict[str, Any] = {name: value for name, value in config.items() if name not in NOT_IN_KEY | off}
    kept["task"] = {name: value for name, value in config["task"].items() if name not in places}
    kept["trainer"] = {name: v for name, v in config["trainer"].items() if name not in TRAINER_NOT_IN_KEY}
    return kept


def plain(value: Any) -> Any:
    """The same with whole floats as integers: `gradient_clip_val=1` and `1.0` are one setting."""
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
