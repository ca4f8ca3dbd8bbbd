"""A raw text's words, for heads that were trained on words, and the places of words in a text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

# Words as in CoNLL-2003: abbreviations (U.S.), what a hyphen, point, slash or ampersand joins (Anglo-Dutch, AT&T),
# numbers (1,000.5), clitics ('s), and each other character that is no blank.
WORD = re.compile(r"(?:[^\W\d_]\.){2,}|\w+(?:[-./&]\w+|(?<=\d),(?=\d)\w+)*|['\u2019]\w+|\S")
PARTS_OF_LETTERS = ("M", "Cf")  # Unicode's categories of accents and vowel signs, and of joiners


def places_of_words(text: str) -> list[tuple[int, int]]:
    """(start, end) of each word of a raw text: text[start:end] is the word.

    >>> text = "Smith's flat in St. Ives, U.S."
    >>> [text[start:end] for start, end in places_of_words(text)]
    ['Smith', "'s", 'flat', 'in', 'St', '.', 'Ives', ',', 'U.S.']
    """
    # Python's \w leaves out accents that stand by themselves, which are parts of words nevertheless.
    shape = text if text.isascii() else "".join("x" if is_part_of_letter(c) else c for c in text)
    return [match.span() for match in WORD.finditer(shape)]


def is_part_of_letter(character: str) -> bool:
    """Whether a character only changes the letters that it stands beside."""
    return unicodedata.category(character).startswith(PARTS_OF_LETTERS)


def joined(words: Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
    """Words joined by single blanks, and (start, end) of each in that text.

    >>> joined(["in", "Paris"])
    ('in Paris', [(0, 2), (3, 8)])
    """
    places, start = [], 0
    for word in words:
        places.append((start, start + len(word)))
        start += len(word) + 1
    return " ".join(words), places
