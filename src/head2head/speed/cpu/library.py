"""layer.c and its headers, compiled by the machine's own C compiler when it is first needed, and kept in the
user's cache.

What is loaded from there runs as the user. So its file and folder must be theirs (or root's), and nobody else's to
write; it is made in a private folder and moved into place as a whole, with a checksum at its end, which the loader does
not look at. Whatever is wrong is a NotCompiled, one line, and torch computes the layers.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from head2head.files import clear_abandoned, write_atomically

SOURCE = Path(__file__).with_name("layer.c")
# Rounding is IEEE's: what these leave out is errno and signals, and products may be fused with sums.
FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fopenmp", "-fPIC")
REAL = {torch.float32: "float", torch.float64: "double"}
SECONDS = 120  # that a compiler may take
VERSION_SECONDS = 60  # that it may take to say its version
RETRY = 24 * 3600.0  # seconds after which a compiler that failed is tried again: it may have lacked a header
ROOM = 4 << 20  # bytes that a disk needs for a compiler to do its work; a library has 100,000
DIGEST = hashlib.sha256().digest_size
OTHERS = stat.S_IWGRP | stat.S_IWOTH


class NotCompiled(Exception):
    """Why there is no library: no compiler, one that failed, or a system that is not Linux."""


class Killed(NotCompiled):
    """A compiler, or a part of one, that was ended: by the system for want of memory, or after too long a time."""


def library(dtype: torch.dtype) -> ctypes.CDLL:
    """The functions of layer.c for numbers of that type. The first call on a machine takes a few seconds.

    Raises:
        NotCompiled: it cannot be had here.
    """
    found = attempt(dtype)
    if isinstance(found, NotCompiled):
        raise found
    return found


@functools.cache
def attempt(dtype: torch.dtype) -> ctypes.CDLL | NotCompiled:
    """The same, or why it cannot be had; found out once in a process."""
    if sys.platform != "linux":
        return NotCompiled("layers are compiled on Linux only")
    try:
        share_threads()
        reasons = []
        for command in compilers():
            try:
                return loaded(built(command, dtype))
            except NotCompiled as error:
                reasons.append(error)
        return reasons[0]
    except NotCompiled as error:
        return error
    except (OSError, RuntimeError, ValueError) as error:  # of paths that cannot be read, or a home that is not known
        return NotCompiled(" ".join(str(error).split()))


def why_not(dtype: torch.dtype = torch.float32) -> str | None:
    """Why there is no library here; None where there is one. Compiles it if need be."""
    try:
        library(dtype)
    except NotCompiled as error:
        return str(error)
    return None


def loaded(path: Path) -> ctypes.CDLL:
    """The library in a file, which is taken away if it is none.

    Raises:
        NotCompiled: it cannot be loaded: it wants another OpenMP than torch's, for instance.
    """
    try:
        code = ctypes.CDLL(str(path))
    except OSError as error:
        path.unlink(missing_ok=True)
        raise remembered(path, f"the compiled layers cannot be loaded: {error}") from error
    code.kept.restype = ctypes.c_long
    return code


def built(command: Sequence[str], dtype: torch.dtype) -> Path:
    """The shared library's file, named after all that it is made of.

    Args:
        command: the compiler.

    Raises:
        NotCompiled: it does not run, or failed, or the file cannot be written.
    """
    made_of = [
        source(),
        output(*command, "--version", seconds=VERSION_SECONDS),
        processor(),
        repr((command, FLAGS, dtype)).encode(),
    ]
    path = folder() / f"layer-{REAL[dtype]}-{hashlib.sha256(b'|'.join(made_of)).hexdigest()[:16]}.so"
    if path.parent.exists():
        check_private(path.parent)
    if is_whole(path):
        return path
    recall(path)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_private(path.parent)
        clear_abandoned(path.parent, "tmp*")
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:  # in the same folder, to be moved as a whole
            compile_to(Path(scratch, "layer.so"), command, dtype)
            Path(scratch, "layer.so").replace(path)
    except OSError as error:
        raise NotCompiled(f"{path.parent} cannot be written: {error.strerror}") from error
    except Killed:  # which says nothing of the compiler
        raise
    except NotCompiled as error:
        raise remembered(path, str(error)) from error
    return path


def compile_to(path: Path, command: Sequence[str], dtype: torch.dtype) -> None:
    """Compile the source, and put a checksum behind it, all of it on disk.

    Raises:
        NotCompiled: the compiler failed.
        OSError: the disk is full.
    """
    unlinked = path.with_suffix(".o")
    output(*command, *FLAGS, f"-DREAL={REAL[dtype]}", "-c", str(SOURCE), "-o", str(unlinked))
    # Without -fopenmp: OpenMP's functions are those of the library that torch has brought.
    output(*command, "-shared", str(unlinked), "-o", str(path), "-lm")
    path.chmod(0o700)  # whatever the umask
    with path.open("r+b") as file:
        digest = hashlib.sha256(file.read()).digest()
        file.write(digest)
        file.flush()
        os.fsync(file.fileno())


def is_whole(path: Path) -> bool:
    """Whether the file is there as it was written; one that is not is taken away.

    Raises:
        NotCompiled: somebody else may have put it there.
    """
    try:
        check_private(path)
        content = path.read_bytes()
    except FileNotFoundError:
        return False
    if hashlib.sha256(content[:-DIGEST]).digest() == content[-DIGEST:]:
        return True
    path.unlink(missing_ok=True)
    return False


def check_private(path: Path) -> None:
    """Check that a file or folder is nobody's but the user's, or root's.

    Raises:
        NotCompiled: it is.
        FileNotFoundError: there is none.
    """
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        raise NotCompiled(f"{path} is a link, and what it leads to may be anybody's")
    if status.st_uid not in (os.geteuid(), 0):
        raise NotCompiled(f"{path} belongs to somebody else (user {status.st_uid}), whose code would be run")
    if status.st_mode & OTHERS:
        raise NotCompiled(f"{path} can be written by others, whose code would be run; chmod go-w {path}")


def remembered(path: Path, why: str) -> NotCompiled:
    """Note that there is no such library, so that not every run compiles in vain. Returns what to raise.

    A disk without room says nothing of the compiler: runs that follow, when there is room, are to have the layers.
    """
    with contextlib.suppress(OSError):
        if shutil.disk_usage(path.parent).free < ROOM:
            return NotCompiled(f"{path.parent} has no room left: {why}")
        write_atomically(path.with_suffix(".failed"), why)
    return NotCompiled(why)


def recall(path: Path) -> None:
    """See whether it was tried before.

    Raises:
        NotCompiled: it was, in vain, within a day.
    """
    note = path.with_suffix(".failed")
    with contextlib.suppress(FileNotFoundError):
        if 0 <= time.time() - note.stat().st_mtime < RETRY:
            why = note.read_text(encoding="utf-8", errors="replace").partition("\n")[0][:300]
            raise NotCompiled(f"{why} (remembered for a day: rm {note})")
        note.unlink()


def source() -> bytes:
    """All that layer.c is made of."""
    return b"".join(file.read_bytes() for file in sorted(SOURCE.parent.glob("*.[ch]")))


def output(*command: str, seconds: float = SECONDS) -> bytes:
    """What a compiler prints.

    Raises:
        NotCompiled: it failed; with the first line of what it said.
    """
    try:
        done = subprocess.run(command, capture_output=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise Killed(f"{command[0]} took more than {seconds:g} seconds") from None
    except OSError as error:
        raise NotCompiled(f"{command[0]} does not run: {error.strerror}") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or [f"status {done.returncode}"]
        kind = Killed if done.returncode < 0 or "signal terminated" in said[0] else NotCompiled
        raise kind(f"{command[0]} failed: {said[0]}")
    return done.stdout


def compilers() -> list[list[str]]:
    """C compilers to try, the likeliest first: $CC alone, or those of the usual names. pip's torch brings GCC's OpenMP,
    which clang's code does not call.

    Raises:
        NotCompiled: there is none.
    """
    chosen = shlex.split(os.environ.get("CC", ""))
    names = chosen[:1] or ["gcc", "cc", "clang"]
    found = [[path, *chosen[1:]] for name in names if (path := shutil.which(name))]
    if not found:
        raise NotCompiled(f"no C compiler ({', '.join(names)}) was found")
    return found


def folder() -> Path:
    """Where compiled libraries are kept: under $HEAD2HEAD_CACHE, or the user's cache folder."""
    own = os.environ.get("HEAD2HEAD_CACHE")
    if own:
        return Path(own).expanduser() / "compiled"
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "head2head" / "compiled"


def processor() -> bytes:
    """What tells this processor's instructions from another's: home folders are shared by unlike machines."""
    try:
        lines = Path("/proc/cpuinfo").read_bytes().splitlines()
    except OSError:
        lines = []
    told = [line for line in lines if line.startswith((b"model name", b"flags", b"Features", b"CPU part"))]
    return b"".join([platform.machine().encode(), *sorted(set(told))])


def share_threads() -> None:
    """Let the library find the OpenMP functions of torch: two sets of threads would be in each other's way.

    Raises:
        NotCompiled: torch has none that C compilers' code could call.
    """
    for line in Path("/proc/self/maps").read_text().splitlines():
        path = Path(line.split(maxsplit=5)[-1])
        if path.name.startswith(("libgomp", "libiomp5", "libomp")):
            ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
            return
    raise NotCompiled("this torch has no OpenMP")
