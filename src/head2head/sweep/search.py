"""Which runs a sweep consists of: all of them at once, or as bayes chooses them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from head2head.run.result import Result
from head2head.sweep import bayes
from head2head.sweep.plan import Planned
from head2head.sweep.request import Request


class Search:
    """The runs of a requested sweep.

    Raises:
        UserError: the file or an override is not as it should be.
    """

    def __init__(self, request: Request):
        self.request, self.planner = request, request.planner
        file = request.file
        self.stopped_too = file.hyperband is not None
        if file.hyperband is not None:
            band = file.hyperband
            # Only runs of the very same sweep are held against each other.
            same = hashlib.sha256(repr([self.planner.parameters, self.planner.fixed]).encode()).hexdigest()[:8]
            curves = f"{self.planner.output_dir}/.sweeps/{request.experiment}/curves-{same}"
            settings = (
                f"bands:{list(band.bands)},eta:{band.eta},strict:{str(band.strict).lower()},"
                f'metric:"{file.metric}",maximize:{str(file.maximize).lower()},curves:"{curves}"'
            )
            self.planner.fixed = [*self.planner.fixed, f"early_terminate={{{settings}}}"]
        self._runs: list[Planned] = []

    @property
    def cap(self) -> int:
        """How many runs there will be."""
        cap = self.request.file.run_cap
        return cap if self.request.file.method == "bayes" and cap else len(self._runs)

    def settings_of(self, run: Planned) -> dict[str, Any]:
        """A run's resolved configuration."""
        return self.planner.compose(run.overrides)

    def known(self) -> list[Planned]:
        """The runs that can be told beforehand; of bayes those that results show.

        Raises:
            UserError: one that cannot be run.
        """
        if self.request.file.method == "bayes":
            self._runs = bayes.replay(self.planner, self.request.results_file.read())
        else:
            self._runs = self.planner.all()
        return list(self._runs)

    def more(self, results: Mapping[str, Result], width: int) -> list[Planned]:
        """What to run next, given what came out so far; nothing when the sweep is over."""
        if self.request.file.method != "bayes":
            return []
        chosen = bayes.choose(self.planner, self._runs, results, min(width, self.cap - len(self._runs)))
        self._runs += chosen
        return chosen
