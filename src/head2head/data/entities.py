"""Entity tags: the schemes they are written in and the entities they spell, counted as conlleval counts.

A tag is `O` or `<prefix>-<type>`. Prefixes: B, I in IOB1 and IOB2; also E, S in BIOES; L, U in BILOU
(L = E, U = S).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from head2head.errors import quoted

OUTSIDE, BEGIN, INSIDE, END, SINGLE = range(5)
PREFIXES = {"O": OUTSIDE, "B": BEGIN, "I": INSIDE, "E": END, "L": END, "S": SINGLE, "U": SINGLE}


@dataclass(frozen=True)
class Spans:
    """Entities of a run of words: each covers words start..end (inclusive) and has a type number."""

    start: np.ndarray
    end: np.ndarray
    type: np.ndarray


def parse_tag(tag: str) -> tuple[int, str]:
    """Prefix code and type of a tag.

    Raises:
        ValueError: it is neither O nor a known prefix with a type.
    """
    prefix, dash, type_ = tag.partition("-")
    if tag == "O":
        return OUTSIDE, ""
    if prefix not in PREFIXES or prefix == "O" or not dash or not type_:
        raise ValueError(f"unknown tag {quoted(tag)}; expected O or B-TYPE, I-TYPE (or E-, S-, L-, U-)")
    return PREFIXES[prefix], type_


def spans(prefix: np.ndarray, type_: np.ndarray, first: np.ndarray) -> Spans:
    """The entities in a run of words, by the rules of the CoNLL script `conlleval` (startOfChunk,
    endOfChunk): an I-X that follows O or another type opens an entity.

    Args:
        prefix: (W,) prefix codes.
        type_: (W,) type numbers; whatever for O.
        first: (W,) True where a sentence begins.
    """
    if len(prefix) == 0:
        nothing = np.zeros(0, dtype=np.int64)
        return Spans(nothing, nothing, nothing)
    inside = prefix != OUTSIDE
    before = np.concatenate(([OUTSIDE], prefix[:-1]))
    before = np.where(first, OUTSIDE, before)
    changed = np.concatenate(([True], type_[1:] != type_[:-1]))
    closed_before = np.isin(before, (OUTSIDE, END, SINGLE))
    opens = inside & (np.isin(prefix, (BEGIN, SINGLE)) | closed_before | changed)
    next_breaks = np.concatenate((opens[1:] | ~inside[1:] | first[1:], [True]))
    closes = inside & next_breaks
    start = np.flatnonzero(opens)
    return Spans(start, np.flatnonzero(closes), type_[start])


def detect_scheme(sentences: Iterable[Sequence[str]]) -> str:
    """Which scheme the tags are written in: BIOES, BILOU, IOB1 or IOB2.

    IOB1 shows itself by an I- that opens an entity; tags that fit both IOB1 and IOB2 are called IOB2.
    """
    seen: set[str] = set()
    opening_inside = False
    for tags in sentences:
        previous = "O"
        for tag in tags:
            seen.add(tag[0])
            if tag[0] == "I" and previous[2:] != tag[2:]:
                opening_inside = True
            previous = tag
    if seen & {"L", "U"}:
        return "BILOU"
    if seen & {"E", "S"}:
        return "BIOES"
    return "IOB1" if opening_inside else "IOB2"


def to_iob2(sentences: Sequence[Sequence[str]]) -> list[list[str]]:
    """The same entities in IOB2 (every entity opens with B-), whatever the scheme they were written in.

    Raises:
        ValueError: a tag is no tag.
    """
    flat = [parse_tag(tag) for tags in sentences for tag in tags]
    names = sorted({type_ for _, type_ in flat})
    number = {name: i for i, name in enumerate(names)}
    prefix = np.array([p for p, _ in flat], dtype=np.int64)
    types = np.array([number[t] for _, t in flat], dtype=np.int64)
    found = spans(prefix, types, sentence_starts([len(tags) for tags in sentences]))
    tags = np.full(len(flat), "O", dtype=object)
    for start, end, type_ in zip(found.start, found.end, found.type, strict=True):
        tags[start] = f"B-{names[type_]}"
        tags[start + 1 : end + 1] = f"I-{names[type_]}"
    offsets = np.cumsum([0] + [len(t) for t in sentences])
    return [list(tags[a:b]) for a, b in pairwise(offsets)]


def sentence_starts(lengths: Sequence[int] | np.ndarray) -> np.ndarray:
    """(W,): True at each sentence's first word."""
    lengths = np.asarray(lengths, dtype=np.int64)
    first = np.zeros(int(lengths.sum()), dtype=bool)
    first[(np.cumsum(lengths) - lengths)[lengths > 0]] = True
    return first


def iob2_labels(types: Iterable[str]) -> list[str]:
    """O, B-X, I-X, B-Y, I-Y, ...: the label list for entity types."""
    return ["O"] + [f"{prefix}-{type_}" for type_ in types for prefix in "BI"]
