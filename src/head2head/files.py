"""Files: text with the line numbers that an error message needs, yaml that cannot blow up, writing all or nothing,
hashes of content, and names that stay names."""

import codecs
import contextlib
import errno
import functools
import hashlib
import os
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import xxhash
import yaml

from head2head.errors import Unwritable, UserError

_PACKAGED = Path(__file__).parent / "configs"
# The package's own yaml files: in the wheel, or in the checkout.
CONFIGS = _PACKAGED if _PACKAGED.is_dir() else Path(__file__).parents[2] / "configs"

BLOCK = 1 << 24  # bytes read at a time to check a file
ABANDONED = 24 * 3600.0  # seconds after which nobody still writes a temporary file that has not changed
YAML_BYTES = 1 << 20  # of a file; the longest of a run's or a sweep's has some thousand
YAML_NODES = 100_000  # values in one, each alias counted with all that it stands for


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """(line number, line) of a UTF-8 file; see `lines_of`. The file is read as far as its lines are asked for.

    Raises:
        UserError: missing, empty, or not UTF-8.
    """
    with opened(path) as file:
        yield from lines_of(file, str(path))


def lines_of(file: BinaryIO, name: str) -> Iterator[tuple[int, str]]:
    """(line number, line) of a UTF-8 stream, without line ends and byte order mark, in constant memory.

    Only newlines end a line: text may hold other separators, such as U+2028. A mark at the very end, which some
    programs leave when they append to a file, is no text either.

    Args:
        name: of the stream, for messages.

    Raises:
        UserError: it is empty, cannot be read, or is not UTF-8.
    """
    blank: list[tuple[int, str]] = []  # held back up to the first line with text: without any the file is empty
    empty = True
    lines = _decoded(file, name)
    current = next(lines, None)
    while current is not None:
        following = next(lines, None)
        number, line = current
        if following is None and line.endswith(("\ufeff", "\ufeff\n")):
            line = line.removesuffix("\n").removesuffix("\ufeff")
            if not line:
                break
        current = following
        if empty and not line.strip():
            blank.append((number, line))
            continue
        empty = False
        for earlier, text in (*blank, (number, line)):
            yield earlier, text.removesuffix("\n").removesuffix("\r")
        blank.clear()
    if empty:
        raise UserError(f"{name}: the file is empty")


def _decoded(file: BinaryIO, name: str) -> Iterator[tuple[int, str]]:
    """(line number, line with its end), without the byte order mark at the start."""
    try:
        for number, content in enumerate(file, start=1):
            if number == 1:
                content = content.removeprefix(codecs.BOM_UTF8)
                if not content:
                    continue
            try:
                yield number, content.decode()
            except UnicodeDecodeError as error:
                raise UserError(f"{name}:{number}: not valid UTF-8 (byte 0x{content[error.start]:02x})") from None
    except OSError as error:
        raise UserError(f"{name}: cannot be read: {error.strerror}") from None


def opened(path: Path) -> BinaryIO:
    """A file, to be read in bytes.

    Raises:
        UserError: it cannot be.
    """
    try:
        if stat.S_IFMT(path.stat().st_mode) not in (stat.S_IFREG, stat.S_IFDIR):
            raise UserError(f"{path}: cannot be read: not a file on disk")  # a pipe could be waited for for ever
        return path.open("rb")
    except FileNotFoundError:
        missing = path
        while not missing.parent.exists():
            missing = missing.parent
        what = "no such file" if missing == path else f"there is no folder {missing}"
        raise UserError(f"{path}: {what}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None


def read_bytes(path: Path) -> bytes:
    """A file's content.

    Raises:
        UserError: it cannot be read.
    """
    with opened(path) as file:
        try:
            return file.read()
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {error.strerror}") from None


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path`, to be written piece by piece, which takes its place when the block ends well: a
    reader sees the old file or the whole new one.

    Raises:
        UserError, Unwritable: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise cannot_be_written(path, error) from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def read_yaml(path: Path) -> Any:
    """What a yaml file says, in plain dicts, lists, strings and numbers; of a stranger's file, too: an alias that
    stands for lists of aliases is counted before it is followed.

    Raises:
        UserError: it cannot be read, is no yaml, or stands for more than a configuration ever does.
    """
    content = read_bytes(path)
    if len(content) > YAML_BYTES:
        raise UserError(f"{path}: {len(content)} bytes are too many for a configuration")
    if not content.strip():
        return None
    text = "\n".join(line for _, line in numbered_lines(path))
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        if _values(node, {}) > YAML_NODES:
            raise UserError(f"{path}: its aliases stand for more than {YAML_NODES} values; write them out")
        return loader.construct_document(node)
    except RecursionError:
        raise UserError(f"{path}: nested too deeply, or in itself") from None
    except (yaml.YAMLError, ValueError, TypeError) as error:  # ValueError: a date that is none, a number without end
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        raise UserError(f"{place}: not yaml: {problem}") from None


def _values(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node stands for, those of its aliases each time that they occur. One that holds itself ends in
    a RecursionError."""
    if id(node) not in known:
        inner = node.value if isinstance(node, yaml.CollectionNode) else []
        parts = (part for item in inner for part in (item if isinstance(item, tuple) else (item,)))
        known[id(node)] = 1 + sum(_values(part, known) for part in parts)
    return known[id(node)]


def check_name(name: Any, what: str) -> str:
    """Check that a name can stand for one folder or file, and for nothing outside of where it is put.

    Args:
        what: whose name it is, for the error.

    Raises:
        UserError: it is a path, is hidden, or has characters that no name has.
    """
    if not isinstance(name, str) or not name or name[0] == "." or any(c in "/\\" or not c.isprintable() for c in name):
        raise UserError(
            f"{what}: {str(name)[:100]!r} is no name: it becomes a folder, and has no / and no dot in front"
        )
    return name


NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
TAKEN = frozenset({errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR})  # what renaming says where something is already


def clear_abandoned(folder: Path, pattern: str) -> None:
    """Take away the temporary files and folders of a pattern that processes have left which were killed."""
    for path in folder.glob(pattern):
        with contextlib.suppress(OSError):
            if time.time() - path.lstat().st_mtime > ABANDONED:
                shutil.rmtree(path) if stat.S_ISDIR(path.lstat().st_mode) else path.unlink()


def cannot_be_written(what: object, error: OSError | RuntimeError) -> UserError:
    """What to raise where something cannot be written: Unwritable for a disk without room.

    Args:
        error: the system's, or torch's, which does not say why.
    """
    reason = getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]
    if isinstance(error, OSError) and error.errno not in NO_ROOM:
        return UserError(f"{what} cannot be written: {reason}")
    return Unwritable(f"{what} cannot be written: {reason}; make room there, and start it again")


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


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to write into that gets its name when the block has ended well; nothing is left of it otherwise.

    Raises:
        UserError: there is something of that name that is no empty folder, or it cannot be written.
    """
    refused = f"{path}: exists already; give the name of a new folder"
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise UserError(refused)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        if error.errno in TAKEN:
            raise UserError(refused) from None
        if error.errno in NO_ROOM | {errno.EACCES, errno.EPERM}:
            raise cannot_be_written(path, error) from error
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def known_checksum(path: Path) -> str:
    """The file's checksum, computed once in a process for as long as its size and time of modification stay."""
    status = path.stat()
    return _checksum(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=1024)
def _checksum(path: Path, _size: int, _modified: int) -> str:
    return checksum(path)


def checksum(path: Path) -> str:
    """XXH3 of a file: ten times as fast as a disk reads."""
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def shown_bytes(size: float) -> str:
    """A size as people read it."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


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
