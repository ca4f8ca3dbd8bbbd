"""Files: text with the line numbers that an error message needs, writing all or nothing, hashes of content."""

import functools
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from head2head.errors import UserError


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """(line number, line) of a UTF-8 file, without line ends and byte order mark.

    Only newlines end a line: text may hold other separators, such as U+2028. A mark at the very end, which some
    programs leave when they append to a file, is no text either.

    Raises:
        UserError: missing, empty, or not UTF-8.
    """
    content = read_bytes(path)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        decoded = error.object  # without the byte order mark
        bad_line = decoded.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}:{bad_line}: not valid UTF-8 (byte 0x{decoded[error.start]:02x})") from None
    if text.endswith(("\ufeff", "\ufeff\n")):
        text = text.removesuffix("\n").removesuffix("\ufeff")
    if not text.strip():
        raise UserError(f"{path}: the file is empty")
    for number, line in enumerate(text.removesuffix("\n").split("\n"), start=1):
        yield number, line.removesuffix("\r")


def read_bytes(path: Path) -> bytes:
    """A file's content.

    Raises:
        UserError: it cannot be read.
    """
    try:
        if stat.S_IFMT(path.stat().st_mode) not in (stat.S_IFREG, stat.S_IFDIR):
            raise UserError(f"{path}: cannot be read: not a file on disk")  # a pipe could be waited for for ever
        return path.read_bytes()
    except FileNotFoundError:
        missing = path
        while not missing.parent.exists():
            missing = missing.parent
        what = "no such file" if missing == path else f"there is no folder {missing}"
        raise UserError(f"{path}: {what}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None


def no_formula(text: str) -> str:
    """A text for a cell of a csv table, with an apostrophe before what a spreadsheet would take for a formula and
    evaluate (OWASP, CSV Injection). Numbers stay as they are.

    >>> no_formula("=1+1"), no_formula("-0.5"), no_formula("- a list")
    ("'=1+1", '-0.5', "'- a list")
    """
    if not text.startswith(("=", "+", "-", "@", "\t", "\r")):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader sees the old one or the new one, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content.encode("utf-8") if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """Hash of a local file's content, read once as long as the file does not change.

    Raises:
        UserError: it is not there, or cannot be read.
    """
    if not path.is_file():
        read_bytes(path)  # says what is missing
    return _sha256(path, path.stat().st_mtime_ns)


@functools.cache
def _sha256(path: Path, modified: int) -> str:  # noqa: ARG001 (a file that has changed is read again)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
