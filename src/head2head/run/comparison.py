"""A finished run held against its repetition: which numbers agree, and what else is not as it was. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from head2head.run.result import Result

# By how much a metric may differ where sums are rounded otherwise than they were: on another device, with other threads
# or libraries. Training enlarges what rounding does.
TOLERANCE = {
    **dict.fromkeys(("accuracy", "f1", "macro_f1", "entity_f1", "entity_precision", "entity_recall"), 0.02),
    **dict.fromkeys(("mcc", "pearson", "spearman"), 0.03),
}
# What may change without a number's changing: the code of the project is what is put to the test.
OWN_CODE = frozenset({"git_commit", "versions.head2head"})


@dataclass(frozen=True)
class Difference:
    """Something that was one thing then and is another now; None where it is missing."""

    name: str
    then: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.name}: {shown(self.then)} -> {shown(self.now)}"


@dataclass(frozen=True)
class Predictions:
    """The stored predictions of a split: how many there were, how many are the same now, and the largest difference of
    a logit (infinite where they are not as many)."""

    split: str
    count: int
    same: int
    largest: float


@dataclass(frozen=True)
class Comparison:
    """A run and its repetition.

    metrics: names of those that were compared, as SPLIT/NAME, with both values.
    differences: of settings, data, and what the run was computed with.
    predictions: of the splits whose predictions both have.
    """

    metrics: tuple[Difference, ...]
    differences: tuple[Difference, ...]
    predictions: tuple[Predictions, ...] = ()

    @property
    def equal(self) -> bool:
        """Whether every number is the same to the last bit."""
        return all(m.then == m.now for m in self.metrics) and all(
            p.same == p.count and p.largest == 0 for p in self.predictions
        )

    @property
    def promised(self) -> bool:
        """Whether equal bits are promised: nothing but the project's own code is another."""
        return all(difference.name in OWN_CODE for difference in self.differences)

    @property
    def agrees(self) -> bool:
        """Whether the numbers are equal where that is promised, and their metrics within TOLERANCE elsewhere."""
        return self.equal or (not self.promised and all(map(within, self.metrics)))


def within(metric: Difference) -> bool:
    """Whether a metric is close to what it was."""
    if metric.then is None or metric.now is None:
        return False
    return abs(metric.then - metric.now) <= TOLERANCE[metric.name.rpartition("/")[2]]


def compare(then: Result, now: Result) -> Comparison:
    """Hold a run's metrics after its last epoch, and the predictions that both folders have, against each other.

    Args:
        then, now: with configurations of one form, as the results of an experiment have them.
    """
    metrics = paired(flat(then.metrics["last"], "/"), flat(now.metrics["last"], "/"))
    differences = [d for d in paired(circumstances(then), circumstances(now)) if d.then != d.now]
    return Comparison(tuple(metrics), tuple(differences), tuple(compare_predictions(then, now)))


def circumstances(result: Result) -> dict[str, Any]:
    """Everything by name that a run's numbers may depend on."""
    names = ("key", "version", "stream", "threads", "device", "encoder", "data", "versions", "git_commit")
    return flat({name: getattr(result, name) for name in names}) | flat(result.config)


def compare_predictions(then: Result, now: Result) -> Iterator[Predictions]:
    """The predictions of every split that are in both folders."""
    if then.folder is None or now.folder is None:
        return
    for path in sorted(Path(now.folder).glob("predictions-*.parquet")):
        before = Path(then.folder, path.name)
        if before.exists():
            yield _compared(path.stem.removeprefix("predictions-"), before, path)


def _compared(split: str, then: Path, now: Path) -> Predictions:
    import numpy as np
    import pyarrow.parquet as pq

    tables = [pq.read_table(path, columns=["prediction", "logits"]) for path in (then, now)]
    labels = [table["prediction"].to_numpy() for table in tables]
    # Rows without logits, words that have no word piece, give no values.
    logits = [table["logits"].combine_chunks().flatten().to_numpy() for table in tables]
    if len(labels[0]) != len(labels[1]) or len(logits[0]) != len(logits[1]):
        return Predictions(split, len(labels[0]), 0, float("inf"))
    same = int(np.sum(labels[0] == labels[1]))
    return Predictions(split, len(labels[0]), same, float(np.abs(logits[0] - logits[1]).max(initial=0.0)))


def flat(values: Mapping[str, Any], mark: str = ".") -> dict[str, Any]:
    """Nested values under joined names."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= {f"{name}{mark}{inner}": v for inner, v in flat(value, mark).items()}
        else:
            found[name] = value
    return found


def paired(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[Difference]:
    """Both values of everything that one of them has."""
    return [Difference(name, then.get(name), now.get(name)) for name in dict.fromkeys([*then, *now])]


def shown(value: Any) -> str:
    """A value in a line: a hash by its beginning."""
    text = "none" if value in (None, "") else str(value)
    return text[:8] if len(text) >= 40 and all(c in "0123456789abcdef" for c in text.rstrip("+")) else text
