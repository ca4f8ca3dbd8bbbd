"""Keys and tokens, which belong in the environment: a run's settings are written into its folder. Imports no torch."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from head2head.errors import UserError

NAME = re.compile(r"((api|auth|access|secret|private|hub|hf)_?(key|token)|password|passwd|secret)$", re.IGNORECASE)
SHORTEST = 8  # characters; a shorter value of such a variable may stand anywhere by chance


def check_secrets(config: Mapping[str, Any]) -> None:
    """Check that no setting holds a key or token: by its name, or because such a variable of the environment has its
    value (`${oc.env:WANDB_API_KEY}`).

    Raises:
        UserError: one does. The message does not repeat it.
    """
    known = {name: value for name, value in os.environ.items() if NAME.search(name) and len(value) >= SHORTEST}
    for setting, text in _texts(config, ""):
        named = next((name for name, value in known.items() if value in text), None)
        if named is not None or NAME.search(setting):
            what = f"holds ${named}" if named is not None else "looks like a key or token"
            raise UserError(
                f"{setting} {what}, and settings are written into the run's folder; leave it out: programs find it in "
                "the environment (WANDB_API_KEY, HF_TOKEN)"
            )


def _texts(value: Any, name: str) -> Iterator[tuple[str, str]]:
    """Dotted names of all settings that are texts, with these."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item, name)
    elif isinstance(value, str) and value:
        yield name, value
