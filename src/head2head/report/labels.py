"""What runs are called in tables: task and head, and the settings that an experiment varies besides."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from head2head.run.canonical import NOT_IN_KEY, SINCE, TRAINER_NOT_IN_KEY, named
from head2head.run.label import SOLVED
from head2head.run.result import Result
from head2head.statistics.choice import Setting, is_tuned, setting

ORDER = ("pooler", "cls", "mean", "max", "weighted_sum-mean", "weighted_sum-cls", "ner")
# Where a task's files lie, and what follows from the encoder's name, which are no part of the key; and what labels
# show in other words.
NOT_COMPARED = frozenset({"task.data_dir", "task.train", "task.validation", "task.test", "encoder.lr", "task.pairs"})
SEPARATOR = " · "


@dataclass(frozen=True)
class Labels:
    """Of each run, the labels of its task and head, and the settings that were tuned; and sentences about settings that
    labels do not show."""

    tasks: list[str]
    heads: list[str]
    tuned: list[Setting]
    remarks: list[str] = field(default_factory=list)


def label(results: Sequence[Result], flat: Sequence[Mapping[str, str]]) -> Labels:
    """Name the runs.

    A task's own setting that differs between runs of the task is appended to that task's label. Any other setting
    is appended to the head's label, unless the task alone, or what is already written, decides it. Where every
    head has one value a task (as after tuning each), or whether the classifier is trained, solved or neither decides
    it, rows stay whole and a remark says so. Under folds a setting that `statistics.choice.is_tuned` is no part of any
    label.

    Args:
        flat: of each run its `settings_of`.
    """
    tasks, heads, remarks = [""] * len(results), [""] * len(results), list[str]()
    tuned: list[Setting] = [()] * len(results)
    for folds in (True, False):
        which = [i for i, result in enumerate(results) if folds == in_fold(result)]
        if which:
            found = _label([results[i] for i in which], [flat[i] for i in which], folds)
            for i, task, head, values in zip(which, found.tasks, found.heads, found.tuned, strict=True):
                tasks[i], heads[i], tuned[i] = task, head, values
            remarks += found.remarks
    return Labels(_where_it_varies(tasks, "split", [r.split for r in results]), heads, tuned, remarks)


def _label(results: Sequence[Result], flat: Sequence[Mapping[str, str]], folds: bool) -> Labels:
    settings = varying(results, flat)
    tasks, heads = [task_label(r) for r in results], [head_label(r) for r in results]
    for name, values in settings.items():
        if name.startswith("task."):
            tasks = _where_it_varies(tasks, name, values)
    ways = [way(r) for r in results]
    shown: dict[str, list[str]] = {}
    remarks = []
    for name, values in settings.items():
        if name.startswith("task.") or (folds and is_tuned(name)) or _decided(values, tasks, *shown.values()):
            continue
        if _decided(values, ways):
            found = sorted(set(zip(ways, values, strict=True)))
            told = ", ".join(f"{value} where heads are {how}" for how, value in found)
            remarks.append(f"{name} is {told}.")
            continue
        by_head = _decided(values, heads, *shown.values())
        if not by_head and _decided(values, tasks, heads, *shown.values()):
            listed = sorted(set(values), key=lambda value: _numbered("", value))
            remarks.append(f"{name} differs between heads and tasks: {', '.join(listed)}.")
        else:
            shown[name] = values
    tuned: list[Setting] = [()] * len(results)
    if folds:
        tuned = _tuned(results, tasks, settings)
    return Labels(tasks, _extended(heads, shown), tuned, remarks)


def in_fold(result: Result) -> bool:
    """Whether a run is one of a cross-validation."""
    return result.config.get("fold") is not None


def task_label(result: Result) -> str:
    """The task's name; the texts of a pair encoded apart make another task of it."""
    apart = result.config["task"].get("pairs") == "apart"
    return result.task + f"{SEPARATOR}apart" * apart


def head_label(result: Result) -> str:
    """The head's label; what is solved, or not trained at all, is a row of its own beside the trained head."""
    return base_label(result) + f"{SEPARATOR}exact" * exact(result) + f"{SEPARATOR}zero-shot" * untrained(result)


def base_label(result: Result) -> str:
    """The label of the head alone; a run's own says too when its classifier was solved."""
    return result.head.removesuffix(SOLVED) if exact(result) else result.head


def exact(result: Result) -> bool:
    """Whether the classifier was solved, so that there is no learning rate."""
    return "strengths" in result.config["optimizer"]


def way(result: Result) -> str:
    """How a head comes to what it predicts by."""
    return "solved" if exact(result) else "not trained" if untrained(result) else "trained"


def untrained(result: Result) -> bool:
    """Whether nothing was trained."""
    return result.config["trainer"].get("max_epochs") == 0


def _tuned(results: Sequence[Result], tasks: Sequence[str], settings: Mapping[str, Sequence[str]]) -> list[Setting]:
    """Of each run the tuned settings that differ between the trained runs of its task."""
    names: dict[str, set[str]] = {}
    trained = [not exact(result) and not untrained(result) for result in results]
    for name, values in settings.items():
        seen: dict[str, set[str]] = {}
        for task, value, counts in zip(tasks, values, trained, strict=True):
            if is_tuned(name) and counts:
                seen.setdefault(task, set()).add(value)
        for task in (task for task, found in seen.items() if len(found) > 1):
            names.setdefault(task, set()).add(name)
    return [
        setting({name: number(settings[name][i]) for name in names.get(task, ()) if trained[i]})
        for i, task in enumerate(tasks)
    ]


def number(text: str) -> Any:
    """The number that a text is, whole where it has no point or exponent; else the text."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def varying(results: Sequence[Result], flat: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
    """Settings that differ between runs -> the value of each run, as text; `head.*` and `seed` left out."""
    names = sorted({name for settings in flat for name in settings}, key=lambda name: (name != "encoder.name", name))
    if len({result.encoder for result in results} - {""}) == 1:
        names = [name for name in names if name not in ("encoder.name", "encoder.revision")]  # two names of one encoder
    found = {}
    for name in names:
        before = _text(SINCE[name]) if name in SINCE else "null"  # of runs from before there was the setting
        values = [settings.get(name, before) for settings in flat]
        if len(set(values)) > 1 and _compared(name):
            found[name] = values
    return found


def shared(flat: Sequence[Mapping[str, str]]) -> list[tuple[str, str]]:
    """Settings that can change a result and have one value in all runs, with that value; sorted by name."""
    common = set.intersection(*(set(settings.items()) for settings in flat))
    return sorted((name, value) for name, value in common if name.partition(".")[0] not in NOT_IN_KEY)


def settings_of(result: Result) -> dict[str, str]:
    """A run's configuration: dotted names and values as text."""
    return dict(flatten(named(result.config)))


def flatten(settings: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Dotted names and values as text."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, _text(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def head_order(head: str) -> tuple[Any, ...]:
    """Where a head stands in tables: the usual ones first, the rest by layers, then by pool; settings by value."""
    base = head.partition(SEPARATOR)[0]
    layers, _, pool = base.rpartition("-")
    return (_usual(base), layers, _usual(pool), natural(head))


def _usual(name: str) -> int:
    return ORDER.index(name) if name in ORDER else len(ORDER)


def natural(label: str) -> tuple[tuple[str, float, str], ...]:
    """A key that sorts labels by their parts, and `lr=1e-05` before `lr=3e-05` before `lr=0.0001`."""
    return tuple(_numbered(*part.partition("=")[::2]) for part in label.split(SEPARATOR))


def _numbered(name: str, value: str) -> tuple[str, float, str]:
    try:
        return (name, float(value), value)
    except ValueError:
        return (name, math.inf, value)


def _compared(name: str) -> bool:
    first, _, rest = name.partition(".")
    if first in NOT_IN_KEY or first in ("head", "seed", "fold", "repeat") or name in NOT_COMPARED:
        return False
    return not (first == "trainer" and rest in TRAINER_NOT_IN_KEY)


def _decided(values: Sequence[str], *by: Sequence[str]) -> bool:
    """Whether the runs that agree in all of `by` agree in the values."""
    groups = list(zip(*by, strict=True))
    return len(set(zip(groups, values, strict=True))) == len(set(groups))


def _where_it_varies(tasks: Sequence[str], name: str, values: Sequence[str]) -> list[str]:
    """The labels of tasks, with a setting appended to those whose runs differ in it."""
    of_task: dict[str, set[str]] = {}
    for task, value in zip(tasks, values, strict=True):
        of_task.setdefault(task, set()).add(value)
    return [
        f"{task}{SEPARATOR}{name}={value}" if len(of_task[task]) > 1 else task
        for task, value in zip(tasks, values, strict=True)
    ]


def _extended(names: Sequence[str], settings: Mapping[str, Sequence[str]]) -> list[str]:
    return [
        SEPARATOR.join([name, *(f"{setting}={values[i]}" for setting, values in settings.items())])
        for i, name in enumerate(names)
    ]
