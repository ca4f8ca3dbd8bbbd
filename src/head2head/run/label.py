"""A head's name in folders and tables."""

from __future__ import annotations

import functools
import re
from typing import Any

from head2head.files import read_yaml
from head2head.run.configuration import options


@functools.cache
def _parts(group: str) -> dict[str, dict[str, Any]]:
    return {name: read_yaml(path) for name, path in options(group).items()}


SOLVED = "-exact"  # after the label of a head whose classifier is solved


def head_label(head: dict[str, Any]) -> str:
    """A head's name in folders and tables, made of its parts and never of the file it started from.

    layers - pool (`ner` for token heads) - classifier, with `last` and `linear` left out, since they are
    what everybody takes. A setting that differs from the part's own file is appended.

    >>> head_label({"layers": {"_target_": "...Layer", "index": -2}, "pool": {...mean}, "classifier": {...linear}})
    'second_to_last-mean'
    """
    parts = head_parts(head)
    layers, middle, classifier = str(parts["layers"]), parts["pool"] or "ner", str(parts["classifier"])
    own = {name: head[name] for name in ("subword", "dropout") if head.get(name) not in (None, "first")}
    label = "-".join([layers] * (layers != "last") + [middle] + [classifier] * (classifier != "linear"))
    label += "".join(f"-{name}_{_shown(value)}" for name, value in own.items())
    return re.sub(r"[/\\\x00-\x1f]", "_", label)  # a setting may be a path; a label is a folder's name


def head_parts(head: dict[str, Any]) -> dict[str, str | None]:
    """Layers, pool and classifier of a head by their names, each with the settings that differ from its own file; a
    token head has no pool."""
    names = ("layers", "pool", "classifier")
    return {name: _part_label(f"head/{name}", head[name]) if name in head else None for name in names}


def _part_label(group: str, part: dict[str, Any]) -> str:
    """The file of the group that is nearest to a part, and the settings that differ from it."""

    def differences(settings: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in part.items() if settings.get(name, "???") != value}

    files = {name: s for name, s in _parts(group).items() if s["_target_"] == part["_target_"]}
    if not files:
        return part["_target_"].rpartition(".")[2].lower()
    name = min(files, key=lambda name: (len(differences(files[name])), "???" not in files[name].values()))
    return name + "".join(f"_{setting}_{_shown(value)}" for setting, value in differences(files[name]).items())


def _shown(value: object) -> str:
    """A value as yaml writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
