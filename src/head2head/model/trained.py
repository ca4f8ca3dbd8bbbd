"""The encoder that a finished run has trained, for another run to start from. Imports no torch."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from head2head.errors import UserError
from head2head.files import read_bytes, read_yaml, sha256

CONFIG, RESULT, WEIGHTS = "config.yaml", "result.json", "model.safetensors"
PREFIX = "encoder."  # of the encoder's weights in a run's; behind it `model.` and `pooler.`
LAYER = re.compile(r"(?:encoder|transformer)\.layer\.(\d+)\.")  # in the names of stacked encoders


def is_run(folder: Path) -> bool:
    """Whether a folder is a run's, and no checkpoint of transformers."""
    return all((folder / name).is_file() for name in (CONFIG, RESULT)) and not (folder / "config.json").exists()


@dataclass(frozen=True)
class TrainedEncoder:
    """The encoder in a run's folder: that which the run started from, with the weights that the run has changed.

    Layers above the highest one that was trained are left out, as the run itself left them out: its head read none of
    them. An encoder that the run has kept frozen is the one it started from.
    """

    folder: Path

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What the run says of the encoder that it started from: `encoder` in its configuration.

        Raises:
            UserError: it says nothing.
        """
        config = read_yaml(self.folder / CONFIG)
        found = config.get("encoder") if isinstance(config, dict) else None
        if not isinstance(found, dict) or not isinstance(found.get("name"), str):
            raise UserError(f"{self.folder / CONFIG}: not the configuration of a run")
        return found

    @cached_property
    def started_from(self) -> str:
        """Hash of the weights that the run started from.

        Raises:
            UserError: the run's result does not say.
        """
        path = self.folder / RESULT
        try:
            return str(json.loads(read_bytes(path))["encoder"])
        except (ValueError, TypeError, KeyError, RecursionError):
            raise UserError(f"{path}: not the result of a run") from None

    @cached_property
    def names(self) -> frozenset[str]:
        """Names of the encoder's weights that the run has changed.

        Raises:
            UserError: it kept none.
        """
        path = self.folder / WEIGHTS
        if not path.is_file():
            raise UserError(
                f"encoder.name={self.folder}: the run kept no weights (save_model=false); train it again with "
                "save_model=true"
            )
        try:
            with safe_open(path, framework="numpy") as file:
                return frozenset(name for name in file.keys() if name.startswith(PREFIX))  # noqa: SIM118 (no mapping)
        except (SafetensorError, OSError) as error:
            raise UserError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None

    @property
    def depth(self) -> int | None:
        """Number of layers that the run has computed and trained; None where it has trained none and all count.

        Raises:
            UserError: its head read the embeddings alone.
        """
        if not any(name.startswith(f"{PREFIX}model.") for name in self.names):
            return None
        found = [int(match.group(1)) + 1 for name in self.names if (match := LAYER.search(name))]
        if not found and any(".embeddings." in name for name in self.names):
            raise UserError(f"encoder.name={self.folder}: the run's head read the embeddings alone; it has no layers")
        return max(found, default=None)

    @property
    def fingerprint(self) -> str:
        """Hash of all that decides what the encoder computes; not of what else lies in the folder, such as
        predictions.

        Raises:
            UserError: a part of it is missing.
        """
        _ = self.names
        parts = [self.settings, self.started_from, sha256(self.folder / WEIGHTS)]
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
