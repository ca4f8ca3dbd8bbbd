"""How many joblib workers a sweep gets, with how many threads each: a core a thread. Imports no torch."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from head2head.errors import UserError
from head2head.run.configuration import compose
from head2head.sweep.request import Request

ON_ONE_GPU = 4  # workers that share a GPU: they share its memory, too

N_JOBS = "hydra.launcher.n_jobs"


@dataclass(frozen=True)
class Workers:
    """Workers of a sweep.

    threads: of each.
    for_runs: overrides that the runs need: their threads, where nobody has set them.
    """

    count: int
    threads: int
    for_runs: tuple[str, ...] = ()

    @property
    def for_launcher(self) -> tuple[str, ...]:
        """Overrides that the launcher needs."""
        return (f"{N_JOBS}={self.count}",)

    def __str__(self) -> str:
        return " x ".join(
            f"{n} {what}{'s' * (n > 1)}" for n, what in ((self.count, "worker"), (self.threads, "thread"))
        )


def choose(request: Request, for_hydra: Sequence[str]) -> Workers:
    """The workers of a sweep on this machine.

    Args:
        for_hydra: what was typed for Hydra and its launcher.

    Raises:
        UserError: the sweep's runs cannot be, or their workers cannot be counted.
    """
    return chosen(compose(request.some_run().overrides), for_hydra)


def chosen(settings: Mapping[str, Any], for_hydra: Sequence[str]) -> Workers:
    """The workers for runs on this machine: what was set counts, and the rest is chosen to fit it.

    Args:
        settings: of one of the runs.

    Raises:
        UserError: the workers cannot be counted.
    """
    # joblib counts those cores that this process may use, by its affinity and by its container's quota.
    from joblib import cpu_count  # type: ignore[import-untyped]

    cores, threads = cpu_count(), settings["threads"]
    workers = share(cores, typed(for_hydra, cores), threads, on_gpu(settings["trainer"]["accelerator"]))
    return workers if threads else Workers(workers.count, workers.threads, (f"threads={workers.threads}",))


def share(cores: int, n_jobs: int | None, threads: int | None, gpu: bool) -> Workers:
    """Deal out the cores.

    Args:
        n_jobs: how many workers there are to be, where that is set.
        threads: of each, where that is set.
        gpu: whether the workers share a GPU.
    """
    fitting = max(1, cores // (threads or 1))
    count = n_jobs or (min(fitting, ON_ONE_GPU) if gpu else fitting)
    return Workers(count, threads or max(1, cores // count))


def typed(for_hydra: Sequence[str], cores: int) -> int | None:
    """The number of workers that was typed, if one was; joblib counts negative ones from all cores (-1) down.

    Raises:
        UserError: it is none.
    """
    given = [value for name, _, value in (text.partition("=") for text in for_hydra) if name.lstrip("+") == N_JOBS]
    if not given:
        return None
    try:
        count = int(given[-1])
    except ValueError:
        count = 0
    if count == 0:
        raise UserError(f"{N_JOBS}={given[-1]}: a number of workers, or -1 for one a core")
    return count if count > 0 else max(1, cores + 1 + count)


def on_gpu(accelerator: str) -> bool:
    """Whether runs go to a GPU, as far as that can be told without torch.

    Args:
        accelerator: `trainer.accelerator`.
    """
    if accelerator != "auto":
        return accelerator in ("gpu", "cuda", "mps")
    if (platform.system(), platform.machine()) == ("Darwin", "arm64"):
        return True
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    return not hidden and (Path("/proc/driver/nvidia/gpus").is_dir() or shutil.which("nvidia-smi") is not None)
