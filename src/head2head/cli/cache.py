"""What lies in the cache folder, and clearing it. All of it is made again when it is needed."""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from head2head.errors import UserError, did_you_mean
from head2head.files import ABANDONED, shown_bytes
from head2head.run.configuration import compose

KINDS = {
    "tokenized": "word pieces of data, a file a split",
    "features": "what frozen encoders give out, a folder a split and encoder",
    "compiled": "BERT's layers as machine code",
}
UNITS = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}


@dataclass(frozen=True)
class Entry:
    """Something in the cache that is of use only as a whole.

    paths: its files, or its folder.
    used: when it was last read or written, in seconds.
    """

    kind: str
    paths: tuple[Path, ...]
    size: int
    used: float

    def remove(self) -> bool:
        """Take it away, unless a process is about to fill it. One that reads it keeps what it has."""
        for path in self.paths:
            try:
                if path.is_dir():
                    with FileLock(path / ".lock").acquire(timeout=0):
                        shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
            except Timeout:
                return False
            except OSError as error:
                raise UserError(f"{path}: cannot be removed: {error.strerror}") from error
        return True


def manage(folder: Path | None, clear: Sequence[str], limit: str | None) -> None:
    """Show what the cache holds; clear kinds of it, or what was used longest ago until the rest fits a limit.

    Args:
        folder: None for the configured one.
        clear: kinds, or `all`.
        limit: such as 10GB.

    Raises:
        UserError: an unknown kind, no size, or something cannot be removed.
    """
    folder = folder or Path(compose([])["cache_dir"]).expanduser()
    most = None if limit is None else bytes_of(limit)
    for kind in clear:
        if kind not in KINDS and kind != "all":
            raise UserError(f"--clear {kind}: {did_you_mean(kind, [*KINDS, 'all'])}")
    found = entries(folder)
    chosen = [entry for entry in found if entry.kind in clear or "all" in clear]
    if most is not None:
        rest = sorted((entry for entry in found if entry not in chosen), key=lambda entry: entry.used)
        over = sum(entry.size for entry in rest) - most
        for entry in rest:
            if over <= 0:
                break
            chosen.append(entry)
            over -= entry.size
    cleared = [entry for entry in chosen if entry.remove()]
    if clear or limit is not None:
        print(f"cleared: {shown_bytes(sum(entry.size for entry in cleared))} in {len(cleared)} entries")
    if len(cleared) < len(chosen):
        print(f"kept: {len(chosen) - len(cleared)} that a process is filling")
    show(folder, entries(folder))


def show(folder: Path, found: Sequence[Entry]) -> None:
    """A line for each kind, and the sum."""
    print(f"{folder}: {shown_bytes(sum(entry.size for entry in found))}")
    for kind, what in KINDS.items():
        mine = [entry for entry in found if entry.kind == kind]
        size = shown_bytes(sum(entry.size for entry in mine))
        print(f"  {kind:<10} {size:>10}  {len(mine):>5}  {what}")


def entries(folder: Path) -> list[Entry]:
    """All that the cache holds. Temporary files of processes that were killed are taken away first."""
    clear_leftovers(folder)
    found = [_entry("features", (path,)) for path in sorted(folder.glob("features/*/"))]
    for kind, ending in (("tokenized", ".arrow"), ("compiled", ".so")):
        for path in sorted(folder.glob(f"{kind}/*{ending}")):
            found.append(_entry(kind, tuple(file for file in (path, path.with_suffix(".json")) if file.exists())))
    return found


def clear_leftovers(folder: Path) -> None:
    """Temporary files and folders that have not changed for a day."""
    for path in (*folder.glob("*/tmp*"), *folder.glob("*/.*.*"), *folder.glob("features/*/*.tmp")):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > ABANDONED:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _entry(kind: str, paths: tuple[Path, ...]) -> Entry:
    files = [file for path in paths for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file()]
    states = [file.stat() for file in files]
    used = max((max(state.st_atime, state.st_mtime) for state in states), default=0.0)
    return Entry(kind, paths, sum(state.st_size for state in states), used)


def bytes_of(text: str) -> int:
    """A size as people write it.

    >>> bytes_of("1.5GB"), bytes_of("200 MB")
    (1500000000, 200000000)

    Raises:
        UserError: it is none.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip().lower())
    if match is None or match.group(2) not in UNITS:
        raise UserError(f"--limit {text}: a size such as 500MB or 10GB")
    return int(float(match.group(1)) * UNITS[match.group(2)])
