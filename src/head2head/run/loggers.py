"""Where a run's curves go: metrics.csv always, TensorBoard or Weights & Biases beside it."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pytorch_lightning.loggers import CSVLogger, Logger

from head2head.errors import UserError
from head2head.run.key import Identity
from head2head.run.label import head_parts
from head2head.run.result import Result

PATIENCE = 60.0  # seconds for W&B to answer at a run's beginning, or to take the rest at its end
SEND_LATER = "send it later with: wandb sync {}/wandb/offline-run-*"


def described(task: str, head: str, seed: int, config: Mapping[str, Any]) -> dict[str, Any]:
    """What runs are grouped and filtered by."""
    return {
        "task": task, "head": head, **head_parts(config["head"]), "encoder": config["encoder"]["name"],
        "encoder_frozen": config["encoder"]["frozen"], "fold": config["fold"], "seed": seed,
    }  # fmt: skip


@contextlib.contextmanager
def open_loggers(
    extra: Callable[..., Logger] | None, folder: Path, identity: Identity, config: dict[str, Any]
) -> Iterator[list[Logger]]:
    """The run's loggers; W&B's run is ended with the block, as failed when the block raises.

    Args:
        extra: TensorBoard or W&B, still to be given the run.
    """
    loggers: list[Logger] = [CSVLogger(folder, name="", version="")]
    if extra is not None:
        loggers.append(extra(folder=folder, identity=identity, config=config))
    status = 1
    try:
        yield loggers
        status = 0
    finally:
        for logger in loggers:
            logger.finalize("success" if status == 0 else "failed")
        (folder / "hparams.yaml").unlink(missing_ok=True)  # CSVLogger's, empty: config.yaml has it all
        finish_wandb(loggers, status)


def tell_result(loggers: Sequence[Logger], result: Result) -> None:
    """Give TensorBoard and W&B what is known at a run's end: the score with what it is to be held against, beside the
    settings (TensorBoard's table HPARAMS), or in the summary."""
    ended = {
        "score": result.score, "baseline": result.baseline[result.split][result.metric],
        "above_baseline": result.above_baseline, "collapsed": result.collapsed,
    }  # fmt: skip
    for logger in loggers:
        if type(logger).__name__ == "TensorBoardLogger":
            settings = described(result.task, result.head, result.seed, result.config)
            values = {name: float(value) for name, value in ended.items() if value is not None}
            logger.log_hyperparams(settings, values)
        elif type(logger).__name__ == "WandbLogger":
            logger.summarise(ended)  # type: ignore[attr-defined]


def finish_wandb(loggers: Sequence[Logger], status: int) -> None:
    """End W&B's run, so that the next run in this process opens one of its own."""
    if any(type(logger).__name__ == "WandbLogger" for logger in loggers):
        import wandb as client

        try:
            client.finish(exit_code=status)
        except Exception as error:
            reason = (" ".join(str(error).split()) or type(error).__name__)[:200]
            print(f"W&B: not all was sent ({reason}); the run's own files are whole", file=sys.stderr, flush=True)
            forget_wandb()


def forget_wandb() -> None:
    """Let the next run have a run and a process of W&B's of its own, when the process behind this one has died: W&B
    would hand out the dead run again."""
    import wandb as client
    from wandb.sdk.lib import module

    with contextlib.suppress(Exception):  # it cannot end in order
        client.teardown()
    module.unset_globals()


def tensorboard(folder: Path, **run: Any) -> Logger:  # noqa: ARG001
    """TensorBoard events in the run folder.

    Raises:
        UserError: TensorBoard is not installed.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise UserError("logger=tensorboard needs TensorBoard: pip install tensorboard")
    from pytorch_lightning.loggers import TensorBoardLogger

    return TensorBoardLogger(folder, name="", version="tensorboard", default_hp_metric=False)


def wandb(
    folder: Path,
    identity: Identity,
    config: dict[str, Any],
    project: str,
    entity: str | None = None,
    name: str | None = None,
    group: str | None = None,
    job_type: str | None = None,
    tags: Sequence[str] = (),
    offline: bool | None = None,
) -> Logger:
    """A W&B run. Its configuration has what runs are grouped by under plain names, and all of it under `resolved`.
    Experiment, task and head are tags, too.

    Args:
        job_type: None takes the head.
        group: None takes none; the experiment, by the configuration.

    Raises:
        UserError: the package is not installed.
    """
    if importlib.util.find_spec("wandb") is None:
        raise UserError("logger=wandb needs the wandb package: pip install 'head2head[wandb]'")
    import wandb as client
    from pytorch_lightning.loggers import WandbLogger

    reason = "offline=true" if offline else None if offline is False else unreachable()
    if reason:
        print(f"W&B: offline ({reason}); {SEND_LATER.format(folder)}", flush=True)
    before = os.environ.get("WANDB_MODE")
    tagged = [name for name in (config["experiment"], identity.task.name, identity.head) if name]

    def opened(reason: str | None) -> Logger:
        logger = WandbLogger(
            project=project,
            entity=entity,
            name=name or f"{identity.task.name}/{identity.head}/{identity.seed}",
            group=group,
            tags=[tag[:64] for tag in dict.fromkeys([*tagged, *tags])],  # W&B takes no longer ones
            job_type=(job_type or identity.head)[:64],
            save_dir=folder,
            offline=bool(reason),
            mode="offline" if reason else "disabled" if before == "disabled" else "online",
            settings=client.Settings(silent=True, init_timeout=patience("INIT"), finish_timeout=patience("FINISH")),
        )
        own = described(identity.task.name, identity.head, identity.seed, config) | {"key": identity.key}
        # The keys that a W&B sweep sets are locked: they keep what it calls their values.
        free = {name: value for name, value in own.items() if name not in logger.experiment.config}
        logger.experiment.config.update(free | {"resolved": config})
        logger.summarise = logger.experiment.summary.update  # type: ignore[attr-defined]
        return logger

    try:
        logger = opened(reason)
    except client.errors.AuthenticationError as error:
        raise UserError(
            f"W&B refuses the login: {' '.join(str(error).split())[:200]}; log in with: wandb login"
        ) from error
    except (client.errors.CommError, TimeoutError) as error:
        if reason:
            raise
        print(f"W&B: offline ({' '.join(str(error).split())[:200]}); {SEND_LATER.format(folder)}", flush=True)
        client.teardown()  # what is left of the attempt
        logger = opened("it does not answer")
    tolerate_losing(logger)
    # Lightning sets WANDB_MODE for an offline run and leaves it: the next run would be offline because of that.
    if before is None:
        os.environ.pop("WANDB_MODE", None)
    else:
        os.environ["WANDB_MODE"] = before
    return logger


def patience(what: str) -> float:
    """Seconds to wait for W&B to begin or to end a run; its own variables WANDB_INIT_TIMEOUT and WANDB_FINISH_TIMEOUT
    decide where they are set."""
    return float(os.environ.get(f"WANDB_{what}_TIMEOUT", PATIENCE))


def tolerate_losing(logger: Logger) -> None:
    """Let a run go on without W&B when W&B's process or connection dies on the way. What came until then is on disk."""
    lost = False

    def guarded(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal lost
            if lost:
                return None
            try:
                return method(*arguments, **named)
            except Exception as error:
                lost = True
                reason = (" ".join(str(error).split()) or type(error).__name__)[:200]
                print(f"W&B: lost ({reason}); the run goes on, metrics.csv has its curves", file=sys.stderr, flush=True)
                return None

        return call

    for name in ("log_metrics", "log_hyperparams", "summarise", "save", "finalize"):
        setattr(logger, name, guarded(getattr(logger, name)))


def unreachable() -> str | None:
    """Why W&B cannot be used online: no login, or no network; None when it can. `WANDB_MODE` decides
    where it is set."""
    mode = os.environ.get("WANDB_MODE")
    if mode is not None:
        return None if mode in ("online", "disabled") else f"WANDB_MODE={mode}"
    url = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai"))
    host, port = url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
    if not (os.environ.get("WANDB_API_KEY") or _netrc_has(host)):
        return "no login; log in with: wandb login"
    try:
        with socket.create_connection((host, port), timeout=3):
            return None
    except OSError:
        return f"{host} cannot be reached"


def _netrc_has(host: str) -> bool:
    import netrc

    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False
