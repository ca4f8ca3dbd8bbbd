"""results.json: every number as it comes, so that a benchmark that was broken off goes on where it stood."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from head2head.files import write_atomically

OF_THE_MOMENT = ("date", "load")  # in `about`, what may differ when a part goes on


class Store:
    """The file of the numbers: part -> `about` (machine, versions, sizes), `units` (piece -> numbers), `finished`, and
    `error` where it was broken off by one.

    Attribute `parts` is its content.
    """

    def __init__(self, path: Path):
        self.path = path
        self.parts: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}

    def left(self, names: list[str], about: dict[str, Any]) -> list[str]:
        """The parts that are not finished here, with this machine, these versions and sizes; all where all are."""
        return [n for n in names if not (self._goes_on(n, about) and self.parts[n]["finished"])] or names

    def begin(self, name: str, about: dict[str, Any]) -> list[str]:
        """Go on with a part, or begin it anew. Returns the pieces that are there."""
        if not self._goes_on(name, about) or self.parts[name]["finished"]:
            self.parts[name] = {"about": about, "units": {}}
        self.parts[name] |= {"finished": False, "error": None}
        self._write()
        return list(self.parts[name]["units"])

    def add(self, name: str, unit: str, values: dict[str, Any]) -> None:
        """Keep a piece."""
        self.parts[name]["units"][unit] = values
        self._write()

    def end(self, name: str, error: str | None = None) -> None:
        """A part has come to its end, or has failed."""
        self.parts[name] |= {"finished": error is None, "error": error}
        self._write()

    def _goes_on(self, name: str, about: dict[str, Any]) -> bool:
        return name in self.parts and lasting(self.parts[name]["about"]) == lasting(about)

    def _write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path, json.dumps(self.parts, indent=1) + "\n")


def lasting(about: dict[str, Any]) -> dict[str, Any]:
    """What must be the same for numbers to stand in one table, as JSON has it."""
    return json.loads(json.dumps({name: value for name, value in about.items() if name not in OF_THE_MOMENT}))
