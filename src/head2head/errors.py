"""The one exception for what a user can cause, and the words that help out of it."""

from collections.abc import Iterable
from difflib import get_close_matches

VALUE = 60  # characters of a user's value that a message quotes
LIST = 160  # characters of a list of names


class UserError(Exception):
    """Something the user can put right. Its text is one line: where, what is wrong, what to do.

    The command line prints ``error: <text>`` and exits with status 1; in a sweep the job fails.
    """

    def __init__(self, text: str):
        super().__init__(printable(text))


def printable(text: str) -> str:
    """The text on one line: line ends, a terminal's control sequences and halves of surrogate pairs as escapes.

    >>> printable("two\\nlines")
    'two\\\\nlines'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shortened(text: str, most: int) -> str:
    """The text, with an ellipsis in place of what is beyond `most` characters."""
    return text if len(text) <= most else text[: most - 1] + "…"


def quoted(value: object) -> str:
    """A value of the user's in quotes, as a message shows it: escaped, and not beyond VALUE characters."""
    return repr(shortened(str(value), VALUE))


def enumerated(names: Iterable[str], joint: str = ", ") -> str:
    """Names of the user's in a message: as many as LIST characters hold, the first at least, and how many there are.

    >>> enumerated(["pos", "neg"], " or ")
    'pos or neg'
    """
    names = list(names)
    shown: list[str] = []
    for name in names:
        if shown and len(joint.join(shown)) + len(joint) + len(name) > LIST:
            return f"{joint.join(shown)}, ... ({len(names)} in all)"
        shown.append(shortened(name, VALUE))
    return joint.join(shown)


class Unwritable(UserError):
    """A disk that is full, or may only be read. Nothing is wrong with what was to be written: it can be done again once
    there is room."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A clause that follows ``unknown ...``: the near names, else all of them."""
    known = sorted(set(known))
    near = get_close_matches(name, known, n=3, cutoff=0.6)
    if near:
        *others, last = (shortened(word, VALUE) for word in near)
        return f"did you mean {', '.join(others) + ' or ' if others else ''}{last}?"
    return f"choose from: {enumerated(known)}"
