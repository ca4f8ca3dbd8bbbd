"""Tasks made from a seed, with no file and no network, each built so that heads should differ.

What they are expected to show is a prediction, to be checked by measurement.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.random import Generator

from head2head.data import lexicon
from head2head.data.task import Task

if TYPE_CHECKING:
    from datasets import Dataset


def drawn(rng: Generator, words: Sequence[str]) -> str:
    """One of the words: that of `rng.choice(words)`, which makes an array of them all first."""
    return words[int(rng.integers(len(words)))]


@dataclass(kw_only=True)
class Diagnostic(Task):
    """Base of the generated tasks.

    rows: split -> number of examples.
    data_seed: of the examples; not the run's seed, so that every run sees the same data.
    """

    places: ClassVar[frozenset[str]] = frozenset()

    rows: dict[str, int]
    data_seed: int = 0

    def sources(self) -> dict[str, Path | str]:
        return {split: f"generated:{self.name}/{split}" for split in self.rows}

    def load(self, split: str) -> Dataset:
        from datasets import Dataset

        rng = np.random.default_rng([self.data_seed, *split.encode()])
        examples = [self.example(rng, split, i) for i in range(self.rows[split])]
        return Dataset.from_list(examples)

    @abstractmethod
    def example(self, rng: Generator, split: str, i: int) -> dict:
        """The i-th row of a split. Labels alternate with i, so that splits are balanced."""


@dataclass(kw_only=True)
class Needle(Diagnostic):
    """Does one decisive word occur anywhere? Trained on short texts, scored on long ones.

    On the embedding layer the word is one of n tokens: its share of the mean shrinks as texts grow, its
    share of the maximum does not. So max should carry over from short to long, and mean should not.

    words: split -> mean number of words of a text.
    """

    words: dict[str, int]

    def example(self, rng: Generator, split: str, i: int) -> dict:
        mean = self.words[split]
        text = list(rng.choice(lexicon.FILLER, size=int(rng.integers(mean * 3 // 4, mean * 5 // 4 + 1))))
        present = i % 2
        if present:
            text[int(rng.integers(len(text)))] = lexicon.NEEDLE
        return {"text": " ".join(text), "label": present}


@dataclass(kw_only=True)
class Majority(Diagnostic):
    """Which of two classes of words, fruits or tools, is the more frequent one?

    A count is a sum: the mean keeps it, the maximum only keeps what occurs at all.
    """

    def example(self, rng: Generator, split: str, i: int) -> dict:
        length = int(rng.integers(5, 15)) * 2 + 1
        many = int(rng.integers(length // 2 + 1, length))  # the other class occurs too
        classes = (lexicon.FRUITS, lexicon.TOOLS) if i % 2 == 0 else (lexicon.TOOLS, lexicon.FRUITS)
        text = [*rng.choice(classes[0], size=many), *rng.choice(classes[1], size=length - many)]
        return {"text": " ".join(rng.permutation(text)), "label": i % 2}


@dataclass(kw_only=True)
class Agreement(Diagnostic):
    """Does the verb agree with its subject, across nouns of the other number?

    "the old key near the cabinets is here" is acceptable, "... are here" is not. Each sentence has as many
    singular as plural nouns and the subject stands at varying positions, so a bag of words says nothing
    and only context can tell (after Linzen et al. 2016).
    """

    def example(self, rng: Generator, split: str, i: int) -> dict:
        acceptable = i % 2
        plural = bool(rng.integers(2))
        numbers = (
            [not plural] if rng.integers(2) else [bool(n) for n in rng.permutation([plural, not plural, not plural])]
        )
        nouns = [self._noun(rng, n) for n in [plural, *numbers]]
        phrases = [f"{drawn(rng, lexicon.PREPOSITIONS)} {noun}" for noun in nouns[1:]]
        verb = drawn(rng, lexicon.PLURAL_VERBS if plural == bool(acceptable) else lexicon.SINGULAR_VERBS)
        complement = drawn(rng, lexicon.COMPLEMENTS[verb].split())
        opening = drawn(rng, lexicon.OPENINGS)
        return {
            "text": " ".join([opening, nouns[0], *phrases, verb, complement]).strip() + " .",
            "label": acceptable,
        }

    @staticmethod
    def _noun(rng: Generator, plural: bool) -> str:
        noun = drawn(rng, lexicon.PLURAL if plural else lexicon.SINGULAR)
        return f"the {drawn(rng, lexicon.ADJECTIVES)} {noun}" if rng.integers(2) else f"the {noun}"


@dataclass(kw_only=True)
class Entities(Diagnostic):
    """Token-level: persons, places and organisations that share their names; only context tells the type."""

    kind: ClassVar[str] = "token"

    def example(self, rng: Generator, split: str, i: int) -> dict:
        template = drawn(rng, lexicon.ENTITY_TEMPLATES[i % len(lexicon.ENTITY_TEMPLATES)])
        tokens: list[str] = []
        tags: list[int] = []
        for word in template.split():
            if not word.startswith("{"):
                tokens.append(word)
                tags.append(0)
                continue
            name = [drawn(rng, lexicon.FIRST_NAMES)]
            if rng.integers(2):
                name.append(drawn(rng, lexicon.LAST_NAMES))
            kind = self.labels.index(f"B-{word.strip('{}')}")
            tokens += name
            tags += [kind] + [kind + 1] * (len(name) - 1)
        return {"tokens": [*tokens, "."], "tags": [*tags, 0], "document": i}
