"""layer.c and its headers, compiled by the machine's own C compiler when it is first needed, and kept in the
user's cache."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

SOURCE = Path(__file__).with_name("layer.c")
# Rounding is IEEE's: what these leave out is errno and signals, and products may be fused with sums.
FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fopenmp", "-fPIC")
REAL = {torch.float32: "float", torch.float64: "double"}
SECONDS = 120  # that a compiler may take


class NotCompiled(Exception):
    """Why there is no library: no compiler, one that failed, or a system that is not Linux."""


@functools.cache
def library(dtype: torch.dtype) -> ctypes.CDLL:
    """The functions of layer.c for numbers of that type. The first call on a machine takes a few seconds.

    Raises:
        NotCompiled: it cannot be had here.
    """
    if sys.platform != "linux":
        raise NotCompiled("layers are compiled on Linux only")
    try:
        share_threads()
        reasons = []
        for command in compilers():
            try:
                return loaded(built(command, dtype))
            except NotCompiled as error:
                reasons.append(str(error))
        raise NotCompiled(reasons[0])
    except (OSError, RuntimeError, ValueError) as error:  # of paths that cannot be read, or a home that is not known
        raise NotCompiled(" ".join(str(error).split())) from error


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
        raise NotCompiled(f"the compiled layers cannot be loaded: {error}") from error
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
        output(*command, "--version"),
        processor(),
        repr((command, FLAGS, dtype)).encode(),
    ]
    path = folder() / f"layer-{REAL[dtype]}-{hashlib.sha256(b'|'.join(made_of)).hexdigest()[:16]}.so"
    if path.exists():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:  # in the same folder, to be moved as a whole
            unlinked, whole = Path(scratch, "layer.o"), Path(scratch, "layer.so")
            output(*command, *FLAGS, f"-DREAL={REAL[dtype]}", "-c", str(SOURCE), "-o", str(unlinked))
            # Without -fopenmp: OpenMP's functions are those of the library that torch has brought.
            output(*command, "-shared", str(unlinked), "-o", str(whole), "-lm")
            whole.replace(path)
    except OSError as error:
        raise NotCompiled(f"{path.parent} cannot be written: {error.strerror}") from error
    return path


def source() -> bytes:
    """All that layer.c is made of."""
    return b"".join(file.read_bytes() for file in sorted(SOURCE.parent.glob("*.[ch]")))


def output(*command: str) -> bytes:
    """What a compiler prints.

    Raises:
        NotCompiled: it failed; with the first line of what it said.
    """
    try:
        done = subprocess.run(command, capture_output=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise NotCompiled(f"{command[0]} took more than {SECONDS} seconds") from None
    except OSError as error:
        raise NotCompiled(f"{command[0]} does not run: {error.strerror}") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or [f"status {done.returncode}"]
        raise NotCompiled(f"{command[0]} failed: {said[0]}")
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
