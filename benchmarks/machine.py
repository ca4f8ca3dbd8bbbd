"""What the numbers were measured on: names, versions, and how fast it multiplies matrices."""

import ctypes
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LIBRARIES = ("torch", "transformers", "accelerate", "pytorch-lightning", "datasets", "hydra-core", "joblib")
LARGE = (2048, 4096)
PEAK = "multiply-adds"


def about() -> dict[str, Any]:
    """The machine, the versions and the commit, as plain data."""
    import psutil
    import torch

    from head2head.run.record import device_name

    return {
        "processor": device_name(torch.device("cpu")),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "memory": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {"python": platform.python_version()} | {name: metadata.version(name) for name in LIBRARIES},
        "commit": commit(),
        "date": time.strftime("%Y-%m-%d"),
        "load": os.getloadavg()[0],
    }


def commit() -> str:
    """The checkout's commit, with + behind it when what runs has changed since (results may)."""
    git = ["git", "-C", str(ROOT)]
    name = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    code = ["src", "configs", "train.py", "sweep.py", "benchmarks/*.py"]
    changed = subprocess.run([*git, "status", "--porcelain", "--", *code], capture_output=True).stdout
    return f"{name or 'unknown'}{'+' * bool(changed)}"


def products(tokens: tuple[int, ...] = (32 * 12, 32 * 64)) -> dict[str, float]:
    """GFLOP/s in float32: of multiply-adds on registers, the machine's peak; and of torch.mm by shape "MxKxN", for
    large squares and for the products of MiniLM's layers with batches of so many tokens."""
    layers = [(m, k, n) for m in tokens for k, n in ((384, 384), (384, 1536), (1536, 384))]
    shapes = [*((n, n, n) for n in LARGE), *layers]
    return {PEAK: peak()} | {f"{m}x{k}x{n}": gflops(m, k, n) for m, k, n in shapes}


def peak(tries: int = 5, rounds: int = 30_000_000) -> float:
    """GFLOP/s of multiply-adds on registers with as many threads as torch has, the best of some tries.

    Raises:
        head2head.speed.cpu.library.NotCompiled: there is no C compiler.
    """
    import torch

    from head2head.speed.cpu.library import FLAGS, compilers, output

    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, "peak.so")
        output(*compilers()[0], *FLAGS, "-shared", str(ROOT / "benchmarks/peak.c"), "-o", str(file))
        run = ctypes.CDLL(str(file)).multiply_adds
    run.restype, run.argtypes = ctypes.c_double, (ctypes.c_long, ctypes.c_float, ctypes.c_void_p)

    def one(_: int) -> float:
        return float(run(rounds, 0.5, ctypes.byref(ctypes.c_float())))

    best = 0.0
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:  # a call into C lets the others run
        for _ in range(tries):
            started = time.perf_counter()
            done = sum(pool.map(one, range(torch.get_num_threads())))
            best = max(best, done / (time.perf_counter() - started) / 1e9)
    return best


def gflops(m: int, k: int, n: int, tries: int = 5, seconds: float = 0.1) -> float:
    """GFLOP/s of torch.mm, (m, k) x (k, n): the best of some tries, each long enough for a clock."""
    import torch

    a, b, c = (torch.randn(shape) for shape in ((m, k), (k, n), (m, n)))
    torch.mm(a, b, out=c)  # warm
    once = duration(lambda: torch.mm(a, b, out=c))
    times = max(1, round(seconds / once))
    best = min(duration(lambda: [torch.mm(a, b, out=c) for _ in range(times)]) for _ in range(tries))
    return 2 * m * k * n * times / best / 1e9


def duration(work: Callable[[], Any]) -> float:
    """Seconds that it takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def say(text: str) -> None:
    """Progress, on stderr."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def kernel_says(name: str, process: int | str = "self") -> int:
    """Bytes behind a name in /proc/PROCESS/status; 0 when the process has just ended. VmHWM is the peak resident set
    (getrusage's would begin with that of the process that started this one), RssAnon the part without mapped files."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), 0)


def command(arguments: list[Any], limit: float, **options: Any) -> float:
    """Seconds that a command takes from start to end.

    Raises:
        RuntimeError: it failed; with the end of what it printed.
        subprocess.TimeoutExpired: it was stopped after `limit` seconds.
    """
    arguments = [str(argument) for argument in arguments]
    started = time.perf_counter()
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=limit, **options)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: status {done.returncode}: {(done.stderr or done.stdout)[-2000:]}")
    return seconds


Units = Iterator[tuple[str, dict[str, Any]]]  # what a part measures, piece by piece: name and numbers
