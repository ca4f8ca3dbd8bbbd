"""What of a configuration is hashed into a run's key: what was asked for, under names that last.

Keys are fixed: `tests/run/test_key.py` holds a dozen of them. A new setting leaves all of them as they are when its
default is null, or stands in SINCE.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from head2head.model.exact import is_exact
from head2head.run.own_code import source_of

# Settings that cannot change a result: where files lie, what is shown and kept, when a run is cut short.
NOT_IN_KEY = frozenset(
    {
        *("output_dir", "cache_dir", "data_dir", "threads", "workers", "logger", "save_model", "profile"),
        *("experiment", "plan", "early_terminate", "checkpoint_minutes", "trust"),
    }
)
# Lightning's: what is shown, and where a run computes, which is part of its stream.
TRAINER_NOT_IN_KEY = frozenset(
    {
        *("enable_progress_bar", "log_every_n_steps", "profiler"),
        *("accelerator", "devices", "num_nodes", "strategy"),
    }
)
# Settings that came after the keys were fixed, and the value under which a run is what it was before them. (A setting
# whose value is null needs no entry: it is as good as not there.)
SINCE: Mapping[str, Any] = {"task.pairs": "together", "task.leave_out_contained": False, "head.standardize": False}


def canonical(config: Mapping[str, Any], places: frozenset[str]) -> dict[str, Any]:
    """The configuration without what cannot change a result, with lasting names in place of module paths.

    Args:
        config: resolved, as plain dicts, lists, strings and numbers; `seed` is a number.
        places: keys of `config["task"]` that only say where data lie.
    """
    kept = {name: value for name, value in config.items() if name not in NOT_IN_KEY}
    if kept.get("fold") is None:
        kept = {name: value for name, value in kept.items() if name not in ("fold", "folds", "repeat")}
        places |= {"leave_out_contained"}  # a rule for folds
    kept["task"] = without(config["task"], places)
    kept["trainer"] = without(config["trainer"], TRAINER_NOT_IN_KEY)
    kept["encoder"] = without(config["encoder"], {"lr"})  # the default of optimizer.lr, which is here itself
    kept["optimizer"] = optimizer(config)
    if is_exact(config):  # there are no steps
        kept["trainer"] = {"precision": kept["trainer"].get("precision")}
        del kept["batch_size"]
    for name, before in SINCE.items():
        group, _, setting = name.partition(".")
        if kept[group].get(setting) == before:
            kept[group] = without(kept[group], {setting})
    return named(kept)


def optimizer(config: Mapping[str, Any]) -> dict[str, Any]:
    """The optimizer's settings that have a part in training. `head_lr` is `lr` where it is not given; on an encoder
    that is frozen whole it is the only rate."""
    settings = dict(config["optimizer"])
    if is_exact(config):
        return settings
    rate = settings["lr"] if settings.get("head_lr") is None else settings["head_lr"]
    if config["encoder"]["frozen"] is True:
        return without(settings, {"lr", "layer_decay"}) | {"head_lr": rate}
    return settings | {"head_lr": None if rate == settings["lr"] else rate}


def without(settings: Mapping[str, Any], names: frozenset[str] | set[str]) -> dict[str, Any]:
    """The settings but for some."""
    return {name: value for name, value in settings.items() if name not in names}


def named(value: Any) -> Any:
    """The same without nulls, with whole floats as integers (`gradient_clip_val=1` and `1.0` are one setting), and
    with the name of a class in place of where it is found; for a user's own class with a hash of its source.

    >>> named({"_target_": "head2head.model.heads.Layer", "_partial_": True, "index": -1.0, "other": None})
    {'class': 'Layer', 'index': -1}
    """
    if isinstance(value, Mapping):
        found = {name: named(item) for name, item in value.items() if item is not None and name not in CLASS}
        return (class_of(str(value["_target_"])) if "_target_" in value else {}) | found
    if isinstance(value, (list, tuple)):
        return [named(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


CLASS = frozenset({"_target_", "_partial_"})


def class_of(target: str) -> dict[str, str]:
    """A class in a key: by its name alone if it is of this package, so that its module may move."""
    if target.startswith("head2head."):
        return {"class": target.rpartition(".")[2]}
    source = source_of(target)
    return {"class": target} | ({"source": source} if source else {})
