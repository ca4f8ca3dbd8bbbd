"""The sweeper `hydra/sweeper=head2head`: hands the runs of an experiment to whatever launcher Hydra has."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

ConfigStore.instance().store(
    group="hydra/sweeper",
    name="head2head",
    node={"_target_": "hydra_plugins.head2head.sweeper.ExperimentSweeper"},
    provider="head2head",
)


class ExperimentSweeper(Sweeper):
    """Runs an experiment's sweep files, or a race; all it does is in head2head.sweep and head2head.compare."""

    def __init__(self) -> None:
        self.identifier = uuid.uuid4().hex
        self.config: DictConfig | None = None
        self.launcher: Launcher | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from head2head.sweep.job import SWEEP

        with read_write(config), open_dict(config):  # reaches the workers, wherever they are
            config.hydra.overrides.hydra.append(f"+hydra.job.env_set.{SWEEP}={self.identifier}")
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        from head2head.compare.verb import COMPARED, by_launcher
        from head2head.sweep.request import TYPED, parse
        from head2head.sweep.run import sweep

        assert self.config is not None
        assert self.launcher is not None
        log = Path(str(self.config.hydra.sweep.dir)) / "log.txt"
        if COMPARED in os.environ:
            typed = json.loads(os.environ.pop(COMPARED))
            by_launcher(typed, self.launcher.launch, self.width, log, self.identifier)
            return
        request = parse([*arguments, *json.loads(os.environ.pop(TYPED, "[]"))])
        sweep(request, self.launcher.launch, self.width, log, self.identifier)

    @property
    def width(self) -> int:
        """How many runs the launcher works on at once."""
        assert self.config is not None
        launcher = OmegaConf.to_container(self.config.hydra.launcher)
        assert isinstance(launcher, dict)
        for name in ("n_jobs", "array_parallelism"):
            if (count := launcher.get(name)) is not None:
                return min(count, 16) if count > 0 else os.cpu_count() or 1
        return 1 if "Basic" in launcher["_target_"] else 8
