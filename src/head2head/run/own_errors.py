"""What went wrong in a user's own module, told by their own files and lines. Imports no torch."""

from __future__ import annotations

import sys
import sysconfig
import traceback
from dataclasses import dataclass
from pathlib import Path

from head2head.errors import UserError

HOUSE = Path(__file__).resolve().parents[1]
NOT_THEIRS = (
    HOUSE,
    HOUSE.parent / "hydra_plugins",
    *{Path(sysconfig.get_path(n)).resolve() for n in ("stdlib", "purelib", "platlib")},
)


@dataclass(frozen=True)
class OwnError:
    """An exception that came out of a user's own file.

    lines: its traceback as Python prints it, with the frames of their files alone.
    text: one line that names file, line and error.
    """

    lines: tuple[str, ...]
    text: str


def own_error(error: BaseException) -> OwnError | None:
    """What to tell of an exception that a user's own code raised or let through, whatever it has been wrapped in.
    None where none of their code had a part in it, or where what was raised is a line for them already."""
    root = first_of(error)
    if isinstance(root, UserError):
        return None
    frames = [frame for frame in traceback.extract_tb(root.__traceback__) if theirs(frame.filename)]
    what = " ".join("".join(traceback.format_exception_only(type(root), root)[-1:]).split())
    if isinstance(root, SyntaxError) and root.filename and theirs(root.filename):
        lines = traceback.format_exception_only(type(root), root)
        return OwnError(tuple("".join(lines).splitlines()), f"{root.filename}:{root.lineno}: {what}")
    if not frames:
        return None
    lines = ["Traceback (your own files):\n", *traceback.format_list(frames), what]
    return OwnError(tuple("".join(lines).splitlines()), f"{frames[-1].filename}:{frames[-1].lineno}: {what}")


def message(error: BaseException) -> str:
    """One line for an error: of a user's own code with file and line, else its text."""
    own = own_error(error)
    return own.text if own is not None else str(error)


def first_of(error: BaseException) -> BaseException:
    """The exception that the others were raised from."""
    while True:
        before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if before is None:
            return error
        error = before


def theirs(file: str) -> bool:
    """Whether a file is a user's own: neither this package's, nor a library's, nor the script that was started."""
    path = Path(file).resolve()
    if not path.is_file() or "site-packages" in path.parts or path == Path(sys.argv[0]).resolve():
        return False
    return not any(path.is_relative_to(folder) for folder in NOT_THEIRS)
