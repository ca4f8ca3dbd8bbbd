"""The configuration that a run folder holds, which may be a stranger's. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from head2head.errors import UserError
from head2head.files import read_yaml
from head2head.model import trusted

CONFIG = "config.yaml"
GROUPS = ("encoder", "head", "task", "optimizer", "trainer")


def read_config(run: Path, trust: Sequence[str] | str | None = None) -> dict[str, Any]:
    """The resolved configuration of a finished run, of which nothing but this package's own classes can be built.

    Args:
        trust: packages of the user's whose classes may be built as well.

    Raises:
        UserError: there is none, it is no configuration, or names something else.
    """
    path = run / CONFIG
    config = read_yaml(path)
    if not isinstance(config, dict) or not all(isinstance(config.get(group), dict) for group in GROUPS):
        raise UserError(f"{path}: not the configuration of a run")
    trusted.check(config, trust, own=False, where=str(path))
    return config | {"trust": sorted(trusted.named(trust))}
