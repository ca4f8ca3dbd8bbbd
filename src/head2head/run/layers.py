"""Whether the encoder has the layers that a head reads, from its config.json alone. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from head2head.model.depth import hidden_state_number, last_layers
from head2head.model.packages import PACKAGES

HEADS = "head2head.model.heads."
NUM_LAYERS = ("num_hidden_layers", "n_layers")  # BERT and most; DistilBERT


def check_layers(config: Mapping[str, Any]) -> None:
    """Check that the encoder has the layers that the head reads, as far as it is known without loading it. The user's
    own layer rules check themselves when they are built.

    Raises:
        UserError: it has fewer.
    """
    layers = config["head"]["layers"]
    target, index, n = layers["_target_"], layers.get("index"), layers.get("n")
    if not target.startswith(HEADS) or index in (-1, 0):  # which every encoder has
        return
    depth = num_layers(config["encoder"])
    if depth is None:
        return
    if isinstance(index, int):
        hidden_state_number(index, depth)
    if n is not None:
        last_layers(n, depth)


def num_layers(encoder: Mapping[str, Any]) -> int | None:
    """Number of the encoder's layers; None where it is not known without loading it.

    Args:
        encoder: the configuration's `encoder`.
    """
    if encoder.get("config"):
        return encoder["config"].get("num_hidden_layers")
    file = config_file(str(encoder["name"]), encoder.get("revision"))
    return _num_layers(file) if file is not None else None


def _num_layers(file: Path) -> int | None:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # loading the encoder says what is wrong with it
    numbers = [found[name] for name in NUM_LAYERS if isinstance(found, dict) and isinstance(found.get(name), int)]
    return numbers[0] if numbers else None


def config_file(name: str, revision: str | None) -> Path | None:
    """The config.json of an encoder: of a folder, an installed package, or one that was fetched from the hub before."""
    if Path(name).is_dir():
        return Path(name, "config.json")
    package = PACKAGES.get(name)
    folder = package.folder() if package is not None and revision is None else None
    if folder is not None:
        return folder / "config.json"
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, "config.json", revision=revision)
    except HFValidationError:
        return None  # no name of a model; loading it says so
    return Path(found) if isinstance(found, str) else None
