"""layer.c, compiled by the machine's own C compiler when it is first needed, and kept in a folder of the user's."""

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
    share_threads()
    try:
        return ctypes.CDLL(str(built(dtype)))
    except OSError as error:
        raise NotCompiled(f"the compiled layers cannot be loaded: {error}") from error


def why_not() -> str | None:
    """Why there is no library here; None where there is one. Compiles it if need be."""
    try:
        library(torch.float32)
    except NotCompiled as error:
        return str(error)
    return None


def built(dtype: torch.dtype) -> Path:
    """The shared library's file, named after all that it is made of.

    Raises:
        NotCompiled: no compiler, or one that failed.
    """
    command = compiler()
    try:
        version = subprocess.run([*command, "--version"], capture_output=True, timeout=SECONDS, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise NotCompiled(f"the C compiler {command[0]} does not run: {error}") from error
    made_of = [SOURCE.read_bytes(), version, processor(), repr((command, FLAGS, REAL[dtype])).encode()]
    path = folder() / f"layer-{REAL[dtype]}-{hashlib.sha256(b'|'.join(made_of)).hexdigest()[:16]}.so"
    if path.exists():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:  # in the same folder, to be moved as a whole
            unlinked, whole = Path(scratch, "layer.o"), Path(scratch, "layer.so")
            run(*command, *FLAGS, f"-DREAL={REAL[dtype]}", "-c", str(SOURCE), "-o", str(unlinked))
            # Without -fopenmp: OpenMP's functions are those of the library that torch has brought.
            run(*command, "-shared", str(unlinked), "-o", str(whole), "-lm")
            whole.replace(path)
    except OSError as error:
        raise NotCompiled(f"{path.parent} cannot be written: {error.strerror}") from error
    return path


def run(*command: str) -> None:
    """Run the compiler.

    Raises:
        NotCompiled: it failed; with the first line of what it said.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise NotCompiled(f"{command[0]} took more than {SECONDS} seconds") from None
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise NotCompiled(f"{command[0]} failed: {said[0]}")


def compiler() -> list[str]:
    """The C compiler: $CC, or one of the usual names.

    Raises:
        NotCompiled: there is none.
    """
    chosen = shlex.split(os.environ.get("CC", ""))
    for name in [chosen[0]] if chosen else ["cc", "gcc", "clang"]:
        if found := shutil.which(name):
            return [found, *chosen[1:]]
    raise NotCompiled(f"no C compiler ({chosen[0] if chosen else 'cc, gcc or clang'}) was found")


def folder() -> Path:
    """Where compiled libraries are kept: with torch's own, they depend on machine and user, not on a run."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "head2head" / "compiled"


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
