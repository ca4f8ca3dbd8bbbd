"""The one exception for what a user can cause, and the words that help out of it."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """Something the user can put right. Its text is one line: where, what is wrong, what to do.

    The command line prints ``error: <text>`` and exits with status 1; in a sweep the job fails.
    """


class Unwritable(UserError):
    """A disk that is full, or may only be read. Nothing is wrong with what was to be written: it can be done again once
    there is room."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A clause that follows ``unknown ...``: the near names, else all of them."""
    known = sorted(set(known))
    near = get_close_matches(name, known, n=3, cutoff=0.6)
    if near:
        *others, last = near
        return f"did you mean {', '.join(others) + ' or ' if others else ''}{last}?"
    return f"choose from: {', '.join(known)}"
